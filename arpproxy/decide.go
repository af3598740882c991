package arpproxy

import (
	"net/netip"
	"slices"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

// Own is what the host that the TAP belongs to has itself in the VNI. The
// slice is only read.
type Own struct {
	// IPs are the addresses on the TAP. The host answers for them itself: an
	// answer by the proxy would make it give its address up (RFC 5227 §2.4).
	IPs []netip.Addr
}

// Decide returns what becomes of f, which came from the TAP of vni, and the
// binding that decided it, where one did. f must be valid; a tagged frame
// passes. Decide does not change or keep f, and does not allocate.
func Decide(f ether.Frame, vni encap.VNI, t *Table, own Own) (Action, Binding) {
	var m message
	var a Action
	switch f.Type() {
	case ether.TypeARP:
		m, a = View(f.Payload()).message()
	case ether.TypeIPv6:
		m, a = readND(f)
	}
	if a != Answer {
		return a, Binding{}
	}
	return m.judge(f, vni, t, own)
}

// message is what a frame of address resolution says, ARP or ND.
type message struct {
	kind kind
	// ip is the address that the sender claims to have; 0.0.0.0 or :: in a
	// probe, which claims nothing yet.
	ip netip.Addr
	// mac is the Ethernet address that the sender claims for ip.
	mac ether.Addr
	// target is the address asked for; in a statement it is the claim itself.
	target netip.Addr
}

// kind is what a message is for.
type kind uint8

const (
	question     kind = iota // who has target?
	statement                // an answer to somebody
	announcement             // a statement nobody asked for
)

// judge decides about a message that is what it should be. These are the rules
// of RFC 5227 and RFC 9161 §3.3, one below the other.
func (m *message) judge(f ether.Frame, vni encap.VNI, t *Table, own Own) (Action, Binding) {
	if b, ok := m.foreign(vni, t, own); ok {
		return Conflict, b
	}
	unicast := !f.Dst().IsMulticast()
	switch {
	case m.kind == statement, m.kind == announcement && unicast:
		return Pass, Binding{}
	case !m.honest(f) || !resolvable(m.target):
		return Silent, Binding{}
	case m.kind == announcement:
		return Gratuitous, Binding{}
	case slices.Contains(own.IPs, m.target):
		return Silent, Binding{}
	}
	b, ok := t.Lookup(vni, m.target)
	switch {
	case !ok && unicast:
		return Pass, Binding{}
	case !ok:
		return Unknown, Binding{}
	case b.MAC == m.mac: // nobody is told that their address is taken by themselves
		return Silent, b
	case unicast && b.Origin != fdb.Lease: // the owner is polled, and answers
		return Pass, b
	}
	return Answer, b
}

// foreign looks for a binding of the sender's address to another station than
// the sender. RFC 9161 §3.7: what the control plane says is not overridden.
// The host's own claims stand above a table that may be late.
func (m *message) foreign(vni encap.VNI, t *Table, own Own) (Binding, bool) {
	b, ok := t.Lookup(vni, m.ip)
	if !ok || b.MAC == m.mac || m.ip.IsUnspecified() || slices.Contains(own.IPs, m.ip) {
		return Binding{}, false
	}
	return b, true
}

// honest reports whether f comes from the one station that it claims to be
// from: an answer goes to the frame's source, so nobody can have answers sent
// to others.
func (m *message) honest(f ether.Frame) bool {
	return m.mac == f.Src() && !m.mac.IsMulticast() && !m.mac.IsZero() &&
		(m.ip.IsUnspecified() || resolvable(m.ip))
}

// resolvable reports whether ip can be the address of one station.
func resolvable(ip netip.Addr) bool {
	limited := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return !ip.IsUnspecified() && !ip.IsLoopback() && !ip.IsMulticast() && ip != limited
}
