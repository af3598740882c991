package arpproxy

import (
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap/ether"
)

// The addresses of the cast in IPv6.
const (
	askerIP6 = "fd00:10:3::2"
	ownIP6   = "fd00:10:3::"
	hostIP6  = "fd00:10:10::"
	podIP6   = "fd00:10:10::7"
	printIP6 = "fd00:10:10::8"
	movedIP6 = "fd00:10:3::9"
	freeIP6  = "fd00:10:77::7"
	zeroIP6  = "::"
	linkIP6  = "fe80::a"
	nodesIP6 = "ff02::1"
)

// nd is a frame with an ICMPv6 message to be built by gopacket: its fixed part
// and options as bytes, so that they can be wrong.
type nd struct {
	eth     layers.Ethernet
	ip      layers.IPv6
	icmp    layers.ICMPv6
	body    []byte // flags and target
	options []byte
}

// solicit is the solicitation of the asker for target, with changes. Without
// any it goes to the group that the target's last three bytes choose.
func solicit(target string, changes ...func(*nd)) ether.Frame {
	b := addr(target).As16()
	return message6(layers.ICMPv6TypeNeighborSolicitation, target, append([]func(*nd){
		to6(ether.Addr{0x33, 0x33, 0xff, b[13], b[14], b[15]}),
		into6("ff02::1:ff" + hex(b[13]) + ":" + hex(b[14]) + hex(b[15])),
		slla(asker),
	}, changes...)...)
}

// advertise is the asker's advertisement of ip to all nodes, with changes.
func advertise(ip string, changes ...func(*nd)) ether.Frame {
	return message6(layers.ICMPv6TypeNeighborAdvertisement, ip, append([]func(*nd){
		to6(allNodesMAC), into6(nodesIP6), from6(ip), flags6(flagOverride), tlla(asker),
	}, changes...)...)
}

func hex(b byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[b>>4], digits[b&15]})
}

// message6 builds a neighbour discovery message from the asker.
func message6(kind uint8, target string, changes ...func(*nd)) ether.Frame {
	m := &nd{
		eth: layers.Ethernet{SrcMAC: asker[:], EthernetType: layers.EthernetTypeIPv6},
		ip: layers.IPv6{
			Version: 6, NextHeader: layers.IPProtocolICMPv6, HopLimit: 255, SrcIP: addr(askerIP6).AsSlice(),
		},
		icmp: layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(kind, 0)},
		body: append(make([]byte, 4), addr(target).AsSlice()...),
	}
	for _, change := range changes {
		change(m)
	}
	if err := m.icmp.SetNetworkLayerForChecksum(&m.ip); err != nil {
		panic(err)
	}
	return serialize(&m.eth, &m.ip, &m.icmp, gopacket.Payload(append(m.body, m.options...)))
}

func to6(a ether.Addr) func(*nd) { return func(m *nd) { m.eth.DstMAC = a[:] } }
func into6(ip string) func(*nd)  { return func(m *nd) { m.ip.DstIP = addr(ip).AsSlice() } }
func from6(ip string) func(*nd)  { return func(m *nd) { m.ip.SrcIP = addr(ip).AsSlice() } }
func hops(n uint8) func(*nd)     { return func(m *nd) { m.ip.HopLimit = n } }
func code(n uint8) func(*nd)     { return func(m *nd) { m.icmp.TypeCode |= layers.ICMPv6TypeCode(n) } }
func flags6(n byte) func(*nd)    { return func(m *nd) { m.body[0] = n } }
func short(n int) func(*nd)      { return func(m *nd) { m.body, m.options = m.body[:n-4], nil } }
func slla(a ether.Addr) func(*nd) {
	return func(m *nd) { m.options = append([]byte{optionSourceMAC, 1}, a[:]...) }
}
func tlla(a ether.Addr) func(*nd) {
	return func(m *nd) { m.options = append([]byte{optionTargetMAC, 1}, a[:]...) }
}

// bare takes the options away, more adds bytes behind them.
func bare(m *nd)                 { m.options = nil }
func more(o ...byte) func(*nd)   { return func(m *nd) { m.options = append(m.options, o...) } }
func by6(a ether.Addr) func(*nd) { return func(m *nd) { m.eth.SrcMAC = a[:]; slla(a)(m) } }

// probing makes a solicitation the one that detects duplicates (RFC 4862
// §5.4.2): from nobody, without a source address option.
func probing(m *nd) { from6(zeroIP6)(m); bare(m) }

// unicast6 sends to one station.
func unicast6(a ether.Addr, ip string) func(*nd) {
	return func(m *nd) { to6(a)(m); into6(ip)(m) }
}
