package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/internal/admin"
)

func newStatus() *cobra.Command {
	l, more := new(looking), false
	c := &cobra.Command{
		Use:   "status",
		Short: "How a running agent is, on one screen",
		Long: "Tells who this host is, its place in the network and for how long, how far etcd was\n" +
			"heard, which hosts there are, what went by a second of late, and in WARNING lines what\n" +
			"is not as it should be and what to do.",
		Example: "  uvtep status\n  uvtep status -s\n  uvtep status -w\n  uvtep status -j | jq '.warnings[]'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			colours := onColours(cmd.OutOrStdout())
			return l.repeat(cmd, func(w io.Writer) error {
				var v statusView
				if err := admin.Get(cmd.Context(), l.socket, statusPath, &v); err != nil {
					return err
				}
				if l.asJSON {
					return printJSON(w, v)
				}
				return printStatus(w, v, time.Now(), more, colours)
			})
		},
	}
	l.register(c.Flags())
	c.Flags().BoolVarP(&more, "stats", "s", false, "list the peers, since when they are as they are, and the traffic with each")
	return c
}

// printStatus prints a status for people, with more of the peers if that is asked
// for.
func printStatus(w io.Writer, v statusView, now time.Time, more, colours bool) error {
	b := new(strings.Builder)
	line := func(name, format string, a ...any) { fmt.Fprintf(b, "  %-10s %s\n", name, fmt.Sprintf(format, a...)) }
	fmt.Fprintf(b, "uvtep %s, up %s\n", v.Version, roughly(now.Sub(v.Since)))
	line("node", "%s", v.NodeID)
	line("underlay", "%s", v.Underlay)
	line("etcd", "%s", v.Etcd)
	for i := range v.Networks {
		printNetwork(b, line, &v.Networks[i])
		if more {
			printPeers(b, &v.Networks[i], now)
		}
	}
	fmt.Fprintf(b, "last %.0fs\n", v.Rates.Seconds)
	line("out", "%s", v.Rates.Out)
	line("in", "%s", v.Rates.In)
	line("answered", "%s/s", count(v.Rates.Answered))
	line("dropped", "%s", v.Rates.drops())
	for _, text := range v.Warnings {
		mark := "WARNING:"
		if colours {
			mark = red(mark)
		}
		fmt.Fprintf(b, "%s %s\n", mark, text)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func printNetwork(b *strings.Builder, line func(name, format string, a ...any), n *networkStatus) {
	fmt.Fprintf(b, "%s\n", n.Ifname)
	if n.Name != "" {
		line("name", "%s", n.Name)
	}
	line("network", "%s, vni %d, port %d", some(n.Network, n.Network6), n.VNI, n.Port)
	line("tap", "%s, mtu %d", n.MAC, n.MTU)
	line("subnet", "%s", n.tenure())
	line("tables", "revision %d%s: %s, %s, %s", n.Revision, staleText(n.Stale), plural(n.Stations, "station"), plural(n.Bindings, "binding"), plural(n.Routes, "route"))
	line("peers", "%s", n.peers())
	line("offload", "%s", n.Offload)
	line("features", "%s", some(strings.Join(n.Features, " ")))
}

// printPeers lists the peers of a network.
func printPeers(b *strings.Builder, n *networkStatus, now time.Time) {
	if len(n.Peers) == 0 {
		return
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "peer\tsubnet\tage\tframes out\tbytes out\tframes in\tbytes in\t\n")
	for _, p := range n.Peers {
		age := "-"
		if p.Since != nil {
			age = roughly(now.Sub(*p.Since))
		}
		went := "-\t-\t-\t-"
		if p.Traffic != nil {
			went = p.Traffic.String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t\n", p.VTEP.Addr(), some(p.Subnet, p.Subnet6), age, went)
	}
	_ = t.Flush() // a Builder takes everything
	if left := n.PeerCount - len(n.Peers); left > 0 {
		fmt.Fprintf(b, "  and %s\n", plural(left, "more host"))
	}
}

func (u underlayStatus) String() string {
	s := fmt.Sprintf("%s, %s, mtu %d", u.Ifname, some(u.Local, u.Local6), u.MTU)
	if u.PublicIP != u.Local || u.PublicIPv6 != u.Local6 {
		s += ", known to others as " + some(u.PublicIP, u.PublicIPv6)
	}
	if !u.Usable {
		s += ", not usable now"
	}
	return s
}

func (e etcdStatus) String() string {
	where := strings.Join(e.Endpoints, ",")
	if e.Embedded != "" {
		where += ", embedded"
	}
	return e.state() + "; " + where
}

// state is how far etcd was heard.
func (e etcdStatus) state() string {
	switch {
	case e.Heard == nil:
		return "not heard yet"
	case !e.Connected:
		return fmt.Sprintf("away since %s, heard up to revision %d", e.AwaySince.Format(time.TimeOnly), e.Revision)
	}
	return fmt.Sprintf("connected, heard up to revision %d, %.1fs ago", e.Revision, *e.LagSeconds)
}

// tenure is the subnet and how long it lasts if nobody renews it.
func (n *networkStatus) tenure() string {
	s := some(n.Subnet, n.Subnet6)
	switch {
	case !n.Joined:
		return "none yet"
	case n.Reservation:
		s += ", a reservation"
	case n.SubnetSeconds != nil:
		s += ", leased for " + roughly(time.Duration(*n.SubnetSeconds)*time.Second)
	}
	if n.LivenessSeconds != nil {
		s += fmt.Sprintf("; host record for %ds", *n.LivenessSeconds)
	}
	return s
}

// namedPeers is how many peers a screen names.
const namedPeers = 3

func (n *networkStatus) peers() string {
	var names []string
	for i, p := range n.Peers {
		if i == namedPeers {
			names = append(names, "…")
			break
		}
		names = append(names, p.VTEP.Addr().String())
	}
	s := fmt.Sprintf("%s with a subnet, %s", plural(n.PeerCount, "host"), plural(n.VTEPs, "VTEP"))
	if len(names) > 0 {
		s += ": " + strings.Join(names, ", ")
	}
	return s
}

func (r rate) String() string {
	return fmt.Sprintf("%s frames/s, %sB/s", count(r.Frames), count(r.Bytes))
}

// drops names what was dropped, by verdict.
func (r ratesView) drops() string {
	s := count(r.Dropped) + "/s"
	var each []string
	byRate := func(a, b string) int {
		return cmp.Or(cmp.Compare(r.Drops[b].Frames, r.Drops[a].Frames), cmp.Compare(a, b))
	}
	for _, x := range slices.SortedFunc(maps.Keys(r.Drops), byRate) {
		each = append(each, fmt.Sprintf("%s %s/s", x, count(r.Drops[x].Frames)))
	}
	if len(each) > 0 {
		s += ": " + strings.Join(each, ", ")
	}
	return s
}

// count writes a number in three digits and a unit, as in 12.3k.
func count(n float64) string {
	unit := 0
	for n >= 1000 && unit < len(units)-1 {
		n /= 1000
		unit++
	}
	if n >= 100 || n == math.Trunc(n) {
		return fmt.Sprintf("%.0f%s", n, units[unit])
	}
	return fmt.Sprintf("%.1f%s", n, units[unit])
}

var units = []string{"", "k", "M", "G", "T"}

// some joins what there is, "-" if there is nothing.
func some(texts ...string) string {
	var there []string
	for _, t := range texts {
		if t != "" {
			there = append(there, t)
		}
	}
	return dash(strings.Join(there, ", "))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// roughly is a duration in its two largest units.
func roughly(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	if days := int(d / (24 * time.Hour)); days > 0 {
		return fmt.Sprintf("%dd%dh", days, int(d%(24*time.Hour)/time.Hour))
	}
	if d >= time.Hour {
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	}
	return d.String()
}

// ago is a moment and how long ago that is.
func ago(t time.Time) string {
	return fmt.Sprintf("%s (%s ago)", t.Format(time.TimeOnly), roughly(time.Since(t)))
}
