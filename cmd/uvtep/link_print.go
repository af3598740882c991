package main

import (
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// printLink prints a link for people, the first line as iproute2 would.
func printLink(w io.Writer, v linkView, details bool) error {
	b := new(strings.Builder)
	fmt.Fprintln(b, vxlanLine(v, details))
	if v.Stats != nil {
		v.Stats.print(b)
	}
	line := func(name, format string, a ...any) { fmt.Fprintf(b, "  %-12s %s\n", name, fmt.Sprintf(format, a...)) }
	line("tap", "%s", v.Name)
	line("index", "%d", v.Index)
	line("address", "%s", v.MAC)
	line("mtu", "%d", v.MTU)
	line("queues", "%d, for %d lanes", v.Queues, v.Lanes)
	line("source_ports", "%s", sourcePorts(v, details))
	line("offload", "%s", v.Offload)
	for _, name := range featureNames {
		f := v.Features[name]
		feature(b, name, f.Active, f.Reason)
	}
	line("recv_buffer", "%s", v.RecvBuffer)
	line("send_buffer", "%s", v.SendBuffer)
	line("flood", "%s", v.Rules.flooding())
	line("inner_vlan", "%s", v.Rules.InnerVLAN)
	line("reserved", "%s", v.Rules.Reserved)
	line("unknown_vtep", "%s", v.Rules.UnknownVTEP)
	line("source_ip", "%s", v.Rules.SourceIP)
	if details {
		line("unknown_mac", "dropped")
		line("dscp", "%s", dscpWord(v.TOS))
		line("ecn", "RFC 6040, both ways")
	}
	for _, port := range slices.Sorted(maps.Keys(v.AlsoListen)) {
		if why := v.AlsoListen[port].Reason; why != "" {
			line("also_listen", "%d: not now: %s", port, why)
			continue
		}
		line("also_listen", "%d", port)
	}
	for _, vtep := range slices.SortedFunc(maps.Keys(v.Paths), netip.Addr.Compare) {
		line("narrow_path", "%s: %d bytes", vtep, v.Paths[vtep])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// vxlanLine describes the link in the words of `ip -d link`: the attributes that
// make it what it is, or all that apply.
func vxlanLine(v linkView, all bool) string {
	s := []string{fmt.Sprintf("vxlan id %d", v.ID)}
	for _, a := range []string{v.Local, v.Local6} {
		if a != "" {
			s = append(s, "local "+a)
		}
	}
	s = append(s, fmt.Sprintf("dev %s srcport %d %d dstport %d", v.Underlay, v.PortRange.Low, v.PortRange.High, v.Port),
		flagWord(v.Learning, "learning"))
	if all {
		s = append(s, flagWord(v.Proxy, "proxy"))
	}
	if v.TOS != "" {
		s = append(s, "tos "+v.TOS)
	}
	s = append(s, fmt.Sprintf("ttl %v", v.TTL))
	if all {
		s = append(s, "df "+v.DF, "ageing "+ageingWord(v.Ageing))
	}
	s = append(s, flagWord(v.UDPCsum, "udpcsum"))
	if all {
		s = append(s, flagWord(v.ZeroCsum6Tx, "udp6zerocsumtx"), flagWord(v.ZeroCsum6Rx, "udp6zerocsumrx"))
	}
	return strings.Join(s, " ")
}

func ageingWord(seconds int) string {
	if seconds == 0 {
		return "none"
	}
	return strconv.Itoa(seconds)
}

// ipLink is a link as `ip -d -j link` has it, and what uvtep has to say besides.
type ipLink struct {
	linkView
	LinkInfo linkInfo `json:"linkinfo"`
}

type linkInfo struct {
	Kind string    `json:"info_kind"`
	Data vxlanInfo `json:"info_data"`
}

// vxlanInfo are the attributes of a vxlan device under iproute2's names.
type vxlanInfo struct {
	ID          uint32    `json:"id"`
	Local       string    `json:"local,omitempty"`
	Local6      string    `json:"local6,omitempty"`
	Link        string    `json:"link"`
	PortRange   portRange `json:"port_range"`
	Port        uint16    `json:"port"`
	Learning    bool      `json:"learning"`
	Proxy       bool      `json:"proxy"`
	TOS         string    `json:"tos,omitempty"`
	TTL         any       `json:"ttl"`
	DF          string    `json:"df"`
	Ageing      int       `json:"ageing"`
	UDPCsum     bool      `json:"udp_csum"`
	ZeroCsum6Tx bool      `json:"udp_zero_csum6_tx"`
	ZeroCsum6Rx bool      `json:"udp_zero_csum6_rx"`
}

func ipLinksOf(all []linkView) []ipLink {
	out := make([]ipLink, 0, len(all))
	for _, v := range all {
		out = append(out, ipLinkOf(v))
	}
	return out
}

func ipLinkOf(v linkView) ipLink {
	return ipLink{v, linkInfo{"vxlan", vxlanInfo{
		v.ID, v.Local, v.Local6, v.Underlay, v.PortRange, v.Port, v.Learning, v.Proxy, v.TOS, v.TTL, v.DF, v.Ageing, v.UDPCsum, v.ZeroCsum6Tx, v.ZeroCsum6Rx,
	}}}
}

func flagWord(on bool, word string) string {
	if on {
		return word
	}
	return "no" + word
}

// sourcePorts is how many ports are in use a family, and which.
func sourcePorts(v linkView, details bool) string {
	n := max(len(v.SourcePorts), len(v.SourcePorts6))
	if !details {
		return fmt.Sprint(n)
	}
	return strings.TrimSpace(fmt.Sprint(n, ": ", strings.Trim(fmt.Sprint(append(v.SourcePorts, v.SourcePorts6...)), "[]")))
}

func (o offloadView) String() string {
	if o.Active {
		return o.Wish + ": on"
	}
	if o.Wish == offloadOff {
		return offloadOff
	}
	return o.Wish + ", but off: " + o.Reason
}

func (b bufferView) String() string {
	if b.Reason == "" {
		return fmt.Sprintf("%d bytes", b.Granted)
	}
	return fmt.Sprintf("%d bytes: %s", b.Granted, b.Reason)
}

func (r rulesView) flooding() string {
	switch {
	case !r.Flood:
		return "off"
	case r.FloodRate == 0:
		return "on, without limit"
	}
	return fmt.Sprintf("on, at most %d copies a second", r.FloodRate)
}
