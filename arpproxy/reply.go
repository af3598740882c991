package arpproxy

import (
	"net/netip"

	"github.com/uvtep/uvtep/encap/ether"
)

const (
	// MaxLen is the size of the longest frame that Reply and Announce build, in
	// bytes: a neighbour advertisement. An ARP frame is 42 bytes long.
	MaxLen = ndFrameLen

	arpFrameLen = ether.HeaderLen + ARPLen
	ndFrameLen  = ether.HeaderLen + ether.IPv6HeaderLen + ndLen + ndOptionLen
)

// Reply builds in dst the answer to req, which Decide wants answered: the
// target has the address mac. It returns the frame, which is the beginning of
// dst and goes back into the TAP that req came from. dst must have a capacity
// of MaxLen and may be req itself. Reply does not allocate.
func Reply(dst []byte, req ether.Frame, mac ether.Addr) []byte {
	if req.Type() == ether.TypeIPv6 {
		return replyND(dst, req, mac)
	}
	v := View(req.Payload())
	return putARP(dst, req.Src(), &arpMessage{
		op:        OpReply,
		senderMAC: mac,
		senderIP:  v.TargetIP().As4(),
		targetMAC: v.SenderMAC(),
		targetIP:  v.SenderIP().As4(),
	})
}

// replyND builds an advertisement with the flags of RFC 9161 §3.3: override,
// since the answer names the owner's address and not the proxy's, and router,
// which is the default of §3.2.1. RFC 4861 §7.2.4: who asks from :: is
// detecting duplicates, so all nodes are told, and nobody's question answered.
func replyND(dst []byte, req ether.Frame, mac ether.Addr) []byte {
	p := ether.IPv6(req.Payload())
	a := advertisement{ip: NDView(p).Target(), mac: mac, flags: flagRouter | flagOverride}
	if p.Src().IsUnspecified() {
		a.dst = allNodes
		return putND(dst, allNodesMAC, &a)
	}
	a.dst, a.flags = p.Src(), a.flags|flagSolicited
	return putND(dst, req.Src(), &a)
}

// Announce builds in dst the frame that tells all stations that ip has the
// address mac, and returns it: the beginning of dst. For IPv4 it is a request
// from and for ip (RFC 5227 §2.3), for IPv6 an advertisement nobody asked for
// (RFC 4861 §7.2.6). dst must have a capacity of MaxLen. Announce does not
// allocate.
func Announce(dst []byte, ip netip.Addr, mac ether.Addr) []byte {
	if ip.Is6() {
		return putND(dst, allNodesMAC, &advertisement{ip: ip, dst: allNodes, mac: mac, flags: flagRouter | flagOverride})
	}
	return putARP(dst, ether.Broadcast, &arpMessage{op: OpRequest, senderMAC: mac, senderIP: ip.As4(), targetIP: ip.As4()})
}

// putARP builds the frame that takes m to the station to.
func putARP(dst []byte, to ether.Addr, m *arpMessage) []byte {
	dst = dst[:arpFrameLen]
	ether.PutHeader(dst, to, m.senderMAC, ether.TypeARP)
	m.put(dst[ether.HeaderLen:])
	return dst
}

// putND builds the frame that takes a to the station or the stations to.
func putND(dst []byte, to ether.Addr, a *advertisement) []byte {
	dst = dst[:ndFrameLen]
	ether.PutHeader(dst, to, a.mac, ether.TypeIPv6)
	a.put(dst[ether.HeaderLen:])
	return dst
}
