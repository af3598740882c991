package hostnet

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// SeenRoute is a route of the main table as it is, whoever made it.
type SeenRoute struct {
	Route
	// Dev is the interface it leads into, empty when that has gone or there
	// are several.
	Dev string
	// Protocol says who made it (rtnetlink(7)), Metric how it ranks.
	Protocol, Metric int
	// Ours says that it has exactly the form that Routes gives: then the Route
	// alone tells it from others.
	Ours bool
}

// String is r in iproute2's words.
func (r SeenRoute) String() string {
	b := new(strings.Builder)
	fmt.Fprint(b, r.Dst)
	if r.Via.IsValid() {
		fmt.Fprintf(b, " via %s", r.Via)
	}
	if r.Dev != "" {
		fmt.Fprintf(b, " dev %s", r.Dev)
	}
	fmt.Fprintf(b, " proto %d", r.Protocol)
	if r.Metric != 0 {
		fmt.Fprintf(b, " metric %d", r.Metric)
	}
	if r.MTU != 0 {
		fmt.Fprintf(b, " mtu %d", r.MTU)
	}
	return b.String()
}

// RoutesInto lists the main table's routes that matter to an overlay: those
// into the interface of that name, but for what the kernel itself put there,
// and all those to a part of one of the ranges. There may be no such interface.
func (h *Host) RoutesInto(name string, overlay ...netip.Prefix) ([]SeenRoute, error) {
	names, tap, err := h.linkNames(name)
	if err != nil {
		return nil, err
	}
	var all []SeenRoute
	for _, f := range []int{unix.AF_INET, unix.AF_INET6} {
		rs, err := dump(func() ([]SeenRoute, error) {
			var rs []SeenRoute
			err := h.strict.RouteListFilteredIter(f, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
				k := newKernelRoute(r)
				into := tap != 0 && r.LinkIndex == tap && r.Protocol != unix.RTPROT_KERNEL
				if r.Dst != nil && (into || within(k.Dst, overlay)) {
					ours := k.plain && r.LinkIndex == tap && r.Protocol == RouteProtocol
					rs = append(rs, SeenRoute{k.Route, names[r.LinkIndex], int(r.Protocol), r.Priority, ours})
				}
				return true
			})
			return rs, err
		})
		if err != nil && !noIPv6(f, err) {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		all = append(all, rs...)
	}
	return all, nil
}

// linkNames returns all interfaces by their index, and the index of the named
// one, 0 when there is none.
func (h *Host) linkNames(name string) (names map[int]string, index int, err error) {
	links, err := dump(h.handle.LinkList)
	if err != nil {
		return nil, 0, fmt.Errorf("list interfaces: %w", err)
	}
	names = make(map[int]string, len(links))
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
		if l.Attrs().Name == name {
			index = l.Attrs().Index
		}
	}
	return names, index, nil
}
