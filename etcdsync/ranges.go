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
	return ranges{holders: make(owners[netip.Prefix]), lengths: make(map[int]int)}
}

// lengthOf tells the lengths of both families apart.
func lengthOf(s netip.Prefix, bits int) int { return s.Addr().BitLen()<<8 | bits }

func (r *ranges) add(s netip.Prefix, p *party) {
	if r.holders[s] == nil {
		at, _ := slices.BinarySearchFunc(r.sorted, s, netip.Prefix.Compare)
		r.sorted = slices.Insert(r.sorted, at, s)
		r.lengths[lengthOf(s, s.Bits())]++
	}
	r.holders.add(s, p)
}

func (r *ranges) remove(s netip.Prefix, p *party) {
	r.holders.remove(s, p)
	if r.holders[s] != nil {
		return
	}
	if at, ok := slices.BinarySearchFunc(r.sorted, s, netip.Prefix.Compare); ok {
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
			if q, err := s.Addr().Prefix(bits); err == nil && r.holders[q] != nil && !yield(q) {
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
