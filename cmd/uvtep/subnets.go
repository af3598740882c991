package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/etcdsync"
)

func newSubnets() *cobra.Command {
	e, asJSON := new(etcdFlags), false
	c := &cobra.Command{
		Use:   "subnets",
		Short: "List the subnets that hosts hold in etcd",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := e.o.Validate(); err != nil {
				return usageError{err}
			}
			return withStore(cmd, e, func(ctx context.Context, s *etcdsync.Store) error {
				list, err := s.Subnets(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return printSubnetsJSON(cmd.OutOrStdout(), list)
				}
				return printSubnets(cmd.OutOrStdout(), list)
			})
		},
	}
	e.register(c.Flags())
	c.Flags().BoolVarP(&asJSON, "json", "j", false, "print JSON")
	return c
}

func printSubnets(w io.Writer, list []etcdsync.SubnetRecord) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SUBNET\tPUBLIC IP\tVTEP MAC\tVNI\tEXPIRES IN\tHOLDER")
	for _, r := range list {
		if r.Fault != "" {
			fmt.Fprintf(t, "%s\t\t\t\t\tignored: %s\n", r.Key, r.Fault)
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", both(r.Subnet, r.Subnet6), both(r.PublicIP, r.PublicIPv6), r.MAC, r.VNI, timeLeft(r), holder(r))
	}
	return t.Flush()
}

// both joins what may be missing.
func both[T interface {
	comparable
	IsValid() bool
	String() string
}](v4, v6 T) string {
	switch {
	case !v6.IsValid():
		return v4.String()
	case !v4.IsValid():
		return v6.String()
	}
	return v4.String() + "," + v6.String()
}

func timeLeft(r etcdsync.SubnetRecord) string {
	if r.Reservation {
		return "reserved"
	}
	return r.TTL.Round(time.Second).String()
}

func holder(r etcdsync.SubnetRecord) string {
	switch {
	case r.NodeID != "":
		return "uvtep " + r.NodeID[:min(12, len(r.NodeID))]
	case r.BackendType != "vxlan":
		return "flannel (" + r.BackendType + ")"
	}
	return "flannel"
}

// subnetJSON is one row of `uvtep subnets -j`.
type subnetJSON struct {
	Key         string `json:"key"`
	Subnet      string `json:"subnet,omitempty"`
	Subnet6     string `json:"subnet6,omitempty"`
	PublicIP    string `json:"public_ip,omitempty"`
	PublicIPv6  string `json:"public_ipv6,omitempty"`
	VtepMAC     string `json:"vtep_mac,omitempty"`
	VNI         uint32 `json:"vni"`
	Port        uint16 `json:"port"`
	NodeID      string `json:"node_id,omitempty"`
	BackendType string `json:"backend_type,omitempty"`
	ExpiresIn   int64  `json:"expires_in_seconds"`
	Reservation bool   `json:"reservation"`
	Revision    int64  `json:"revision"`
	Fault       string `json:"fault,omitempty"`
}

func printSubnetsJSON(w io.Writer, list []etcdsync.SubnetRecord) error {
	rows := make([]subnetJSON, 0, len(list))
	for _, r := range list {
		row := subnetJSON{
			Key: r.Key, Subnet: text(r.Subnet), Subnet6: text(r.Subnet6), PublicIP: text(r.PublicIP), PublicIPv6: text(r.PublicIPv6),
			VNI: uint32(r.VNI), Port: r.Port, NodeID: r.NodeID, BackendType: r.BackendType,
			ExpiresIn: int64(r.TTL / time.Second), Reservation: r.Reservation, Revision: r.Revision, Fault: r.Fault,
		}
		if !r.MAC.IsZero() {
			row.VtepMAC = r.MAC.String()
		}
		rows = append(rows, row)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(rows)
}

// text is v's text, nothing when it is not set.
func text[T interface {
	netip.Addr | netip.Prefix
	IsValid() bool
	String() string
}](v T) string {
	if !v.IsValid() {
		return ""
	}
	return v.String()
}
