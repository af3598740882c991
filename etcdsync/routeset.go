package etcdsync

import (
	"iter"
	"net/netip"
	"slices"

	"github.com/uvtep/uvtep/internal/snapmap"
)

// Routes are kernel routes, one for each destination. They never change; those
// that follow share with them all that stays. The zero Routes are none.
type Routes struct {
	uses *snapmap.Map[netip.Prefix, routeUse]
}

// routeUse is how many leases want a route, one at least, and how many of them
// over IPv6: one subnet may be that of two leases, one of them dual-stack.
type routeUse struct{ all, over6 int32 }

func (u routeUse) route(p netip.Prefix) Route {
	return Route{Dst: p, Via: p.Addr(), Over6: u.over6 > 0}
}

// RoutesTo returns routes that lead to these destinations.
func RoutesTo(dst ...netip.Prefix) Routes {
	s := newRouteSet()
	for _, p := range dst {
		s.add(p, false)
	}
	return s.list()
}

// Len is the number of routes.
func (r Routes) Len() int { return r.uses.Len() }

// All yields every route once, in no particular order.
func (r Routes) All() iter.Seq[Route] {
	return func(yield func(Route) bool) {
		for p, u := range r.uses.All() {
			if !yield(u.route(p)) {
				return
			}
		}
	}
}

// Sorted returns all routes in the order of their destinations.
func (r Routes) Sorted() []Route { return slices.SortedFunc(r.All(), Route.compare) }

// Since tells how r differs from earlier ones: which destinations are gone, which
// routes are new or lead elsewhere, or might. It costs what was changed, not what
// there is.
func (r Routes) Since(before Routes) (gone []netip.Prefix, fresh []Route) {
	snapmap.Diff(before.uses, r.uses,
		func(p netip.Prefix) { gone = append(gone, p) },
		func(p netip.Prefix, u routeUse) { fresh = append(fresh, u.route(p)) })
	return gone, fresh
}

// routeSet counts which subnets are to be routed.
type routeSet struct {
	uses *snapmap.Editor[netip.Prefix, routeUse]
}

func newRouteSet() routeSet {
	return routeSet{(*snapmap.Map[netip.Prefix, routeUse])(nil).Edit()}
}

func (s *routeSet) add(p netip.Prefix, over6 bool) { s.change(p, over6, 1) }

func (s *routeSet) remove(p netip.Prefix, over6 bool) { s.change(p, over6, -1) }

func (s *routeSet) change(p netip.Prefix, over6 bool, by int32) {
	u, _ := s.uses.Get(p)
	if u.all += by; over6 {
		u.over6 += by
	}
	if u.all == 0 {
		s.uses.Delete(p)
		return
	}
	s.uses.Set(p, u)
}

// list returns the routes as they are now.
func (s *routeSet) list() Routes { return Routes{s.uses.Map()} }

func (r Route) compare(o Route) int { return r.Dst.Compare(o.Dst) }
