package arpproxy

import (
	"net/netip"
	"slices"
	"strconv"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

// Action is what becomes of a frame from the TAP, as far as the proxy has a
// say. The zero Action is Pass.
type Action uint8

const (
	// Pass means that the frame is none of the proxy's business: it is
	// forwarded as any frame.
	Pass Action = iota
	// Answer means that Reply answers the frame, and nothing goes out.
	Answer
	// Silent means that the frame is dropped: nobody is to answer it.
	Silent
	// Malformed means that the frame is dropped because it is not what its
	// type says.
	Malformed
	// Conflict means that the frame is dropped because its sender claims an
	// address that is bound to another station. The binding is returned.
	Conflict
	// Unknown means a question for an address without a binding. It is
	// dropped, or replicated where the network floods.
	Unknown
	// Gratuitous means an announcement that conflicts with nothing. It is
	// dropped, or replicated where the network floods.
	Gratuitous
)

var actions = [...]string{
	Pass: "Pass", Answer: "Answer", Silent: "Silent", Malformed: "Malformed",
	Conflict: "Conflict", Unknown: "Unknown", Gratuitous: "Gratuitous",
}

// String returns the name of the constant.
func (a Action) String() string {
	if int(a) < len(actions) {
		return actions[a]
	}
	return "Action(" + strconv.Itoa(int(a)) + ")"
}

// Own is what the host that the TAP belongs to has itself in the VNI. The
// slice is only read.
type Own struct {
	// IPs are the addresses on the TAP. The host answers for them itself: an
	// answer by the proxy would make it give its address up (RFC 5227 §2.4).
	IPs []netip.Addr
}

// Decide returns what becomes of f, which came from the TAP of vni, and the
// binding that decided it, where one did. f must be valid. Decide does not
// change or keep f, and does not allocate.
func Decide(f ether.Frame, vni encap.VNI, t *Table, own Own) (Action, Binding) {
	switch f.Type() {
	case ether.TypeARP:
		return decideARP(f, vni, t, own)
	default:
		return Pass, Binding{}
	}
}

// decideARP decides about an ARP frame.
func decideARP(f ether.Frame, vni encap.VNI, t *Table, own Own) (Action, Binding) {
	v := View(f.Payload())
	if !v.Valid() {
		return Malformed, Binding{}
	}
	op, sender, target := v.Op(), v.SenderIP(), v.TargetIP()
	if op != OpRequest && op != OpReply {
		return Pass, Binding{}
	}
	if b, ok := claim(t, Key{vni, sender}, v.SenderMAC(), own); ok {
		return Conflict, b
	}
	announcement := sender == target // RFC 5227 §2.3; the reply form is as common
	switch {
	case op == OpReply && !announcement:
		return Pass, Binding{}
	case v.SenderMAC() != f.Src(), !station(f.Src()), !resolvable(target):
		return Silent, Binding{}
	case announcement:
		return announced(f)
	}
	return question(f, Key{vni, target}, t, own)
}

// claim looks for a binding of the sender's address to another station than
// the sender. RFC 9161 §3.7: what the control plane says is not overridden.
// The host's own claims stand above a table that may be late.
func claim(t *Table, k Key, sender ether.Addr, own Own) (Binding, bool) {
	b, ok := t.Lookup(k.VNI, k.IP)
	if !ok || b.MAC == sender || k.IP.IsUnspecified() || slices.Contains(own.IPs, k.IP) {
		return Binding{}, false
	}
	return b, true
}

// announced decides about an announcement. One that is told to a single
// station is a frame like any other.
func announced(f ether.Frame) (Action, Binding) {
	if f.Dst().IsMulticast() {
		return Gratuitous, Binding{}
	}
	return Pass, Binding{}
}

// question decides about a well-formed request for the address of k, ARP or
// ND, that comes from the station f is from.
func question(f ether.Frame, k Key, t *Table, own Own) (Action, Binding) {
	if slices.Contains(own.IPs, k.IP) {
		return Silent, Binding{}
	}
	b, ok := t.Lookup(k.VNI, k.IP)
	unicast := !f.Dst().IsMulticast()
	switch {
	case !ok && unicast:
		return Pass, Binding{}
	case !ok:
		return Unknown, Binding{}
	case b.MAC == f.Src(): // RFC 5227 §2.1.1: nobody is told that their address is taken by themselves
		return Silent, b
	case unicast && b.Origin != fdb.Lease: // RFC 9161 §3.3: the owner is polled, and answers
		return Pass, b
	}
	return Answer, b
}

// station reports whether a can be the address of one station.
func station(a ether.Addr) bool { return !a.IsMulticast() && !a.IsZero() }

// resolvable reports whether ip can be the address of one station.
func resolvable(ip netip.Addr) bool {
	limited := netip.AddrFrom4([4]byte{255, 255, 255, 255})
	return !ip.IsUnspecified() && !ip.IsLoopback() && !ip.IsMulticast() && ip != limited
}
