package arpproxy

import (
	"encoding/binary"
	"net/netip"

	"github.com/uvtep/uvtep/encap/ether"
)

const (
	// ndLen is the size of a neighbour solicitation or advertisement without
	// options, in bytes, and ndOptionLen that of a link-layer address option.
	ndLen       = 24
	ndOptionLen = 8

	icmpv6      = 58
	ndHopLimit  = 255 // RFC 4861 §11.2: proof that no router has forwarded it
	ndSolicit   = 135
	ndAdvertise = 136

	optionSourceMAC = 1
	optionTargetMAC = 2

	flagRouter    = 0x80
	flagSolicited = 0x40
	flagOverride  = 0x20
)

// The groups of all nodes (RFC 4291 §2.7.1) and, of those that listen for
// solicitations, the first 13 bytes.
var (
	allNodes      = netip.IPv6LinkLocalAllNodes()
	allNodesMAC   = ether.Addr{0x33, 0x33, 0, 0, 0, 1}
	solicitedNode = netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xff, 0x02, 11: 1, 0xff}), 104)
)

// NDView is an IPv6 datagram that carries a neighbour solicitation or
// advertisement, viewed in place (RFC 4861 §4.3, §4.4). All methods but Valid
// require a valid one.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+---------------------------------------------------------------+
//	|        IPv6 header (40 bytes), next header 58, hop limit 255   …
//	+---------------+---------------+-------------------------------+
//	|type 135 or 136|   code (0)    |           checksum            |
//	+-+-+-+---------+---------------+-------------------------------+
//	|R|S|O|                     reserved                            |
//	+-+-+-+---------------------------------------------------------+
//	|                   target address (16 bytes)                   …
//	+---------------+---------------+-------------------------------+
//	| option type   | length (8 B)  |  link-layer address …         |
//	+---------------+---------------+-------------------------------+
type NDView []byte

// Valid reports whether a node may take v seriously: the checks of RFC 4861
// §7.1.1 and §7.1.2, all of them.
func (v NDView) Valid() bool {
	p := ether.IPv6(v)
	if !p.Valid() || p.NextHeader() != icmpv6 || p.HopLimit() != ndHopLimit || p.PayloadLen() < ndLen {
		return false
	}
	m := p.Payload()
	if m[1] != 0 || !checksumRight(p) || v.Target().IsMulticast() || !optionsWhole(m[ndLen:]) {
		return false
	}
	switch _, has := v.SourceMAC(); v.Type() {
	case ndSolicit:
		return !p.Src().IsUnspecified() || solicitedNode.Contains(p.Dst()) && !has
	case ndAdvertise:
		return !p.Dst().IsMulticast() || !v.Solicited()
	}
	return false
}

// checksumRight verifies the ICMPv6 checksum.
func checksumRight(p ether.IPv6) bool {
	return ether.Fold(ether.Sum(p.Payload(), ether.PseudoSum6(p, icmpv6, p.PayloadLen()))) == 0xffff
}

// optionsWhole reports whether o is a sequence of options, none of them empty
// or cut off, and those that are read here of the length for Ethernet.
func optionsWhole(o []byte) bool {
	for len(o) > 0 {
		if len(o) < ndOptionLen || o[1] == 0 || len(o) < 8*int(o[1]) {
			return false
		}
		if (o[0] == optionSourceMAC || o[0] == optionTargetMAC) && o[1] != 1 {
			return false
		}
		o = o[8*int(o[1]):]
	}
	return true
}

// Type returns the ICMPv6 type: 135 solicits, 136 advertises.
func (v NDView) Type() uint8 { return v[ether.IPv6HeaderLen] }

// Solicited reports whether an advertisement says that it answers somebody.
func (v NDView) Solicited() bool { return v[ether.IPv6HeaderLen+4]&flagSolicited != 0 }

// Target returns the address that is asked for or advertised.
func (v NDView) Target() netip.Addr {
	return netip.AddrFrom16([16]byte(v[ether.IPv6HeaderLen+8 : ether.IPv6HeaderLen+ndLen]))
}

// SourceMAC returns the Ethernet address that a solicitation gives for its
// sender; it may give none.
func (v NDView) SourceMAC() (ether.Addr, bool) { return v.option(optionSourceMAC) }

// TargetMAC returns the Ethernet address that an advertisement gives for its
// target; it may give none, and then means the frame's source.
func (v NDView) TargetMAC() (ether.Addr, bool) { return v.option(optionTargetMAC) }

// option returns the address in the first option of a type.
func (v NDView) option(kind uint8) (ether.Addr, bool) {
	o := ether.IPv6(v).Payload()[ndLen:]
	for len(o) > 0 {
		if o[0] == kind {
			return ether.Addr(o[2:ndOptionLen]), true
		}
		o = o[8*int(o[1]):]
	}
	return ether.Addr{}, false
}

// readND is what f says, with Answer when that is to be judged. Everything
// that is not a neighbour solicitation or advertisement passes.
func readND(f ether.Frame) (message, Action) {
	p := ether.IPv6(f.Payload())
	if !p.Valid() {
		return message{}, Pass
	}
	switch p.NextHeader() {
	case icmpv6:
	case ether.ProtoTCP, ether.ProtoUDP:
		return message{}, Pass
	default:
		return message{}, readHidden(p)
	}
	if p.PayloadLen() == 0 {
		return message{}, Pass
	}
	v := NDView(p)
	if t := v.Type(); t != ndSolicit && t != ndAdvertise {
		return message{}, Pass
	}
	if !v.Valid() {
		return message{}, Malformed
	}
	return v.message(f), Answer
}

// readHidden looks behind extension headers. No host sends a solicitation or an
// advertisement like that, but hosts believe it (RFC 7113 §1 tells the same of
// router advertisements): it would say what it likes. Nor does any have more of
// them than are looked behind.
func readHidden(p ether.IPv6) Action {
	proto, m, _, ok := p.Transport()
	if !ok || proto == icmpv6 && len(m) > 0 && (m[0] == ndSolicit || m[0] == ndAdvertise) {
		return Malformed
	}
	return Pass
}

// Advertised returns the address that an IPv6 packet, if it is a neighbour
// advertisement, says its sender has, else the zero Addr. Extension headers hide
// nothing from it: ok is false when it cannot be told what is behind them.
func Advertised(p ether.IPv6) (ip netip.Addr, ok bool) {
	if !p.Valid() {
		return netip.Addr{}, true
	}
	proto, m, _, ok := p.Transport()
	if proto != icmpv6 || len(m) < ndLen || m[0] != ndAdvertise {
		return netip.Addr{}, ok
	}
	return netip.AddrFrom16([16]byte(m[8:ndLen])), ok
}

// message is what v says, in the frame f.
func (v NDView) message(f ether.Frame) message {
	p, m := ether.IPv6(v), message{target: v.Target()}
	given := false
	if v.Type() == ndSolicit {
		m.ip = p.Src()
		m.mac, given = v.SourceMAC()
	} else {
		m.ip, m.kind = m.target, statement
		m.mac, given = v.TargetMAC()
	}
	if !given {
		m.mac = f.Src()
	}
	if m.kind == statement && p.Dst().IsMulticast() {
		m.kind = announcement
	}
	return m
}

// advertisement is a neighbour advertisement to be written, of the address ip
// that mac has, to the address dst.
type advertisement struct {
	ip, dst netip.Addr
	mac     ether.Addr
	flags   uint8
}

// put writes a to the first ndFrameLen-ether.HeaderLen bytes of b.
func (a *advertisement) put(b []byte) {
	p := ether.IPv6(b[:ndFrameLen-ether.HeaderLen])
	p.SetVersion()
	p.SetPayloadLen(ndLen + ndOptionLen)
	p.SetNextHeader(icmpv6)
	p.SetHopLimit(ndHopLimit)
	p.SetSrc(a.ip)
	p.SetDst(a.dst)
	m := p.Payload()
	clear(m)
	m[0], m[4] = ndAdvertise, a.flags
	copy(m[8:], b[8:24]) // the target is the source
	m[ndLen], m[ndLen+1] = optionTargetMAC, 1
	copy(m[ndLen+2:], a.mac[:])
	sum := ether.Sum(m, ether.PseudoSum6(p, icmpv6, len(m)))
	binary.BigEndian.PutUint16(m[2:], ^ether.Fold(sum))
}
