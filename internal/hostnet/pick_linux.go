package hostnet

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// choice is an interface, the address of it that the rule named, if it named
// one, and the MTU of the route that led there, 0 if that sets none.
type choice struct {
	iface iface
	addr  netip.Addr
	mtu   int
}

// pick finds the interface that o asks for among s. One that is in use is kept
// while it can be used, unless o asks for another that is there.
func (h *Host) pick(s []iface, o UnderlayOptions) (choice, error) {
	defaults, err := h.defaultRoutes(0)
	if err != nil {
		return choice{}, err
	}
	used, usable := byUse(s, o)
	if usable && !o.asks() {
		used.mtu = routeMTU(defaults, used.iface.index)
		return used, nil
	}
	c, err := h.byRule(s, o, defaults)
	if usable && (err != nil || !c.iface.fits(o)) {
		c, err = used, nil
		c.mtu = routeMTU(defaults, c.iface.index)
	}
	return c, err
}

// byRule finds the interface by the first of o's rules that leads to one with an
// address, else by the first that leads to any.
func (h *Host) byRule(s []iface, o UnderlayOptions, defaults []defaultRoute) (choice, error) {
	if !o.asks() {
		o.tell(h, "Determining IP address of default interface")
		return byDefaultRoute(s, defaults)
	}
	var bare choice
	for c := range byAsking(s, o) {
		c.mtu = routeMTU(defaults, c.iface.index)
		if c.iface.fits(o) {
			return c, nil
		}
		if bare.iface.name == "" {
			bare = c
		}
	}
	if o.CanReach.IsValid() {
		o.tell(h, "Determining interface to use based on given address "+o.CanReach.String())
		return h.byReach(s, o.CanReach)
	}
	if bare.iface.name != "" {
		return bare, nil
	}
	asked := strings.Join(slices.Concat(o.Iface, o.IfaceRegex), ", ")
	return choice{}, fmt.Errorf("underlay %q: %w; there are %s", asked, ErrNoLink, offer(s))
}

// asks reports whether o names an underlay in any way.
func (o UnderlayOptions) asks() bool {
	return len(o.Iface) > 0 || len(o.IfaceRegex) > 0 || o.CanReach.IsValid()
}

// tell logs how the underlay is looked for, the first time.
func (o UnderlayOptions) tell(h *Host, how string) {
	if o.Was == (Underlay{}) && !o.quiet {
		h.log.Info().Msg(how)
	}
}

// byUse finds the interface in use, if it still can be used.
func byUse(s []iface, o UnderlayOptions) (choice, bool) {
	at := slices.IndexFunc(s, func(i iface) bool { return i.name == o.Was.Name && i.up && !i.ours && len(i.addrs) > 0 })
	if o.Was.Name == "" || at < 0 {
		return choice{}, false
	}
	return choice{iface: s[at]}, true
}

// byAsking yields the interfaces that o asks for, those of the first name first.
func byAsking(s []iface, o UnderlayOptions) iter.Seq[choice] {
	return func(yield func(choice) bool) {
		for _, n := range o.Iface {
			if c, ok := byName(s, n); ok && !yield(c) {
				return
			}
		}
		for _, e := range o.IfaceRegex {
			for _, c := range byRegex(s, regexp.MustCompile(e), o.Was) { // Validate has seen it
				if !yield(c) {
					return
				}
			}
		}
	}
}

// byName finds the interface of a name, or with an address.
func byName(s []iface, n string) (choice, bool) {
	a, _ := netip.ParseAddr(n)
	at := slices.IndexFunc(s, func(i iface) bool {
		return !i.ours && (i.name == n || a.IsValid() && i.has(a.Unmap()))
	})
	if at < 0 {
		return choice{}, false
	}
	return choice{iface: s[at], addr: a.Unmap()}, true
}

// byRegex finds the interfaces that an expression describes: by one of their
// addresses first, then by their names.
func byRegex(s []iface, re *regexp.Regexp, was Underlay) (all []choice) {
	if c, ok := byAddrRegex(s, re, was); ok {
		all = append(all, c)
	}
	for _, i := range s {
		if !i.ours && re.MatchString(i.name) {
			all = append(all, choice{iface: i})
		}
	}
	return all
}

// byAddrRegex finds the first interface with an address that fits; of several on
// one the one in use.
func byAddrRegex(s []iface, re *regexp.Regexp, was Underlay) (choice, bool) {
	for _, i := range s {
		if i.ours {
			continue
		}
		for _, a := range slices.Concat([]netip.Addr{was.Addr, was.Addr6}, i.all()) {
			if a.IsValid() && i.has(a) && re.MatchString(a.String()) {
				return choice{iface: i, addr: a}, true
			}
		}
	}
	return choice{}, false
}

// byReach asks the kernel which interface and address it would use towards a.
func (h *Host) byReach(s []iface, a netip.Addr) (choice, error) {
	rs, err := h.handle.RouteGet(a.AsSlice())
	if err != nil || len(rs) == 0 {
		return choice{}, fmt.Errorf("no route to %s: %w", a, cmp.Or(err, error(unix.ENETUNREACH)))
	}
	at := slices.IndexFunc(s, func(i iface) bool { return i.index == rs[0].LinkIndex })
	if rs[0].Type != unix.RTN_UNICAST || at < 0 {
		return choice{}, fmt.Errorf("%s is no other host's address: it leads to no underlay", a)
	}
	if s[at].ours {
		return choice{}, fmt.Errorf("%s is reached through the overlay (%s): it leads to no underlay", a, s[at].name)
	}
	src, _ := netip.AddrFromSlice(rs[0].Src)
	return choice{iface: s[at], addr: src.Unmap(), mtu: h.reachMTU(a)}, nil
}

// reachMTU returns the MTU that the route to a sets. The table's entry is
// asked for, not the result of a lookup, which would carry the path MTU that
// the kernel learned of late.
func (h *Host) reachMTU(a netip.Addr) int {
	rs, err := h.handle.RouteGetWithOptions(a.AsSlice(), &netlink.RouteGetOptions{FIBMatch: true})
	if err != nil || len(rs) == 0 {
		return 0
	}
	return rs[0].MTU
}

// defaultRoute is a default route of one nexthop.
type defaultRoute struct {
	index int
	src   netip.Addr
	mtu   int // 0 when the route sets none
}

// byDefaultRoute finds the interface of the best default route, IPv4 first.
func byDefaultRoute(s []iface, defaults []defaultRoute) (choice, error) {
	for _, d := range defaults {
		at := slices.IndexFunc(s, func(i iface) bool { return i.index == d.index && !i.ours })
		if at >= 0 {
			return choice{iface: s[at], addr: d.src, mtu: d.mtu}, nil
		}
	}
	return choice{}, errors.New("no default route, so no default interface: " +
		"name one with --iface, --iface-regex or --iface-can-reach; there are " + offer(s))
}

// defaultRoutes lists the main table's default routes, IPv4 before IPv6, the
// better before the worse, as the kernel keeps them: those through the interface of that index, or
// through any when it is 0.
func (h *Host) defaultRoutes(index int) ([]defaultRoute, error) {
	var all []defaultRoute
	for _, f := range []int{unix.AF_INET, unix.AF_INET6} {
		ds, err := dump(func() ([]defaultRoute, error) { return h.defaultRoutesOf(f, index) })
		if err != nil && !noIPv6(f, err) {
			return nil, fmt.Errorf("list default routes: %w", err)
		}
		all = append(all, ds...)
	}
	return all, nil
}

func (h *Host) defaultRoutesOf(family, index int) ([]defaultRoute, error) {
	// The index is for the kernel, which also finds it among several nexthops;
	// without it ten thousand routes into the TAP would be listed, too.
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN, LinkIndex: index}
	var ds []defaultRoute
	err := h.strict.RouteListFilteredIter(family, filter, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
		if isDefault(r) {
			ds = append(ds, newDefaultRoutes(r)...)
		}
		return true
	})
	return ds, err
}

func isDefault(r netlink.Route) bool {
	if r.Dst == nil {
		return true
	}
	bits, _ := r.Dst.Mask.Size()
	return bits == 0
}

// newDefaultRoutes returns the nexthops of r as routes of their own.
func newDefaultRoutes(r netlink.Route) []defaultRoute {
	if r.Type != unix.RTN_UNICAST {
		return nil // unreachable, blackhole
	}
	src, _ := netip.AddrFromSlice(r.Src)
	d := defaultRoute{index: r.LinkIndex, src: src.Unmap(), mtu: r.MTU}
	if len(r.MultiPath) == 0 {
		return []defaultRoute{d}
	}
	var ds []defaultRoute
	for _, hop := range r.MultiPath {
		d.index = hop.LinkIndex
		ds = append(ds, d)
	}
	return ds
}

// routeMTU returns the smallest MTU that a default route through the interface
// sets, or 0.
func routeMTU(defaults []defaultRoute, index int) int {
	mtu := 0
	for _, d := range defaults {
		if d.index == index && d.mtu > 0 && (mtu == 0 || d.mtu < mtu) {
			mtu = d.mtu
		}
	}
	return mtu
}
