package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// printProbe prints what was found of one peer.
func printProbe(w io.Writer, r *probeResult) error {
	b := new(strings.Builder)
	fmt.Fprintf(b, "%s at %s", r.Peer.name(), r.Peer.VTEP)
	if r.Peer.Node != "" {
		fmt.Fprintf(b, ", node %s", r.Peer.Node)
	}
	if r.Peer.Network != "" {
		fmt.Fprintf(b, ", network %s", r.Peer.Network)
	}
	fmt.Fprintf(b, ", %d bytes of IP\n", r.Size)
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, k := range r.kinds() {
		if k.Sent > 0 {
			fmt.Fprintf(t, "  %s\t%s\t%s\n", k.name, k.counts(), k.times())
		}
	}
	if m := r.MTU; m != nil && m.There > 0 {
		fmt.Fprintf(t, "  path MTU\t%d there, %s back\tthe route says %d, the TAP needs %d\n", m.There, orUnknown(m.Back), m.Route, m.Need)
	}
	_ = t.Flush() // to a Builder
	for _, n := range r.Notes {
		fmt.Fprintf(b, "  %s\n", n)
	}
	fmt.Fprintf(b, "%s\n", r.Diagnosis)
	_, err := io.WriteString(w, trimLines(b.String()))
	return err
}

// kind is a kind of echo with its name.
type kind struct {
	name string
	*tried
}

func (r *probeResult) kinds() []kind {
	return []kind{{"VXLAN", &r.VXLAN}, {"plain UDP", &r.UDP}, {"ICMP through the overlay", &r.Overlay}, {"ICMP to the host", &r.Host}}
}

func (t *tried) counts() string {
	return fmt.Sprintf("%d sent, %d received, %s lost", t.Sent, t.Got, percent(t.loss()))
}

// times are as ping prints them.
func (t *tried) times() string {
	if t.Got == 0 {
		return ""
	}
	return "rtt min/avg/max/mdev = " + t.figures() + " ms"
}

func (t *tried) figures() string {
	return fmt.Sprintf("%.3f/%.3f/%.3f/%.3f", millis(t.min), millis(t.avg()), millis(t.max), millis(t.mdev()))
}

func orUnknown(n int) string {
	if n == 0 {
		return "unknown"
	}
	return fmt.Sprint(n)
}

// printProbes prints a line a peer, with its network where they have names.
func printProbes(w io.Writer, rs []*probeResult) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	named := slices.ContainsFunc(rs, func(r *probeResult) bool { return r.Peer.Network != "" })
	if named {
		fmt.Fprint(t, "NETWORK\t")
	}
	fmt.Fprintln(t, "PEER\tVTEP\tVXLAN\tUDP\tOVERLAY\tHOST\tMIN/AVG/MAX/MDEV MS\tMTU\tRESULT")
	for _, r := range rs {
		figures, mtu := "", ""
		if v := cmp.Or(r.timed(), &tried{}); v.Got > 0 {
			figures = v.figures()
		}
		if m := r.MTU; m != nil && m.There > 0 && m.Back > 0 {
			mtu = fmt.Sprint(min(m.There, m.Back))
		}
		if named {
			fmt.Fprintf(t, "%s\t", r.Peer.Network)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Peer.name(), r.Peer.VTEP,
			r.VXLAN.short(), r.UDP.short(), r.Overlay.short(), r.Host.short(), figures, mtu, r.Diagnosis)
	}
	return t.Flush()
}

// timed is the kind of echo whose times tell most.
func (r *probeResult) timed() *tried {
	for _, k := range r.kinds() {
		if k.Got > 0 {
			return k.tried
		}
	}
	return nil
}

func (t *tried) short() string {
	if t.Sent == 0 {
		return "-"
	}
	return fmt.Sprintf("%d/%d", t.Got, t.Sent)
}

// trimLines takes the blanks at the ends of lines away.
func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}
