package hostnet

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Rival is another tunnel's interface on this host that gets in the way: what
// flannel left, as a rule, whose devices stay when it stops.
type Rival struct {
	Name string
	// VNI and Port are those of a vxlan device of the kernel, 0 for another
	// kind.
	VNI, Port int
	// HoldsPort says that it receives on the port that was asked about.
	HoldsPort bool
	// Routes are those into it that lead to subnets of the overlay.
	Routes []netip.Prefix
}

// String names the rival and what is in the way, for people.
func (r Rival) String() string {
	var b strings.Builder
	b.WriteString(r.Name)
	if r.Port != 0 {
		fmt.Fprintf(&b, ", the kernel's vxlan device with VNI %d and UDP port %d", r.VNI, r.Port)
	}
	switch n := len(r.Routes); {
	case n == 1:
		fmt.Fprintf(&b, ", has the route to %s", r.Routes[0])
	case n > 1:
		fmt.Fprintf(&b, ", has %d routes into the overlay, to %s and others", n, r.Routes[0])
	}
	return b.String()
}

// Rivals finds the interfaces of other tunnels that hold a UDP port or have
// routes to subnets of the given overlay. They are foreign: nothing is done to
// them.
func (h *Host) Rivals(port uint16, overlay ...netip.Prefix) ([]Rival, error) {
	links, err := dump(h.handle.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	var out []Rival
	for _, l := range links {
		r, ok := newRival(l, port)
		if !ok {
			continue
		}
		if r.Routes, err = h.routesInto(l.Attrs().Index, overlay); err != nil {
			return nil, err
		}
		if r.HoldsPort || len(r.Routes) > 0 {
			out = append(out, r)
		}
	}
	return out, nil
}

// newRival reports whether an interface is a tunnel's, and not ours.
func newRival(l netlink.Link, port uint16) (Rival, bool) {
	a := l.Attrs()
	r := Rival{Name: a.Name}
	if a.Alias == alias {
		return r, false
	}
	switch l := l.(type) {
	case *netlink.Vxlan:
		r.VNI, r.Port = l.VxlanId, l.Port
		// Its socket, bound to all addresses, is there while it is up
		// (drivers/net/vxlan/vxlan_core.c, vxlan_open).
		r.HoldsPort = l.Port == int(port) && a.Flags&net.FlagUp != 0
		return r, true
	case *netlink.Tuntap:
		return r, true
	}
	return r, false
}

// routesInto lists the main table's routes into an interface that lie in the
// overlay.
func (h *Host) routesInto(index int, overlay []netip.Prefix) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		filter := &netlink.Route{Table: unix.RT_TABLE_MAIN, LinkIndex: index}
		rs, err := dump(func() ([]netlink.Route, error) {
			return h.strict.RouteListFiltered(family, filter, netlink.RT_FILTER_TABLE|netlink.RT_FILTER_OIF)
		})
		if err != nil && !noIPv6(family, err) {
			return nil, fmt.Errorf("list routes: %w", err)
		}
		for _, r := range rs {
			if k := newKernelRoute(r); r.Dst != nil && r.Protocol != RouteProtocol && within(k.Dst, overlay) {
				out = append(out, k.Dst)
			}
		}
	}
	return out, nil
}

// within reports whether a subnet lies in one of the ranges.
func within(p netip.Prefix, ranges []netip.Prefix) bool {
	for _, r := range ranges {
		if r.IsValid() && p.Bits() >= r.Bits() && r.Contains(p.Addr()) {
			return true
		}
	}
	return false
}
