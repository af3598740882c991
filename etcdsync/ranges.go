package etcdsync

import (
	"iter"
	"net/netip"
)

// ranges are subnets and who leases them, in an order that tells which overlap.
type ranges struct {
	holders owners[netip.Prefix]
	v4, v6  prefixTree // of those that are leased
}

func newRanges() ranges { return ranges{holders: ownersOfSubnets()} }

// tree is the one of a subnet's family.
func (r *ranges) tree(s netip.Prefix) *prefixTree {
	if s.Addr().Is4() {
		return &r.v4
	}
	return &r.v6
}

// change lets p lease s, or no longer.
func (r *ranges) change(s netip.Prefix, p *party, in bool) {
	r.holders.change(s, p, in)
	if n := r.holders.count(s); in && n == 1 {
		r.tree(s).add(s)
	} else if !in && n == 0 {
		r.tree(s).remove(s, 0)
	}
}

// overlapping yields the other subnets that s is within, and those within s,
// in the order of addresses. It looks at no others.
func (r *ranges) overlapping(s netip.Prefix) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		t := r.tree(s)
		for depth := range s.Bits() {
			if t.subnet != nil && !yield(*t.subnet) {
				return
			}
			if t = t.below[bit(s, depth)]; t == nil {
				return
			}
		}
		for _, t := range t.below {
			if !t.all(yield) {
				return
			}
		}
	}
}

// prefixTree is a set of subnets of one family: a bit of the address leads to each
// level, so that what it takes to find one depends on its length alone. The zero
// tree is empty.
type prefixTree struct {
	subnet *netip.Prefix // that ends here; nil: there is none
	below  [2]*prefixTree
}

// bit is a bit of a subnet's address, the highest first.
func bit(s netip.Prefix, i int) byte {
	if a := s.Addr(); a.Is4() {
		b := a.As4()
		return b[i/8] >> (7 - i%8) & 1
	}
	b := s.Addr().As16()
	return b[i/8] >> (7 - i%8) & 1
}

// add enters a subnet.
func (t *prefixTree) add(s netip.Prefix) {
	for depth := range s.Bits() {
		next := &t.below[bit(s, depth)]
		if *next == nil {
			*next = new(prefixTree)
		}
		t = *next
	}
	t.subnet = &s
}

// remove takes a subnet out, of which depth bits lead here, with what only led to it.
func (t *prefixTree) remove(s netip.Prefix, depth int) {
	if depth == s.Bits() {
		t.subnet = nil
		return
	}
	next := &t.below[bit(s, depth)]
	(*next).remove(s, depth+1)
	if **next == (prefixTree{}) {
		*next = nil
	}
}

// all yields every subnet, and reports whether more are wanted.
func (t *prefixTree) all(yield func(netip.Prefix) bool) bool {
	return t == nil || (t.subnet == nil || yield(*t.subnet)) && t.below[0].all(yield) && t.below[1].all(yield)
}
