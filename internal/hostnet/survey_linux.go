package hostnet

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// alias marks interfaces as ours (IFLA_IFALIAS, shown by "ip link").
const alias = "uvtep"

// iface is an interface as a candidate for the underlay.
type iface struct {
	name  string
	index int
	mtu   int
	up    bool
	ours  bool
	addrs []addr // usable ones only, the best of each family first
	asks  bool   // the kernel still asks whether somebody else has an address of its
}

// survey lists all interfaces with the addresses that could carry the tunnel,
// in the kernel's order.
func (h *Host) survey() ([]iface, error) {
	links, as, err := h.interfaces()
	if err != nil {
		return nil, err
	}
	s := make([]iface, 0, len(links))
	for _, l := range links {
		s = append(s, newIface(l.Attrs(), as))
	}
	return s, nil
}

// interfaces lists all interfaces, and all addresses.
func (h *Host) interfaces() ([]netlink.Link, []addr, error) {
	links, err := dump(h.handle.LinkList)
	if err != nil {
		return nil, nil, fmt.Errorf("list interfaces: %w", err)
	}
	as, err := h.addrs()
	if err != nil {
		return nil, nil, fmt.Errorf("list addresses: %w", err)
	}
	return links, as, nil
}

func newIface(l *netlink.LinkAttrs, as []addr) iface {
	i := iface{
		name:  l.Name,
		index: l.Index,
		mtu:   l.MTU,
		up:    l.Flags&net.FlagUp != 0,
		ours:  l.Alias == alias,
	}
	for _, a := range as {
		switch {
		case a.index != l.Index:
		case a.usable():
			i.addrs = append(i.addrs, a)
		case a.tentative():
			i.asks = true
		}
	}
	slices.SortStableFunc(i.addrs, func(a, b addr) int { return a.demerits() - b.demerits() })
	return i
}

// usable reports whether the tunnel can start from a at all.
func (a addr) usable() bool {
	return sendable(a.prefix.Addr()) && a.flags&unix.IFA_F_DADFAILED == 0 && !a.tentative()
}

// tentative reports whether a will be usable in a moment: nothing can be bound
// to it before the kernel has asked whether somebody else has it (RFC 4862
// §5.4), unless it is optimistic (RFC 4429).
func (a addr) tentative() bool {
	return sendable(a.prefix.Addr()) && a.flags&unix.IFA_F_TENTATIVE != 0 && a.flags&(unix.IFA_F_DADFAILED|unix.IFA_F_OPTIMISTIC) == 0
}

// demerits orders the addresses of one interface: the fewer, the longer it is
// likely to stay and the likelier its owner meant it.
func (a addr) demerits() int {
	n := 0
	for _, bad := range []bool{ // the least evil first
		a.flags&unix.IFA_F_SECONDARY != 0, // the bit says temporary for IPv6 (RFC 8981)
		a.scope != unix.RT_SCOPE_UNIVERSE || a.prefix.Addr().IsLinkLocalUnicast(),
		a.flags&unix.IFA_F_DEPRECATED != 0,
		a.flags&unix.IFA_F_TENTATIVE != 0, // and optimistic
	} {
		n >>= 1
		if bad {
			n |= 8
		}
	}
	return n
}

// has reports whether a is one of the interface's usable addresses.
func (i iface) has(a netip.Addr) bool {
	return slices.ContainsFunc(i.addrs, func(x addr) bool { return x.prefix.Addr() == a })
}

// fits reports whether the tunnel can start from the interface, or will in a moment
// that o waits for.
func (i iface) fits(o UnderlayOptions) bool { return len(i.addrs) > 0 || i.asks && o.waits }

// all are the interface's addresses, the best first.
func (i iface) all() []netip.Addr {
	var out []netip.Addr
	for _, a := range i.addrs {
		out = append(out, a.prefix.Addr())
	}
	return out
}

// best returns the interface's address of one family: the first of the preferred
// that is one of them, else its first; the zero Addr if there is none.
func (i iface) best(v4 bool, preferred ...netip.Addr) netip.Addr {
	for _, a := range append(preferred, i.all()...) {
		if a.IsValid() && a.Is4() == v4 && i.has(a) {
			return a
		}
	}
	return netip.Addr{}
}

// String is the interface as an error message lists it.
func (i iface) String() string {
	var as []string
	for _, a := range i.addrs {
		as = append(as, a.prefix.Addr().String())
	}
	if len(as) == 0 {
		return i.name
	}
	return i.name + " (" + strings.Join(as, ", ") + ")"
}

// offer lists what a user may choose from.
func offer(s []iface) string {
	var names []string
	for _, i := range s {
		if !i.ours {
			names = append(names, i.String())
		}
	}
	return strings.Join(names, ", ")
}
