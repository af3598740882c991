package spell

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/uvtep/uvtep/encap/ether"
)

// Words describe a frame. At most one of ARP, NS and To is set; with none of
// them it is a frame of an experimental type.
type Words struct {
	Src, Dst ether.Addr // the zero Dst: what ARP and NS are sent to
	// ARP and NS are addresses that are asked for, From is who asks.
	ARP, NS netip.Addr
	// From and To are the addresses of an IP packet.
	From, To netip.Addr
	// Proto is tcp, udp or icmp; empty: none of them.
	Proto        string
	SPort, DPort uint16 // of TCP and UDP
	VLAN         uint16 // 0: no tag
	// Len is how long the frame is, in bytes from its Ethernet header on; 0, or
	// less than what is said takes: as long as need be.
	Len int
	TOS uint8
}

const (
	ttl    = 64
	ndTTL  = 255 // RFC 4861 §7.1.1
	window = 64240
	echoID = 1
)

// minLen is the shortest frame that can be made, in bytes: the shortest of
// Ethernet, without its check sequence.
const minLen = 60

// MaxLen is the longest frame that can be made, in bytes.
const MaxLen = ether.HeaderLen + 1<<16 - 1

// Make makes the frame that w describes.
func Make(w Words) (ether.Frame, error) {
	if w.Len < 0 || w.Len > MaxLen {
		return nil, fmt.Errorf("a frame of %d bytes: want %d at most", w.Len, MaxLen)
	}
	build := w.plain
	switch {
	case w.ARP.IsValid():
		build = w.arp
	case w.NS.IsValid():
		build = w.solicit
	case w.To.IsValid():
		build = w.ip
	}
	f, err := serialize(build(minLen))
	if err != nil {
		return nil, err
	}
	return serialize(build(max(0, w.Len-len(f)+minLen)))
}

// serialize makes bytes of layers, at least minLen.
func serialize(stack []gopacket.SerializableLayer, err error) (ether.Frame, error) {
	if err != nil {
		return nil, err
	}
	b := gopacket.NewSerializeBuffer()
	err = gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...)
	return ether.Frame(b.Bytes()), err
}

// ethernet is the beginning of the frame: its header, and its tag.
func (w *Words) ethernet(dst ether.Addr, typ layers.EthernetType) []gopacket.SerializableLayer {
	if !w.Dst.IsZero() {
		dst = w.Dst
	}
	e := &layers.Ethernet{SrcMAC: hardware(w.Src), DstMAC: hardware(dst), EthernetType: typ}
	if w.VLAN == 0 {
		return []gopacket.SerializableLayer{e}
	}
	e.EthernetType = layers.EthernetTypeDot1Q
	return []gopacket.SerializableLayer{e, &layers.Dot1Q{VLANIdentifier: w.VLAN, Type: typ}}
}

func hardware(a ether.Addr) net.HardwareAddr { return a[:] }

func padding(n int) gopacket.Payload { return make([]byte, n) }

// plain is a frame of a type that is for experiments (IEEE 802 local).
func (w *Words) plain(pad int) ([]gopacket.SerializableLayer, error) {
	return append(w.ethernet(w.Dst, 0x88b5), padding(pad)), nil
}

func (w *Words) arp(pad int) ([]gopacket.SerializableLayer, error) {
	from := w.From
	if !from.IsValid() {
		from = netip.IPv4Unspecified()
	}
	if !w.ARP.Is4() || !from.Is4() {
		return nil, fmt.Errorf("ARP for %s from %s: ARP is for IPv4; neighbour solicitation is for IPv6", w.ARP, from)
	}
	return append(w.ethernet(ether.Broadcast, layers.EthernetTypeARP), &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: ether.AddrLen, ProtAddressSize: 4, Operation: layers.ARPRequest,
		SourceHwAddress: w.Src[:], SourceProtAddress: from.AsSlice(), DstHwAddress: make([]byte, ether.AddrLen), DstProtAddress: w.ARP.AsSlice(),
	}, padding(pad)), nil
}

// solicit is a neighbour solicitation (RFC 4861 §4.3), one for duplicate address
// detection when nobody asks.
func (w *Words) solicit(pad int) ([]gopacket.SerializableLayer, error) {
	from := w.From
	if !from.IsValid() {
		from = netip.IPv6Unspecified()
	}
	if !w.NS.Is6() || !from.Is6() {
		return nil, fmt.Errorf("neighbour solicitation for %s from %s: that is for IPv6; ARP is for IPv4", w.NS, from)
	}
	target := w.NS.As16()
	group := [16]byte{0xff, 2, 11: 1, 12: 0xff, 13: target[13], 14: target[14], 15: target[15]} // RFC 4291 §2.7.1
	ip := &layers.IPv6{Version: 6, HopLimit: ndTTL, NextHeader: layers.IPProtocolICMPv6, SrcIP: from.AsSlice(), DstIP: group[:]}
	icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)}
	if err := icmp.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, err
	}
	ns := &layers.ICMPv6NeighborSolicitation{TargetAddress: target[:]}
	if !from.IsUnspecified() {
		ns.Options = layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: w.Src[:]}}
	}
	mac := ether.Addr{0x33, 0x33, 0xff, target[13], target[14], target[15]}
	return append(w.ethernet(mac, layers.EthernetTypeIPv6), ip, icmp, ns, padding(pad)), nil
}

func (w *Words) ip(pad int) ([]gopacket.SerializableLayer, error) {
	if w.From.Is4() != w.To.Is4() || !w.From.IsValid() {
		return nil, fmt.Errorf("a packet from %s to %s: want two addresses of one family", w.From, w.To)
	}
	if w.To.Is4() {
		ip := &layers.IPv4{Version: 4, TTL: ttl, TOS: w.TOS, Flags: layers.IPv4DontFragment, SrcIP: w.From.AsSlice(), DstIP: w.To.AsSlice(), Protocol: 253}
		rest, proto, err := w.transport(ip, pad)
		if proto != 0 {
			ip.Protocol = proto
		}
		return append(append(w.ethernet(w.Dst, layers.EthernetTypeIPv4), ip), rest...), err
	}
	ip := &layers.IPv6{Version: 6, HopLimit: ttl, TrafficClass: w.TOS, SrcIP: w.From.AsSlice(), DstIP: w.To.AsSlice(), NextHeader: 253}
	rest, proto, err := w.transport(ip, pad)
	if proto != 0 {
		ip.NextHeader = proto
	}
	return append(append(w.ethernet(w.Dst, layers.EthernetTypeIPv6), ip), rest...), err
}

// transport is what is in an IP packet: for a protocol of its own, or for
// experiments (RFC 3692) when there is none.
func (w *Words) transport(ip gopacket.NetworkLayer, pad int) ([]gopacket.SerializableLayer, layers.IPProtocol, error) {
	one := func(l gopacket.SerializableLayer) []gopacket.SerializableLayer {
		return []gopacket.SerializableLayer{l, padding(pad)}
	}
	switch w.Proto {
	case "":
		return []gopacket.SerializableLayer{padding(pad)}, 0, nil
	case "tcp":
		t := &layers.TCP{SrcPort: layers.TCPPort(w.SPort), DstPort: layers.TCPPort(w.DPort), SYN: true, Window: window}
		return one(t), layers.IPProtocolTCP, t.SetNetworkLayerForChecksum(ip)
	case "udp":
		u := &layers.UDP{SrcPort: layers.UDPPort(w.SPort), DstPort: layers.UDPPort(w.DPort)}
		return one(u), layers.IPProtocolUDP, u.SetNetworkLayerForChecksum(ip)
	case "icmp":
		if w.To.Is4() {
			return one(&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: echoID}), layers.IPProtocolICMPv4, nil
		}
		i := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
		if err := i.SetNetworkLayerForChecksum(ip); err != nil {
			return nil, 0, err
		}
		return []gopacket.SerializableLayer{i, &layers.ICMPv6Echo{Identifier: echoID}, padding(pad)}, layers.IPProtocolICMPv6, nil
	}
	return nil, 0, errors.New("protocol " + w.Proto + ": say tcp, udp or icmp")
}
