package etcdsync

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
)

// plan is what a host does to have a subnet: which key it writes, in the place
// of which.
type plan struct {
	subnets subnets
	base    *entry   // that is written over or replaced; nil: there is none
	drop    []*entry // of ours that do not count any more
}

// inPlace reports whether the plan keeps its base's key.
func (p *plan) inPlace() bool { return p.base != nil && p.base.subnets == p.subnets }

// reservation reports whether the key has no etcd lease and is to get none.
func (p *plan) reservation() bool { return p.base != nil && p.base.lease == 0 }

// planner decides which subnet a host takes, from what is leased. It does no
// I/O.
type planner struct {
	claim  *Claim
	lost   subnets // taken from us by somebody: theirs now
	random func(n uint64) uint64
}

func newPlanner(c *Claim, lost subnets) *planner {
	return &planner{claim: c, lost: lost, random: rand.Uint64N}
}

// plan returns what to do, or an ErrSubnetTaken or ErrNoSubnetFree.
func (p *planner) plan(l *listing) (*plan, error) {
	mine := slices.DeleteFunc(l.of(p.claim.NodeID), func(e *entry) bool { return e.subnets.overlap(p.lost) })
	base := p.base(l, mine)
	if base != nil && p.complete(base.subnets) {
		return &plan{subnets: base.subnets, base: base, drop: p.unfit(mine)}, nil
	}
	replaced := p.unfit(mine)
	if base != nil && !slices.Contains(replaced, base) {
		replaced = append(replaced, base)
	}
	s, err := p.choose(l, base, replaced)
	if err != nil {
		return nil, err
	}
	return &plan{subnets: s, base: base, drop: replaced}, nil
}

// base returns the entry that the host goes on with: its own, the oldest if it
// has several and none that it remembers, else one that a flannel with its
// address left.
func (p *planner) base(l *listing, mine []*entry) *entry {
	flannels := l.which(func(e *entry) bool { return e.value.node == "" && p.sameHost(e) && !e.subnets.overlap(p.lost) })
	for _, group := range [][]*entry{mine, flannels} {
		group = slices.DeleteFunc(slices.Clone(group), func(e *entry) bool { return !p.usable(e.subnets) })
		if i := slices.IndexFunc(group, func(e *entry) bool { return p.remembered(e.subnets) }); i >= 0 {
			return group[i]
		}
		if len(group) > 0 {
			return group[0]
		}
	}
	return nil
}

// sameHost reports whether an entry names the address of this host.
func (p *planner) sameHost(e *entry) bool {
	if e.fault != nil {
		return false
	}
	if p.claim.PublicIP.IsValid() {
		return e.value.publicIP == p.claim.PublicIP
	}
	return e.value.publicIPv6 == p.claim.PublicIPv6
}

func (p *planner) remembered(s subnets) bool {
	return s.v4.IsValid() && s.v4 == p.claim.Previous || s.v6.IsValid() && s.v6 == p.claim.Previous6
}

// usable reports whether some of the subnets can be kept, complete whether
// they can be kept as they are.
func (p *planner) usable(s subnets) bool {
	v4, v6 := p.fits(s)
	return v4 || v6
}

func (p *planner) complete(s subnets) bool {
	v4, v6 := p.fits(s)
	n := &p.claim.Network
	return v4 == n.IPv4.IsValid() && v6 == n.IPv6.IsValid() && s.v4.IsValid() == v4 && s.v6.IsValid() == v6
}

// fits reports which of the subnets are such as the network hands out, or what
// was asked for.
func (p *planner) fits(s subnets) (v4, v6 bool) {
	pool4, pool6 := p.claim.Network.pools()
	v4, v6 = pool4.has(s.v4), pool6.has(s.v6)
	want := p.claim.Want
	switch {
	case !want.IsValid():
	case want.Addr().Is4():
		v4 = s.v4 == want
		v6 = v6 && v4
	default:
		v6 = s.v6 == want
	}
	return v4, v6
}

// unfit returns those of our entries that the network does not hand out any
// more, reservations apart.
func (p *planner) unfit(mine []*entry) []*entry {
	return slices.DeleteFunc(slices.Clone(mine), func(e *entry) bool { return p.usable(e.subnets) || e.lease == 0 })
}

// choose returns new subnets for the host: what of its base can be kept, else
// what it wants or had, else any that is free.
func (p *planner) choose(l *listing, base *entry, replaced []*entry) (s subnets, err error) {
	var kept subnets
	if base != nil {
		kept = base.subnets
	}
	pool4, pool6 := p.claim.Network.pools()
	want4, want6 := p.claim.Want, netip.Prefix{}
	if want4.IsValid() && want4.Addr().Is6() {
		want4, want6 = want6, want4
	}
	taken := l.taken(replaced)
	if s.v4, err = p.one(pool4, want4, []netip.Prefix{kept.v4, p.claim.Previous}, taken, l); err != nil {
		return s, err
	}
	s.v6, err = p.one(pool6, want6, []netip.Prefix{kept.v6, p.claim.Previous6}, taken, l)
	return s, err
}

// one returns a subnet of one family: the wanted one if there is such, else
// the first of the given that is free, else any. A family that the network
// does not have has none.
func (p *planner) one(from pool, want netip.Prefix, first, taken []netip.Prefix, l *listing) (netip.Prefix, error) {
	if from.count == 0 {
		return netip.Prefix{}, nil
	}
	free := func(q netip.Prefix) bool { return !slices.ContainsFunc(taken, q.Overlaps) }
	if want.IsValid() {
		if !free(want) {
			return want, p.takenErr(want, l)
		}
		return want, nil
	}
	for _, q := range first {
		if from.has(q) && free(q) {
			return q, nil
		}
	}
	if q, ok := from.pick(taken, p.random); ok {
		return q, nil
	}
	return netip.Prefix{}, fmt.Errorf("%w: all %d subnets from %s to %s are leased (`uvtep subnets` shows by whom); release those of hosts that are gone with `uvtep subnets release`, or widen the network",
		ErrNoSubnetFree, from.count, from.at(0), from.at(from.count-1))
}

func (p *planner) takenErr(want netip.Prefix, l *listing) error {
	s := subnets{v4: want}
	if want.Addr().Is6() {
		s = subnets{v6: want}
	}
	by := "somebody"
	if e := l.overlapping(s); e != nil {
		by = fmt.Sprintf("%s (key %q)", e.holder(), e.name)
	}
	return fmt.Errorf("%w: %s belongs to %s", ErrSubnetTaken, want, by)
}
