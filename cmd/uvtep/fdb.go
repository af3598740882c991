package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/internal/admin"
)

func newFDB() *cobra.Command {
	return newTable("fdb", "Which VTEP each MAC address is behind, as `bridge fdb show` says it", fdbPath, printFDB)
}

func newNeigh() *cobra.Command {
	return newTable("neigh", "What ARP and neighbour discovery are answered, as `ip neigh show` says it", neighPath, printNeigh)
}

func newRoute() *cobra.Command {
	return newTable("route", "The kernel routes into the overlay, as `ip route show` says it", routePath, printRoute)
}

// newTable makes the command that prints a table of a running agent, and its
// twin with the word show.
func newTable[T any](use, short, path string, line func(io.Writer, T)) *cobra.Command {
	c := newTableShow(use, short, path, line)
	c.AddCommand(newTableShow("show", "The same", path, line))
	return c
}

func newTableShow[T any](use, short, path string, line func(io.Writer, T)) *cobra.Command {
	socket, asJSON := "", false
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v rows[T]
			if err := admin.Get(cmd.Context(), socket, path, &v); err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(v.Rows)
			}
			b := new(strings.Builder)
			for _, r := range v.Rows {
				line(b, r)
			}
			_, err := io.WriteString(cmd.OutOrStdout(), b.String())
			return err
		},
	}
	adminFlag(c.Flags(), &socket)
	c.Flags().BoolVarP(&asJSON, "json", "j", false, "print JSON, with iproute2's keys")
	return c
}

func printFDB(w io.Writer, r fdbRow) {
	fmt.Fprintf(w, "%s dev %s", r.MAC, r.Ifname)
	if r.Dst != "" {
		fmt.Fprintf(w, " dst %s", r.Dst)
	}
	if r.Port != 0 {
		fmt.Fprintf(w, " port %d", r.Port)
	}
	if r.VNI != 0 {
		fmt.Fprintf(w, " vni %d", r.VNI)
	}
	fmt.Fprintf(w, " %s %s\n", strings.Join(r.Flags, " "), r.State)
}

func printNeigh(w io.Writer, r neighRow) {
	fmt.Fprintf(w, "%s dev %s lladdr %s %s\n", r.Dst, r.Dev, r.LLAddr, strings.Join(r.State, ","))
}

func printRoute(w io.Writer, r routeRow) {
	fmt.Fprintf(w, "%s via %s dev %s proto %s %s\n", r.Dst, r.Gateway, r.Dev, r.Protocol, strings.Join(r.Flags, " "))
}
