package hostnet

import (
	"errors"
	"net/netip"
	"sync"
)

// RouteProtocol is the protocol number that marks a kernel route as ours
// ("proto 86" in iproute2's words): no number that rtnetlink.h or a routing
// daemon claims. Routes of this number on the TAP belong to uvtep alone.
const RouteProtocol = 86

// Route leads to one remote host's subnet: Dst via Via on the TAP, onlink.
type Route struct {
	Dst netip.Prefix
	Via netip.Addr
}

// Routes keeps the kernel's routes into the TAP equal to a wanted set. It
// remembers what it applied, so that a change costs what changed. It may be
// used by several goroutines at once.
type Routes struct {
	host *Host

	mu    sync.Mutex
	index int
	want  map[netip.Prefix]netip.Addr
}

// NewRoutes returns the keeper of the routes in h. It has touched nothing yet.
func NewRoutes(h *Host) *Routes { return &Routes{host: h} }

// Reconcile makes want the routes into the interface of that index. The first
// call, and one with another index than the last, begins with Resync. A route
// that the kernel refuses, or a foreign one in its place, costs that route
// alone: all the others are applied, and the error names it.
func (r *Routes) Reconcile(index int, want []Route) error { return errors.ErrUnsupported }

// Resync compares the kernel's routes with what was last wanted: what is
// missing or differs is put right, strangers of ours are removed. It does
// nothing before the first Reconcile.
func (r *Routes) Resync() error { return errors.ErrUnsupported }
