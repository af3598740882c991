package hostnet

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
)

// RouteProtocol is the protocol number that marks a kernel route as ours
// ("proto 86" in iproute2's words): no number that linux/rtnetlink.h or a
// routing daemon claims. Routes of this number on the TAP belong to uvtep
// alone.
const RouteProtocol = 86

// Route leads to one remote host's subnet: Dst via Via on the TAP, onlink.
type Route struct {
	Dst netip.Prefix
	Via netip.Addr
	// MTU is how long a datagram may be, in bytes, where that is less than the
	// TAP's; 0 where it is not.
	MTU int
}

// String is r in iproute2's words, without the device.
func (r Route) String() string {
	if r.MTU == 0 {
		return fmt.Sprintf("%s via %s", r.Dst, r.Via)
	}
	return fmt.Sprintf("%s via %s mtu %d", r.Dst, r.Via, r.MTU)
}

// valid reports whether the kernel could take r at all.
func (r Route) valid() bool {
	return r.Dst.IsValid() && r.Dst == r.Dst.Masked() && r.Via.IsValid() &&
		r.Dst.Addr().Is4() == r.Via.Is4() && r.Via.Zone() == ""
}

// Routes keeps the kernel's routes into the TAP equal to a wanted set. It
// remembers what it applied, so that the kernel is asked only for what changed.
// It may be used by several goroutines at once.
type Routes struct {
	host *Host

	mu      sync.Mutex
	index   int                    // the TAP's; 0 before the first Reconcile
	whole   bool                   // all of want is in the kernel
	want    []Route                // what shall be, by destination; written with wishMu held too
	applied map[netip.Prefix]Route // what is, as far as we know

	wishMu sync.Mutex // held for moments, never while the kernel is asked
}

// NewRoutes returns the keeper of the routes in h. It has touched nothing yet.
func NewRoutes(h *Host) *Routes { return &Routes{host: h} }

// Reconcile makes want the routes into the interface of that index. The first call,
// and one with another index than the last, begins with Resync. A route that the
// kernel refuses, or a foreign one in its place, costs that route alone: all the
// others are applied, the error names it, and the next call tries it again.
func (r *Routes) Reconcile(index int, want []Route) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var faults faults
	next, before := orderly(want, &faults), r.want
	r.wishMu.Lock()
	r.want = next
	r.wishMu.Unlock()
	faults.add(r.settle(index, func() error { return r.bring(difference(before, next)) }))
	r.whole = faults.err() == nil
	return faults.err()
}

// Change is Reconcile for little: it takes some destinations out of what was
// wanted last and adds routes, or changes them. It costs what changes, not what
// there is.
func (r *Routes) Change(index int, gone []netip.Prefix, fresh []Route) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var faults faults
	fresh = orderly(fresh, &faults)
	lost := r.amend(gone, fresh)
	faults.add(r.settle(index, func() error { return r.bring(lost, fresh) }))
	r.whole = faults.err() == nil
	return faults.err()
}

// amend changes want, and returns the routes that are gone.
func (r *Routes) amend(gone []netip.Prefix, fresh []Route) (lost []Route) {
	r.wishMu.Lock()
	defer r.wishMu.Unlock()
	for _, dst := range gone {
		if i, ok := find(r.want, dst); ok {
			lost = append(lost, r.want[i])
			r.want = slices.Delete(r.want, i, i+1)
		}
	}
	for _, f := range fresh {
		i, ok := find(r.want, f.Dst)
		if !ok {
			r.want = slices.Insert(r.want, i, f)
		}
		r.want[i] = f
	}
	return lost
}

// settle brings the kernel to what is wanted: by bring, which knows what that
// changes, if the kernel has all that was wanted before.
func (r *Routes) settle(index int, bring func() error) error {
	known := r.index == index
	r.index = index
	switch {
	case !known:
		return r.resync()
	case r.whole:
		return bring()
	}
	return r.apply()
}

// orderly is the valid ones of routes, by destination, the last one of each, in
// a slice of their own.
func orderly(routes []Route, faults *faults) []Route {
	if inOrder(routes) {
		return slices.Clone(routes)
	}
	out := make([]Route, 0, len(routes))
	for _, w := range routes {
		if !w.valid() {
			faults.add(fmt.Errorf("route %s: not a route", w))
			continue
		}
		out = append(out, w)
	}
	slices.Reverse(out)
	slices.SortStableFunc(out, Route.compare)
	return slices.CompactFunc(out, func(a, b Route) bool { return a.Dst == b.Dst })
}

func inOrder(routes []Route) bool {
	for i, r := range routes {
		if !r.valid() || i > 0 && routes[i-1].compare(r) >= 0 {
			return false
		}
	}
	return true
}

func (r Route) compare(o Route) int { return r.Dst.Compare(o.Dst) }

// difference is what of before is gone, and what of after is new or leads
// elsewhere; both are in the order of destinations.
func difference(before, after []Route) (gone, fresh []Route) {
	for len(before) > 0 && len(after) > 0 {
		switch c := before[0].compare(after[0]); {
		case c < 0:
			gone, before = append(gone, before[0]), before[1:]
			continue
		case c > 0:
			fresh = append(fresh, after[0])
		default:
			if before[0] != after[0] {
				fresh = append(fresh, after[0])
			}
			before = before[1:]
		}
		after = after[1:]
	}
	return append(gone, before...), append(fresh, after...)
}

// Resync compares the kernel's routes with what was last wanted: what is
// missing or differs is put right, strangers of ours on the TAP are removed. It
// does nothing before the first Reconcile.
func (r *Routes) Resync() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.index == 0 {
		return nil
	}
	err := r.resync()
	if err != nil {
		r.whole = false
	}
	return err
}

// Len returns how many routes are in the kernel as far as we know.
func (r *Routes) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.applied)
}

// wants reports whether a route to dst is wanted. It never waits for a
// Reconcile that is under way.
func (r *Routes) wants(dst netip.Prefix) bool {
	if r == nil {
		return false
	}
	r.wishMu.Lock()
	defer r.wishMu.Unlock()
	_, ok := find(r.want, dst)
	return ok
}

// find looks for a destination among routes in order.
func find(routes []Route, dst netip.Prefix) (i int, found bool) {
	return slices.BinarySearchFunc(routes, dst, func(r Route, dst netip.Prefix) int { return r.Dst.Compare(dst) })
}

// resync learns what is in the kernel before it applies what shall be.
func (r *Routes) resync() error {
	have, err := r.host.ownRoutes(r.index)
	if err != nil {
		r.index = 0 // nothing is known: begin with this again
		return fmt.Errorf("list routes: %w", err)
	}
	r.applied = make(map[netip.Prefix]Route, len(have))
	var faults faults
	for _, k := range have {
		if _, wanted := find(r.want, k.Dst); wanted && k.plain {
			r.applied[k.Dst] = k.Route
			continue
		}
		faults.add(r.host.deleteRoute(k))
	}
	faults.add(r.apply())
	return faults.err()
}

// apply brings the kernel from applied to want.
func (r *Routes) apply() error {
	have := make([]Route, 0, len(r.applied))
	for _, route := range r.applied {
		have = append(have, route)
	}
	slices.SortFunc(have, Route.compare)
	return r.bring(difference(have, r.want))
}

// bring takes routes out of the kernel and puts others in.
func (r *Routes) bring(gone, fresh []Route) error {
	var faults faults
	for _, g := range gone {
		if !faults.add(r.host.deleteRoute(r.kernel(g))) {
			delete(r.applied, g.Dst)
		}
	}
	var taken []kernelRoute
	for _, f := range fresh {
		_, is := r.applied[f.Dst]
		k := r.kernel(f)
		err := r.put(k, is)
		if inTheWay(k, err) {
			taken = append(taken, k)
			continue
		}
		faults.add(err)
	}
	faults.add(r.takeOver(taken))
	return faults.err()
}

// put hands one route to the kernel and remembers it.
func (r *Routes) put(k kernelRoute, replace bool) error {
	if err := r.host.putRoute(k, replace); err != nil {
		return err
	}
	r.applied[k.Dst] = k.Route
	return nil
}

// takeOver makes way for those routes whose place is taken by one of our own
// into another TAP, left by an agent that used that name. Foreign ones stay.
func (r *Routes) takeOver(taken []kernelRoute) error {
	if len(taken) == 0 {
		return nil
	}
	have, err := r.host.ownRoutes(0)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	left := map[netip.Prefix]kernelRoute{}
	for _, k := range have {
		left[k.Dst] = k
	}
	var faults faults
	for _, k := range taken {
		old, ours := left[k.Dst]
		if !ours {
			faults.add(fmt.Errorf("route %s: a route that is not ours is in its place or leads to its nexthop", k.Route))
			continue
		}
		if !faults.add(r.host.deleteRoute(old)) {
			faults.add(r.put(k, false))
		}
	}
	return faults.err()
}

// kernel is a route of ours as the kernel shall have it.
func (r *Routes) kernel(route Route) kernelRoute {
	return kernelRoute{Route: route, index: r.index, scope: scopeFor(route.Dst, len(r.want)), plain: true}
}
