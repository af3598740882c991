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
	op, unicast := v.Op(), !f.Dst().IsMulticast()
	if op != OpRequest && op != OpReply {
		return Pass, Binding{}
	}
	sender, target := v.SenderIP(), v.TargetIP()
	if b, ok := t.Lookup(vni, sender); ok && b.MAC != v.SenderMAC() {
		return Conflict, b
	}
	switch {
	case sender == target && !unicast:
		return Gratuitous, Binding{}
	case op == OpReply || sender == target:
		return Pass, Binding{}
	case v.SenderMAC() != f.Src() || v.SenderMAC().IsMulticast() || v.SenderMAC().IsZero():
		return Silent, Binding{}
	case !resolvable(target) || slices.Contains(own.IPs, target):
		return Silent, Binding{}
	}
	return question(t, Key{vni, target}, v.SenderMAC(), unicast)
}

// question decides about a well-formed request for the address of k.
func question(t *Table, k Key, asker ether.Addr, unicast bool) (Action, Binding) {
	b, ok := t.Lookup(k.VNI, k.IP)
	switch {
	case !ok && unicast:
		return Pass, Binding{}
	case !ok:
		return Unknown, Binding{}
	case b.MAC == asker:
		return Silent, b
	case unicast && b.Origin != fdb.Lease:
		return Pass, b
	}
	return Answer, b
}

// resolvable reports whether ip can be the address of one station.
func resolvable(ip netip.Addr) bool {
	return !ip.IsUnspecified() && !ip.IsLoopback() && !ip.IsMulticast() && ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}
