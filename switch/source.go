package vswitch

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

// Sources says which inner addresses are which VTEP's, besides those that the
// ARP table binds. It never changes.
type Sources struct {
	hosts map[netip.Prefix]*fdb.VTEP
	bits  [2][]int // lengths of the prefixes there are, the longest first: IPv4, IPv6
}

// NewSources returns the sources of VTEPs with subnets, and of others. The own
// addresses of all of them are among these.
func NewSources(subnets iter.Seq2[netip.Prefix, *fdb.VTEP], others iter.Seq[*fdb.VTEP]) *Sources {
	s := &Sources{hosts: make(map[netip.Prefix]*fdb.VTEP)}
	add := func(a netip.Addr, v *fdb.VTEP) {
		if a.IsValid() {
			s.add(netip.PrefixFrom(a, a.BitLen()), v)
		}
	}
	for v := range others {
		add(v.To.Addr(), v)
		add(v.Alt, v)
	}
	for p, v := range subnets {
		if p.IsValid() {
			s.add(p.Masked(), v)
		}
		add(v.To.Addr(), v)
		add(v.Alt, v)
	}
	for _, bits := range s.bits {
		slices.SortFunc(bits, func(a, b int) int { return b - a })
	}
	return s
}

func (s *Sources) add(p netip.Prefix, v *fdb.VTEP) {
	s.hosts[p] = v
	bits := &s.bits[family(p.Addr())]
	if !slices.Contains(*bits, p.Bits()) {
		*bits = append(*bits, p.Bits())
	}
}

// of returns the VTEP whose address or whose subnet's address ip is, else nil.
func (s *Sources) of(ip netip.Addr) *fdb.VTEP {
	for _, bits := range s.bits[family(ip)] {
		p, _ := ip.Prefix(bits)
		if v := s.hosts[p]; v != nil {
			return v
		}
	}
	return nil
}

func family(ip netip.Addr) int {
	if ip.Is4() {
		return 0
	}
	return 1
}

// honest reports whether the inner source addresses of f, which src sent, belong
// to src. What cannot be told is not honest: no host would understand it either.
func (t *Tables) honest(f ether.Frame, src netip.Addr, s *Self) bool {
	typ, b := f.Network()
	switch typ {
	case ether.TypeARP:
		v := arpproxy.View(b)
		return v.Valid() && t.owns(src, v.SenderIP(), s)
	case ether.TypeIPv4:
		return len(b) >= ether.IPv4HeaderLen && t.owns(src, ether.IPv4(b).Src(), s)
	case ether.TypeIPv6:
		if len(b) < ether.IPv6HeaderLen || !t.owns(src, ether.IPv6(b).Src(), s) {
			return false
		}
		claim, ok := arpproxy.Advertised(b)
		return ok && (!claim.IsValid() || t.owns(src, claim, s))
	}
	return true
}

// owns reports whether ip belongs to the VTEP that sends from src. The unspecified
// address belongs to nobody: it is that of who has none yet. A link-local IPv6
// address that is not bound may be anybody's, for ND needs them.
func (t *Tables) owns(src, ip netip.Addr, s *Self) bool {
	if ip.IsUnspecified() || ip == src.Unmap() {
		return true
	}
	if b, ok := t.ARP.Lookup(s.VNI, ip); ok {
		e, ok := t.FDB.Lookup(s.VNI, b.MAC)
		return ok && e.VTEP.Owns(src)
	}
	if v := t.Sources.of(ip); v != nil {
		return v.Owns(src)
	}
	return ip.Is6() && ip.IsLinkLocalUnicast()
}
