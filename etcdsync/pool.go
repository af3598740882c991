package etcdsync

import (
	"cmp"
	"net/netip"
	"slices"
)

// pool is the range of subnets that hosts lease from: count subnets of equal
// length, one after another. The zero pool has none.
type pool struct {
	first  u128 // address of the first subnet
	length int  // prefix length of a subnet
	bitLen int  // 32 or 128
	count  uint64
}

// maxPool is the number of subnets of a pool that are looked at: an IPv6 range
// may hold more than a machine word counts.
const maxPool = 1 << 62

// newPool returns the subnets of the given length from first to last, which
// lie on subnet boundaries of one family.
func newPool(first, last netip.Addr, length int) pool {
	p := pool{first: addrValue(first), length: length, bitLen: first.BitLen()}
	n := addrValue(last).sub(p.first).shr(p.hostBits())
	if p.count = maxPool; n.compare(u128{lo: maxPool}) < 0 {
		p.count = n.lo + 1
	}
	return p
}

func (p pool) hostBits() int { return p.bitLen - p.length }

// at returns subnet i.
func (p pool) at(i uint64) netip.Prefix {
	a := p.first.add(u128{lo: i}.shl(p.hostBits()))
	return netip.PrefixFrom(a.addr(p.bitLen), p.length)
}

// has reports whether q is one of the subnets.
func (p pool) has(q netip.Prefix) bool {
	lo, _, ok := p.span(q)
	return ok && q.Bits() == p.length && p.at(lo) == q
}

// span returns the numbers of the first and the last subnet that q overlaps.
func (p pool) span(q netip.Prefix) (lo, hi uint64, ok bool) {
	if p.count == 0 || !q.IsValid() || q.Addr().BitLen() != p.bitLen {
		return 0, 0, false
	}
	start := addrValue(q.Masked().Addr())
	end := start.add(u128{lo: 1}.shl(p.bitLen - q.Bits())).sub(u128{lo: 1})
	last := p.first.add(u128{lo: p.count}.shl(p.hostBits())).sub(u128{lo: 1})
	if q.Bits() == 0 {
		start, end = p.first, last
	}
	if end.compare(p.first) < 0 || start.compare(last) > 0 {
		return 0, 0, false
	}
	if start.compare(p.first) < 0 {
		start = p.first
	}
	if end.compare(last) > 0 {
		end = last
	}
	return start.sub(p.first).shr(p.hostBits()).lo, end.sub(p.first).shr(p.hostBits()).lo, true
}

// span is a range of subnet numbers, both ends included.
type span struct{ lo, hi uint64 }

// taken returns the subnets that the given prefixes overlap, as ranges in
// ascending order that do not touch each other.
func (p pool) taken(prefixes []netip.Prefix) []span {
	var all []span
	for _, q := range prefixes {
		if lo, hi, ok := p.span(q); ok {
			all = append(all, span{lo, hi})
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	merged := all[:0]
	for _, s := range all {
		if n := len(merged); n > 0 && s.lo <= merged[n-1].hi+1 {
			merged[n-1].hi = max(merged[n-1].hi, s.hi)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// pick returns a subnet that overlaps none of the given prefixes, each with
// the same probability: random(n) is uniform below n. It is false when none is
// free. The cost depends on the number of prefixes, not on the pool's size.
func (p pool) pick(prefixes []netip.Prefix, random func(n uint64) uint64) (netip.Prefix, bool) {
	taken := p.taken(prefixes)
	free := p.count
	for _, s := range taken {
		free -= s.hi - s.lo + 1
	}
	if free == 0 {
		return netip.Prefix{}, false
	}
	i := random(free)
	for _, s := range taken {
		if i < s.lo {
			break
		}
		i += s.hi - s.lo + 1
	}
	return p.at(i), true
}
