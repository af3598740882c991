package arpproxy

import (
	"encoding/binary"
	"net/netip"

	"github.com/uvtep/uvtep/encap/ether"
)

// Ask builds in dst the frame that asks the station to whether it still has
// ip, so that its answer goes to the station from, and returns it: the beginning
// of dst. For IPv4 it is a probe (RFC 5227 §2.1.1), which claims nothing, for
// IPv6 a solicitation to the one station (RFC 4861 §7.3.3) from the link-local
// address that belongs to from. dst must have a capacity of MaxLen. Ask does
// not allocate.
func Ask(dst []byte, ip netip.Addr, to, from ether.Addr) []byte {
	if ip.Is6() {
		return putSolicitation(dst, ip, to, from)
	}
	return putARP(dst, to, &arpMessage{op: OpRequest, senderMAC: from, targetIP: ip.As4()})
}

// putSolicitation builds the frame that solicits ip of one station.
func putSolicitation(dst []byte, ip netip.Addr, to, from ether.Addr) []byte {
	dst = dst[:ndFrameLen]
	ether.PutHeader(dst, to, from, ether.TypeIPv6)
	p := ether.IPv6(dst[ether.HeaderLen:])
	p.SetVersion()
	p.SetPayloadLen(ndLen + ndOptionLen)
	p.SetNextHeader(icmpv6)
	p.SetHopLimit(ndHopLimit)
	p.SetSrc(linkLocal(from))
	p.SetDst(ip)
	m := p.Payload()
	clear(m)
	target := ip.As16()
	m[0] = ndSolicit
	copy(m[8:], target[:])
	m[ndLen], m[ndLen+1] = optionSourceMAC, 1
	copy(m[ndLen+2:], from[:])
	sum := ether.Sum(m, ether.PseudoSum6(p, icmpv6, len(m)))
	binary.BigEndian.PutUint16(m[2:], ^ether.Fold(sum))
	return dst
}

// linkLocal is the address that an interface makes of its Ethernet address (RFC
// 4291 appendix A).
func linkLocal(mac ether.Addr) netip.Addr {
	return netip.AddrFrom16([16]byte{
		0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5],
	})
}
