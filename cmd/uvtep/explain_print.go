package main

import (
	"fmt"
	"io"
	"strings"
)

// printWays prints what would become of frames, a fact a line and the verdict
// last.
func printWays(w io.Writer, ways []wayView) error {
	b := new(strings.Builder)
	for i, v := range ways {
		if i > 0 {
			b.WriteString("\n")
		}
		if len(ways) > 1 {
			fmt.Fprintf(b, "frame %d\n", i+1)
		}
		v.print(b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (v *wayView) print(b *strings.Builder) {
	line := func(name, format string, a ...any) { fmt.Fprintf(b, "  %-12s %s\n", name, fmt.Sprintf(format, a...)) }
	if v.Sender != nil {
		line("from", "%s, DSCP %d, ECN %s", v.Sender.Src, v.Sender.DSCP, v.Sender.ECN)
	} else {
		line("from", "%s", v.TAP)
	}
	line("frame", "%s", v.Frame)
	line("length", "%d bytes", v.Bytes)
	if v.Stripped {
		line("tags", "stripped")
	}
	if v.TAP != "" {
		line("tables", "VNI %s, revision %d", v.VNI, v.Revision)
	}
	for _, r := range v.Rows {
		line(r.Table, "%s", r)
		if r.Key != "" {
			line("etcd", "%s, revision %d", plain(r.Key), r.Revision)
		}
	}
	if v.MTU != 0 {
		line("path", "takes %d bytes of IP", v.MTU)
		line("sender", "%s", map[bool]string{true: "is told by ICMP", false: "cannot be told"}[v.Told])
	}
	if v.Frames > 1 {
		line("superframe", "of %d frames", v.Frames)
	}
	v.printOuter(line)
	line("reason", "%s", v.Reason)
	fmt.Fprintln(b, v.Verdict)
}

func (v *wayView) printOuter(line func(name, format string, a ...any)) {
	o := v.Outer
	if o == nil {
		return
	}
	for _, dst := range o.Dst {
		line("outer", "%s > %s", hostPort(o.Src, o.SrcPort), dst)
	}
	if len(o.Dst) == 0 {
		line("outer", "nobody: there is no other VTEP in the network")
	}
	line("ttl", "%d", o.TTL)
	line("dscp", "%d", o.DSCP)
	line("ecn", "%s", o.ECN)
	line("udp_csum", "%s", map[bool]string{true: "yes", false: "no: zero"}[o.UDPCsum])
	line("flow", "%#08x chose port %d", o.FlowHash, o.SrcPort)
}

// hostPort joins as netip does.
func hostPort(host string, port uint16) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return fmt.Sprintf("%s:%d", host, port)
}

// String is the row in iproute2's words.
func (r rowView) String() string {
	switch {
	case r.Table == "neigh":
		return fmt.Sprintf("%s lladdr %s (%s)", r.IP, r.MAC, r.Origin)
	case r.VTEP == "":
		return fmt.Sprintf("%s is behind this host (%s)", r.MAC, r.Origin)
	}
	return fmt.Sprintf("%s dst %s (%s)", r.MAC, r.VTEP, r.Origin)
}
