package vswitch

import (
	"net/netip"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

// Decision is a verdict with what it rests on.
type Decision struct {
	Verdict Verdict
	VTEP    *fdb.VTEP        // of Forward
	Binding arpproxy.Binding // of Answer
	MTU     int              // of DropTooBig: what the path takes, in bytes of IP
}

// Classify decides what becomes of f, which came from the TAP of s. It does no
// I/O, keeps nothing and changes nothing, so every rule can be tested as a
// table. A superframe is classified once, by its headers.
func Classify(f ether.Frame, s *Self, t *Tables) Decision {
	if !f.Valid() {
		return Decision{Verdict: DropShort}
	}
	src, dst := f.Src(), f.Dst()
	switch {
	case src.IsMulticast() || src.IsZero():
		return Decision{Verdict: DropSource}
	case dst.IsLinkControl():
		return Decision{Verdict: DropLinkControl}
	}
	action, b := arpproxy.Decide(f, s.VNI, t.ARP, arpproxy.Own{IPs: t.Own})
	switch action {
	case arpproxy.Answer:
		return Decision{Verdict: Answer, Binding: b}
	case arpproxy.Silent:
		return Decision{Verdict: DropARPSilent}
	case arpproxy.Malformed:
		return Decision{Verdict: DropARPMalformed}
	case arpproxy.Conflict:
		return Decision{Verdict: DropARPConflict, Binding: b}
	case arpproxy.Unknown:
		return flood(t, DropARPUnknown)
	case arpproxy.Gratuitous:
		return flood(t, DropGratuitous)
	}
	switch {
	case dst.IsBroadcast():
		return flood(t, DropBroadcast)
	case dst.IsMulticast():
		return flood(t, DropMulticast)
	case dst == s.MAC, dst == s.asker():
		return Decision{Verdict: DropToSelf}
	}
	e, ok := t.FDB.Lookup(s.VNI, dst)
	switch {
	case !ok:
		return Decision{Verdict: DropUnknownUnicast}
	case e.VTEP == nil:
		return Decision{Verdict: DropLocal}
	}
	return Decision{Verdict: Forward, VTEP: e.VTEP}
}

func flood(t *Tables, otherwise Verdict) Decision {
	if t.Policy.Flood {
		return Decision{Verdict: Replicate}
	}
	return Decision{Verdict: otherwise}
}

// Accept decides about the datagram d, which src sent with the outer type of
// service tos, for the network of s. It applies the outer congestion mark to
// the inner header in place when it delivers, and changes nothing else. What is
// to be delivered is d behind its VXLAN header.
func Accept(d []byte, src netip.Addr, tos uint8, s *Self, t *Tables) Verdict {
	h := encap.Header(d)
	switch {
	case !h.Valid():
		return DropRuntDatagram
	case !h.HasVNI():
		return DropNoVNI
	case h.VNI() != s.VNI:
		return DropForeignVNI
	case t.Policy.StrictReserved && !h.ReservedClear():
		return DropReserved
	case !t.Policy.AcceptUnknownVTEP && !t.FDB.Accepts(s.VNI, src):
		return DropUnknownVTEP
	}
	f := h.Payload()
	if v := acceptFrame(f, src, s, t); v != Deliver {
		return v
	}
	v := concede(f, src, tos, s, t)
	if v == Deliver && s.Echoes != nil && isEcho(f, s) {
		return Echoed
	}
	return v
}

// concede is what is asked of every frame, also of one that is like the last.
func concede(f ether.Frame, src netip.Addr, tos uint8, s *Self, t *Tables) Verdict {
	if t.Sources != nil && !t.honest(f, src, s) {
		return DropSourceIP
	}
	return mark(f, tos)
}

// mark brings the outer congestion mark inside (RFC 6040 §4.2).
func mark(f ether.Frame, tos uint8) Verdict {
	if !encap.InnerECN(f, tos) {
		return DropECN
	}
	return Deliver
}

func acceptFrame(f ether.Frame, src netip.Addr, s *Self, t *Tables) Verdict {
	if !f.Valid() {
		return DropRuntFrame
	}
	mac := f.Src()
	switch {
	case mac.IsMulticast() || mac.IsZero():
		return DropInnerSource
	case mac == s.MAC:
		return DropOwnSource
	case f.Dst().IsLinkControl():
		return DropInnerLinkControl
	case f.Tagged() && !t.Policy.PassTags:
		return DropTagged
	}
	// The control plane alone says where a station is: a frame that says
	// otherwise is a spoof, or a station that moved and is not announced yet.
	if e, ok := t.FDB.Lookup(s.VNI, mac); ok && !e.VTEP.Owns(src) {
		return DropSpoofed
	}
	return Deliver
}
