package main

import (
	"net/netip"

	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/switch/tap"
)

// linkPath is where the state of the data path is read.
const linkPath = "/v1/link"

// linkView is what it serves. What iproute2 has a name for has that one.
type linkView struct {
	Network      string                 `json:"network,omitempty"`
	Name         string                 `json:"ifname"`
	Index        int                    `json:"ifindex"`
	MAC          string                 `json:"address"`
	MTU          int                    `json:"mtu"`
	ID           uint32                 `json:"id"`
	Local        string                 `json:"local,omitempty"`
	Local6       string                 `json:"local6,omitempty"`
	Underlay     string                 `json:"link"`
	PortRange    portRange              `json:"port_range"`
	Port         uint16                 `json:"port"`
	AlsoListen   map[uint16]featureView `json:"also_listen,omitempty"` // further ports
	Learning     bool                   `json:"learning"`
	Proxy        bool                   `json:"proxy"`
	TOS          string                 `json:"tos,omitempty"`
	TTL          any                    `json:"ttl"` // a number, or inherit
	DF           string                 `json:"df"`
	Ageing       int                    `json:"ageing"` // 0: nothing ages
	UDPCsum      bool                   `json:"udp_csum"`
	ZeroCsum6Tx  bool                   `json:"udp_zero_csum6_tx"`
	ZeroCsum6Rx  bool                   `json:"udp_zero_csum6_rx"`
	SourcePorts  []uint16               `json:"source_ports,omitempty"`
	SourcePorts6 []uint16               `json:"source_ports6,omitempty"`
	Queues       int                    `json:"queues"`
	Lanes        int                    `json:"lanes"`
	Offload      offloadView            `json:"offload"`
	Features     map[string]featureView `json:"features"`
	RecvBuffer   bufferView             `json:"recv_buffer"`
	SendBuffer   bufferView             `json:"send_buffer"`
	Rules        rulesView              `json:"rules"`
	Paths        map[netip.Addr]int     `json:"narrow_paths,omitempty"` // bytes of outer IP, by VTEP
	Stats        *stats64               `json:"stats64,omitempty"`
}

type portRange struct {
	Low  uint16 `json:"low"`
	High uint16 `json:"high"`
}

// offloadView is what is wished of the TAP's offloads, and what they are.
type offloadView struct {
	Wish   string `json:"wish"`
	Active bool   `json:"active"`
	Reason string `json:"reason,omitempty"` // why it is not active
}

// featureView is whether a feature is in use, and if not why.
type featureView struct {
	Active bool   `json:"active"`
	Reason string `json:"reason,omitempty"`
}

// bufferView is a socket buffer, in bytes of payload.
type bufferView struct {
	Asked   int    `json:"asked"`
	Granted int    `json:"granted"`
	Reason  string `json:"reason,omitempty"`
}

// rulesView is what the network's configuration has chosen.
type rulesView struct {
	Flood       bool   `json:"flood"`
	FloodRate   int    `json:"flood_rate"` // copies a second; 0: any number
	InnerVLAN   string `json:"inner_vlan"`
	Reserved    string `json:"reserved_bits"`
	UnknownVTEP string `json:"unknown_vtep"`
	SourceIP    string `json:"source_ip"`
}

// view tells what the data path uses now, and what the kernel has counted; the
// latter only while there is a TAP.
func (p *plane) view() linkView {
	p.mu.Lock()
	v := p.linkNow()
	p.mu.Unlock()
	if c, err := p.host.Counters(v.Name); err == nil {
		v.Stats = stats64Of(c)
	}
	return v
}

// linkNow is view with mu held.
func (p *plane) linkNow() linkView {
	t := p.trunk
	sockets, home := t.bundle(), t.where()
	u := sockets.Capabilities()
	v := linkView{
		Network: p.member.name, Name: p.name, Index: p.link.Index, MAC: p.mac.String(), MTU: p.link.MTU,
		ID: uint32(p.network.VNI), Local: text(home.Addr), Local6: text(home.Addr6), Underlay: home.Name,
		Proxy: true, DF: "set",
		PortRange: portRange{p.sourceMin, p.sourceMax}, Port: p.network.Port, TOS: p.tosWord(), TTL: p.ttlWord(), UDPCsum: p.udpCsum != "off",
		SourcePorts: sockets.SourcePorts(false), SourcePorts6: sockets.SourcePorts(true),
		Queues: len(p.dev.Queues), Lanes: sockets.Lanes(),
		Features:   p.offloads.features(p.dev.Capabilities, u, t.priority(), t.realTime()),
		RecvBuffer: bufferView{recvBuffer, u.RecvBuffer / 2, u.Reason["recv_buffer"]}, // the kernel counts double (socket(7))
		SendBuffer: bufferView{sendBuffer, u.SendBuffer / 2, u.Reason["send_buffer"]},
	}
	v.Paths, v.AlsoListen = t.besides()
	tso := v.Features["tso"]
	v.Offload = offloadView{p.wish, tso.Active, tso.Reason}
	n := p.network
	if p.tables != nil {
		n = p.tables.Network
	}
	v.Rules = rulesOf(n)
	v.Rules.FloodRate = p.floodRate
	if v.Rules.SourceIP = "any"; p.strictSource {
		v.Rules.SourceIP = "the sending host's"
	}
	return v
}

// featureNames are the features in the order in which they are shown.
var featureNames = []string{"multi_queue", "steady_flows", "vnet_hdr", "tso", "uso", "udp_segment", "udp_gro", "mmsg", "ppoll", "priority", "real_time"}

// features tells of each feature whether it is in use, and why not.
func (o *offloads) features(t tap.Capabilities, u underlay.Capabilities, priority, realTime featureView) map[string]featureView {
	mmsg := ""
	for _, call := range []string{"sendmmsg", "recvmmsg"} {
		if why := u.Reason[call]; why != "" {
			mmsg += "; " + call + ": " + why
		}
	}
	on := o.wish == offloadAuto
	return map[string]featureView{
		"multi_queue":  feat(t.MultiQueue, t.Reason["multi_queue"]),
		"steady_flows": feat(t.Reason["steady_flows"] == "", t.Reason["steady_flows"]),
		"vnet_hdr":     feat(t.VnetHdr, o.whyPlain(t)),
		"tso":          feat(on && t.TCP, o.whyOff(t, "tso")),
		"uso":          feat(on && t.UDP, o.whyOff(t, "uso")),
		"udp_segment":  feat(u.UDPSegment, u.Reason["udp_segment"]),
		"udp_gro":      feat(u.UDPGRO, u.Reason["udp_gro"]),
		"mmsg":         feat(u.Mmsg, trimStart(mmsg)),
		"ppoll":        feat(u.Reason["ppoll"] == "", u.Reason["ppoll"]),
		"priority":     priority,
		"real_time":    realTime,
	}
}

func feat(active bool, reason string) featureView {
	if active {
		reason = ""
	}
	return featureView{active, reason}
}

func trimStart(s string) string { return s[min(2, len(s)):] }

// whyPlain says why frames carry no virtio header.
func (o *offloads) whyPlain(t tap.Capabilities) string {
	switch {
	case t.Reason["vnet_hdr"] != "":
		return t.Reason["vnet_hdr"]
	case o.plain:
		return "the agent was started with --offload off"
	case !t.MultiQueue:
		return "it needs multi_queue"
	}
	return "the kernel gave the queues none"
}

// whyOff says why the TAP's superframes of a kind are off.
func (o *offloads) whyOff(t tap.Capabilities, kind string) string {
	switch {
	case o.wish == offloadOff:
		return "switched off; `uvtep link set offload auto` turns it on"
	case o.renewal != nil:
		return "the TAP is being made anew"
	case !t.VnetHdr:
		return "it needs vnet_hdr"
	}
	return t.Reason[kind]
}

// rulesOf tells what a network's configuration has chosen.
func rulesOf(n etcdsync.Network) rulesView {
	p := policy(n)
	r := rulesView{Flood: p.Flood, InnerVLAN: "dropped on receipt, stripped on sending", Reserved: "ignored and counted", UnknownVTEP: "dropped"}
	if p.PassTags {
		r.InnerVLAN = "carried"
	}
	if p.StrictReserved {
		r.Reserved = "dropped"
	}
	if p.AcceptUnknownVTEP {
		r.UnknownVTEP = "accepted"
	}
	return r
}
