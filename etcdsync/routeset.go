package etcdsync

import (
	"net/netip"
	"slices"
)

// routeSet counts which subnets are to be routed: one subnet may be that of
// two leases, one of them dual-stack.
type routeSet struct {
	counts map[netip.Prefix]routeCount
	dirty  map[netip.Prefix]struct{} // may have changed since sorted was made
	sorted []Route                   // given out: not to be written
}

// routeCount is how many leases want a route, and how many of them over IPv6.
type routeCount struct{ all, over6 int }

func newRouteSet() routeSet {
	return routeSet{counts: make(map[netip.Prefix]routeCount), dirty: make(map[netip.Prefix]struct{})}
}

func (s *routeSet) add(p netip.Prefix, over6 bool) { s.change(p, over6, 1) }

func (s *routeSet) remove(p netip.Prefix, over6 bool) { s.change(p, over6, -1) }

func (s *routeSet) change(p netip.Prefix, over6 bool, by int) {
	was := s.counts[p]
	is := routeCount{was.all + by, was.over6}
	if over6 {
		is.over6 += by
	}
	if s.counts[p] = is; is.all == 0 {
		delete(s.counts, p)
	}
	if (was.all == 0) != (is.all == 0) || (was.over6 == 0) != (is.over6 == 0) {
		s.dirty[p] = struct{}{}
	}
}

// list returns the routes in the order of their destinations: the same slice
// as before when nothing changed, else a new one.
func (s *routeSet) list() []Route {
	if len(s.dirty) == 0 {
		return s.sorted
	}
	var fresh []Route
	changed := false
	for p := range s.dirty {
		n := s.counts[p]
		r := Route{Dst: p, Via: p.Addr(), Over6: n.over6 > 0}
		i, was := slices.BinarySearchFunc(s.sorted, r, Route.compare)
		if n.all > 0 {
			fresh = append(fresh, r)
		}
		changed = changed || was != (n.all > 0) || was && s.sorted[i] != r
	}
	if changed {
		slices.SortFunc(fresh, Route.compare)
		s.sorted = s.merge(fresh)
	}
	s.dirty = make(map[netip.Prefix]struct{}) // cleared, it would cost what the first load filled it with
	return s.sorted
}

// merge returns the routes of sorted that are not dirty and all of fresh.
func (s *routeSet) merge(fresh []Route) []Route {
	out := make([]Route, 0, len(s.counts))
	for _, r := range s.sorted {
		if _, changed := s.dirty[r.Dst]; changed {
			continue
		}
		for len(fresh) > 0 && fresh[0].compare(r) < 0 {
			out, fresh = append(out, fresh[0]), fresh[1:]
		}
		out = append(out, r)
	}
	return append(out, fresh...)
}

func (r Route) compare(o Route) int { return r.Dst.Compare(o.Dst) }
