package vswitch

import (
	"net/netip"
	"time"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

// Sample is what a capture keeps of a frame from a TAP or of a datagram from the
// underlay: what it was, and what became of it.
type Sample struct {
	Time    time.Time // of its batch
	VNI     encap.VNI // of the network that decided
	Verdict Verdict
	// Peer is the VTEP that it went to or the sender that it came from; invalid
	// where there is none or more than one, VTEPs then says how many.
	Peer  netip.AddrPort
	VTEPs int
	// Outer is the outer header of what went or came, as far as it is known.
	Outer encap.Datagram
	// Stripped says that it had VLAN tags, Segment how much payload each of its
	// frames has if it is a superframe, in bytes, else 0.
	Stripped bool
	Segment  int
	// Len is how long Data was before it was cut.
	Len int
	// Data is the frame; of a datagram the VXLAN header is in front of it.
	Data []byte
}

// Inner returns the inner frame, as far as it was kept, and how long it was.
func (s *Sample) Inner() (f ether.Frame, length int) {
	if !s.Verdict.Inbound() {
		return s.Data, s.Len
	}
	n := min(encap.HeaderLen, len(s.Data))
	return s.Data[n:], max(s.Len-encap.HeaderLen, 0)
}

// Filter says which samples a capture wants. The zero Filter wants all.
type Filter struct {
	Verdicts VerdictSet // empty: all
	// VNI is the network that decided, if HasVNI is set.
	VNI    encap.VNI
	HasVNI bool
	// MAC and IP are the source or the destination of the inner frame, IP also what
	// ARP and neighbour discovery are about; VTEP is the peer. Zero: any.
	MAC  ether.Addr
	IP   netip.Addr
	VTEP netip.Addr
	// SnapLen is how much of a frame is kept, in bytes; 0: all.
	SnapLen int
}

// VerdictSet is a set of verdicts.
type VerdictSet uint64

// Add returns the set with v.
func (s VerdictSet) Add(v Verdict) VerdictSet { return s | 1<<v }

// Has reports whether v is in the set.
func (s VerdictSet) Has(v Verdict) bool { return s&(1<<v) != 0 }

// wants reports whether the filter lets a sample through.
func (f *Filter) wants(s *Sample) bool {
	switch {
	case f.Verdicts != 0 && !f.Verdicts.Has(s.Verdict):
		return false
	case f.HasVNI && s.VNI != f.VNI:
		return false
	case f.VTEP.IsValid() && s.Peer.Addr() != f.VTEP:
		return false
	}
	inner, _ := s.Inner()
	if !f.MAC.IsZero() && !(inner.Valid() && (inner.Src() == f.MAC || inner.Dst() == f.MAC)) {
		return false
	}
	return !f.IP.IsValid() || concerns(inner, f.IP)
}

// concerns reports whether f is from, to or about an IP address.
func concerns(f ether.Frame, ip netip.Addr) bool {
	if !f.Valid() {
		return false
	}
	if m, ok := arpproxy.Read(f); ok && (m.Sender == ip || m.Target == ip) {
		return true
	}
	switch typ, b := f.Network(); {
	case typ == ether.TypeIPv4 && len(b) >= ether.IPv4HeaderLen:
		return ether.IPv4(b).Src() == ip || ether.IPv4(b).Dst() == ip
	case typ == ether.TypeIPv6 && len(b) >= ether.IPv6HeaderLen:
		return ether.IPv6(b).Src() == ip || ether.IPv6(b).Dst() == ip
	}
	return false
}
