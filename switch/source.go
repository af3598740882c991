package vswitch

import (
	"net/netip"
	"slices"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
	"github.com/uvtep/uvtep/internal/snapmap"
)

// Sources says which subnets are whose: inner addresses that are bound to nobody, and
// are no VTEP's, are those of the VTEP that has the longest prefix. It never changes;
// Edit begins the next one. Nil Sources have no subnet.
type Sources struct {
	subnets *snapmap.Map[netip.Prefix, []*fdb.VTEP] // lists that never change
	count   [2][maxBits + 1]int                     // of each length: IPv4, IPv6
	bits    [2][]int                                // the lengths there are, the longest first
}

const maxBits = 128

// SourcesEditor makes Sources of others, for what differs.
type SourcesEditor struct {
	subnets *snapmap.Editor[netip.Prefix, []*fdb.VTEP]
	count   [2][maxBits + 1]int
}

// Edit begins sources that start as s. s stays as it is.
func (s *Sources) Edit() *SourcesEditor {
	if s == nil {
		s = &Sources{}
	}
	return &SourcesEditor{s.subnets.Edit(), s.count}
}

// Add makes a subnet v's, and that of others to whom it was added before. The zero
// prefix is none.
func (e *SourcesEditor) Add(subnet netip.Prefix, v *fdb.VTEP) {
	if !subnet.IsValid() {
		return
	}
	subnet = subnet.Masked()
	vs, _ := e.subnets.Get(subnet)
	if len(vs) == 0 {
		e.count[family(subnet.Addr())][subnet.Bits()]++
	}
	e.subnets.Set(subnet, append(slices.Clip(vs), v))
}

// Remove takes back one Add.
func (e *SourcesEditor) Remove(subnet netip.Prefix, v *fdb.VTEP) {
	subnet = subnet.Masked()
	vs, _ := e.subnets.Get(subnet)
	i := slices.Index(vs, v)
	if i < 0 {
		return
	}
	if len(vs) > 1 {
		e.subnets.Set(subnet, slices.Concat(vs[:i], vs[i+1:]))
		return
	}
	e.count[family(subnet.Addr())][subnet.Bits()]--
	e.subnets.Delete(subnet)
}

// Sources returns the sources as edited so far. The editor may go on.
func (e *SourcesEditor) Sources() *Sources {
	s := &Sources{subnets: e.subnets.Map(), count: e.count}
	for f := range s.count {
		for bits := maxBits; bits >= 0; bits-- {
			if s.count[f][bits] > 0 {
				s.bits[f] = append(s.bits[f], bits)
			}
		}
	}
	return s
}

// of returns the VTEPs in whose subnet ip is, if any.
func (s *Sources) of(ip netip.Addr) []*fdb.VTEP {
	for _, bits := range s.bits[family(ip)] {
		p, _ := ip.Prefix(bits)
		if vs, ok := s.subnets.Get(p); ok {
			return vs
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
	if !ip.Is4In6() && t.FDB.Accepts(s.VNI, ip) {
		return t.FDB.Together(s.VNI, src, ip)
	}
	if vs := t.Sources.of(ip); vs != nil {
		return slices.ContainsFunc(vs, func(v *fdb.VTEP) bool { return v.Owns(src) })
	}
	return ip.Is6() && ip.IsLinkLocalUnicast()
}
