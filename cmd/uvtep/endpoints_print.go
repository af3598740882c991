package main

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/uvtep/uvtep/etcdsync"
)

// stationView is one row of `uvtep endpoints list -j`.
type stationView struct {
	VNI      uint32   `json:"vni"`
	MAC      string   `json:"mac"`
	IPs      []string `json:"ips"`
	Origin   string   `json:"origin"` // endpoint or static
	VTEP     string   `json:"vtep,omitempty"`
	NodeID   string   `json:"node_id,omitempty"`
	Seq      uint64   `json:"seq"`
	Since    string   `json:"since,omitempty"`
	Age      *int64   `json:"age_seconds,omitempty"`
	Created  int64    `json:"created_revision"`
	Revision int64    `json:"revision"`
	Fault    string   `json:"fault,omitempty"`
}

func stationViews(list []etcdsync.StationRecord) []stationView {
	views := make([]stationView, 0, len(list))
	for i := range list {
		r := &list[i]
		v := stationView{
			VNI: uint32(r.VNI), MAC: r.MAC.String(), IPs: texts(r.IPs), Origin: stationOrigin(r), VTEP: text(r.VTEP), NodeID: r.NodeID,
			Seq: r.Seq, Created: r.Created, Revision: r.Revision, Fault: r.Fault,
		}
		if !r.Since.IsZero() {
			v.Since, v.Age = r.Since.Format(time.RFC3339), inSeconds(time.Since(r.Since))
		}
		views = append(views, v)
	}
	return views
}

func stationOrigin(r *etcdsync.StationRecord) string {
	if r.Static {
		return "static"
	}
	return "endpoint"
}

func texts(ips []netip.Addr) []string {
	out := make([]string, 0, len(ips))
	for _, ip := range ips {
		out = append(out, ip.String())
	}
	return out
}

// printStations prints the stations as a table. What there is not is "-".
func printStations(w io.Writer, list []etcdsync.StationRecord) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "VNI\tMAC\tIPS\tORIGIN\tVTEP\tHOST\tAGE\tMOVES\tCREATED")
	for i := range list {
		r := &list[i]
		if r.Fault != "" {
			fmt.Fprintf(t, "%s\t%s\tignored: %s\n", r.VNI, r.MAC, plain(r.Fault))
			continue
		}
		age := ""
		if !r.Since.IsZero() {
			age = time.Since(r.Since).Round(time.Second).String()
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\n", r.VNI, r.MAC, dash(strings.Join(texts(r.IPs), ",")), stationOrigin(r),
			dash(text(r.VTEP)), dash(shorter(r.NodeID)), dash(age), r.Seq, r.Created)
	}
	return t.Flush()
}

// dash stands for what there is not.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
