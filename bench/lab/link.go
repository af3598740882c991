//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoLink says that a namespace has no device of that name.
var ErrNoLink = errors.New("no such link")

// Link is what the kernel says of one device.
type Link struct {
	Name  string
	Type  string // "veth", "bridge", "tuntap", "vxlan", …
	Index int
	MTU   int // bytes
	MAC   net.HardwareAddr
	Up    bool // set up by its administrator
	Addrs []netip.Prefix
}

// Route is one route of the main table.
type Route struct {
	Dst      netip.Prefix
	Via      netip.Addr // the zero Addr for a route without gateway
	Dev      string
	Onlink   bool
	Protocol int // rtnetlink's rtm_protocol
	MTU      int // bytes; 0 where it sets none
}

// Links returns the devices of the namespace.
func (n *Node) Links() ([]Link, error) {
	found, err := n.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list links of %s: %w", n.Name, err)
	}
	links := make([]Link, 0, len(found))
	for _, f := range found {
		l, err := n.describe(f)
		if err != nil {
			return nil, err
		}
		links = append(links, l)
	}
	return links, nil
}

// Link returns one device; the error is ErrNoLink if there is none.
func (n *Node) Link(name string) (Link, error) {
	l, err := n.find(name)
	if err != nil {
		return Link{}, err
	}
	return n.describe(l)
}

func (n *Node) find(name string) (netlink.Link, error) {
	l, err := n.nl.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		err = ErrNoLink
	}
	if err != nil {
		return nil, fmt.Errorf("link %q in %s: %w", name, n.Name, err)
	}
	return l, nil
}

func (n *Node) describe(l netlink.Link) (Link, error) {
	a := l.Attrs()
	addrs, err := n.nl.AddrList(l, netlink.FAMILY_ALL)
	if err != nil {
		return Link{}, fmt.Errorf("list addresses of %q in %s: %w", a.Name, n.Name, err)
	}
	out := Link{Name: a.Name, Type: l.Type(), Index: a.Index, MTU: a.MTU, MAC: a.HardwareAddr, Up: a.Flags&net.FlagUp != 0}
	for _, addr := range addrs {
		out.Addrs = append(out.Addrs, prefix(addr.IPNet))
	}
	return out, nil
}

// on finds a device and calls fn with it; what names the deed in the error.
func (n *Node) on(name, what string, fn func(netlink.Link) error) error {
	l, err := n.find(name)
	if err != nil {
		return err
	}
	if err := fn(l); err != nil {
		return fmt.Errorf("%s link %q in %s: %w", what, name, n.Name, err)
	}
	return nil
}

// DeleteLink removes a device.
func (n *Node) DeleteLink(name string) error {
	return n.on(name, "delete", n.nl.LinkDel)
}

// SetUp sets a device up or down. Setting it down makes the kernel drop the routes
// through it.
func (n *Node) SetUp(name string, up bool) error {
	if up {
		return n.on(name, "set up", n.nl.LinkSetUp)
	}
	return n.on(name, "set down", n.nl.LinkSetDown)
}

// SetMTU sets a device's MTU in bytes.
func (n *Node) SetMTU(name string, mtu int) error {
	return n.on(name, "set MTU of", func(l netlink.Link) error { return n.nl.LinkSetMTU(l, mtu) })
}

// SetMAC changes a device's MAC address.
func (n *Node) SetMAC(name string, mac net.HardwareAddr) error {
	return n.on(name, "set MAC of", func(l netlink.Link) error { return n.nl.LinkSetHardwareAddr(l, mac) })
}

// AddAddr gives a device an address, for instance one more to a container.
func (n *Node) AddAddr(name string, p netip.Prefix) error {
	return n.on(name, "add address to", func(l netlink.Link) error {
		// No duplicate address detection: the address is usable at once.
		return n.nl.AddrAdd(l, &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD})
	})
}

// AddTentative gives a device an IPv6 address that cannot be used before the
// kernel has asked whether somebody else has it (RFC 4862 §5.4), a second or two.
func (n *Node) AddTentative(name string, p netip.Prefix) error {
	if err := n.Sysctl("net/ipv6/conf/"+name+"/accept_dad", "1"); err != nil {
		return err
	}
	return n.on(name, "add address to", func(l netlink.Link) error {
		return n.nl.AddrAdd(l, &netlink.Addr{IPNet: ipNet(p)})
	})
}

// DeleteAddr takes an address from a device.
func (n *Node) DeleteAddr(name string, p netip.Prefix) error {
	return n.on(name, "delete address of", func(l netlink.Link) error {
		return n.nl.AddrDel(l, &netlink.Addr{IPNet: ipNet(p)})
	})
}

// Deprecate says that a device's address is not to be used for what is new.
func (n *Node) Deprecate(name string, p netip.Prefix) error {
	return n.on(name, "deprecate address of", func(l netlink.Link) error {
		return n.nl.AddrReplace(l, &netlink.Addr{IPNet: ipNet(p), PreferedLft: 0, ValidLft: math.MaxUint32, Flags: unix.IFA_F_NODAD})
	})
}

// Routes returns the IPv4 and IPv6 routes of the main table through one device.
func (n *Node) Routes(dev string) ([]Route, error) {
	l, err := n.find(dev)
	if err != nil {
		return nil, err
	}
	found, err := n.nl.RouteList(l, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list routes through %q in %s: %w", dev, n.Name, err)
	}
	var routes []Route
	for _, r := range found {
		via, _ := netip.AddrFromSlice(r.Gw)
		routes = append(routes, Route{
			Dst: prefix(r.Dst), Via: via.Unmap(), Dev: dev,
			Onlink: r.Flags&int(netlink.FLAG_ONLINK) != 0, Protocol: int(r.Protocol), MTU: r.MTU,
		})
	}
	return routes, nil
}

// addRoute adds or replaces a route; an invalid via means directly through dev.
func (n *Node) addRoute(dev string, dst netip.Prefix, via netip.Addr, onlink bool) error {
	return n.on(dev, "add route through", func(l netlink.Link) error {
		r := &netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(dst)}
		if via.IsValid() {
			r.Gw = via.AsSlice()
		}
		if onlink {
			r.Flags = int(netlink.FLAG_ONLINK)
		}
		return n.nl.RouteReplace(r)
	})
}

// AddRoute adds a route through a device to a router on it.
func (n *Node) AddRoute(dev string, dst netip.Prefix, via netip.Addr) error {
	return n.addRoute(dev, dst, via, true)
}

// AddNarrowRoute makes the route to a destination directly through a device one
// with an MTU of its own, in bytes.
func (n *Node) AddNarrowRoute(dev string, dst netip.Prefix, mtu int) error {
	return n.on(dev, "add route through", func(l netlink.Link) error {
		return n.nl.RouteReplace(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(dst), Scope: netlink.SCOPE_LINK, MTU: mtu})
	})
}

// DeleteRoute removes the routes to a destination through a device.
func (n *Node) DeleteRoute(dev string, dst netip.Prefix) error {
	return n.on(dev, "delete route through", func(l netlink.Link) error {
		return n.nl.RouteDel(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(dst)})
	})
}

// AddUnreachable makes a destination one that the kernel refuses to send to.
func (n *Node) AddUnreachable(dst netip.Prefix) error {
	if err := n.nl.RouteAdd(&netlink.Route{Dst: ipNet(dst), Type: unix.RTN_UNREACHABLE}); err != nil {
		return fmt.Errorf("add unreachable %v in %s: %w", dst, n.Name, err)
	}
	return nil
}

// AddNeighbour makes a permanent entry in the ARP or ND table of a device.
func (n *Node) AddNeighbour(dev string, ip netip.Addr, mac net.HardwareAddr) error {
	return n.on(dev, "add neighbour to", func(l netlink.Link) error {
		return n.nl.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: mac})
	})
}

// waitRunning waits until a device has a carrier and forwards: the kernel sets
// the operational state, and with it a bridge port to forwarding, some time after
// the device was set up.
func (n *Node) waitRunning(ctx context.Context, name string) error {
	what := fmt.Sprintf("link %q in %s to come up", name, n.Name)
	return poll(ctx, what, time.Millisecond, func() (bool, error) {
		l, err := n.find(name)
		if err != nil {
			return false, err
		}
		return l.Attrs().OperState == netlink.OperUp, nil
	})
}

// poll asks for a state until it is there, an error comes, or ctx ends.
func poll(ctx context.Context, what string, every time.Duration, there func() (bool, error)) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		ok, err := there()
		if ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, context.Cause(ctx))
		}
	}
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// prefix is the reverse of ipNet; nil gives the zero Prefix.
func prefix(n *net.IPNet) netip.Prefix {
	if n == nil {
		return netip.Prefix{}
	}
	a, _ := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits)
}
