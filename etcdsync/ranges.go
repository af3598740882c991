package etcdsync

import (
	"iter"
	"net/netip"
	"slices"
)

// ranges are subnets and who leases them, in an order that tells which overlap.
type ranges struct {
	holders owners[netip.Prefix]
	lengths map[int]int    // how many subnets there are of a length, IPv6's counted apart
	sorted  []netip.Prefix // that are leased
}

func newRanges() ranges {
	return ranges{holders: ownersOfSubnets(), lengths: make(map[int]int)}
}

// lengthOf tells the lengths of both families apart.
func lengthOf(s netip.Prefix, bits int) int { return s.Addr().BitLen()<<8 | bits }

// change lets p lease s, or no longer.
func (r *ranges) change(s netip.Prefix, p *party, in bool) {
	r.holders.change(s, p, in)
	at, there := slices.BinarySearchFunc(r.sorted, s, netip.Prefix.Compare)
	switch held := r.holders.count(s) > 0; {
	case held && !there:
		r.sorted = slices.Insert(r.sorted, at, s)
		r.lengths[lengthOf(s, s.Bits())]++
	case !held && there:
		r.sorted = slices.Delete(r.sorted, at, at+1)
		r.lengths[lengthOf(s, s.Bits())]--
	}
}

// overlapping yields the other subnets that s is within, and those within s:
// they follow it in the order of addresses. It looks at no others.
func (r *ranges) overlapping(s netip.Prefix) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for bits := range s.Bits() {
			if r.lengths[lengthOf(s, bits)] == 0 {
				continue
			}
			if q, err := s.Addr().Prefix(bits); err == nil && r.holders.count(q) > 0 && !yield(q) {
				return
			}
		}
		at, found := slices.BinarySearchFunc(r.sorted, s, netip.Prefix.Compare)
		if found {
			at++
		}
		for ; at < len(r.sorted) && s.Overlaps(r.sorted[at]); at++ {
			if !yield(r.sorted[at]) {
				return
			}
		}
	}
}
