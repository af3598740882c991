package hostnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// ipv6Metric is the metric that the kernel gives an IPv6 route that names none
// (IP6_RT_PRIO_USER). For IPv4 it is 0.
const ipv6Metric = 1024

// kernelRoute is a route of ours in the main table.
type kernelRoute struct {
	Route
	index  int  // of the interface it leads into
	metric int  // 0 when plain
	tos    int  // 0 when plain
	scope  int  // for putRoute, see scopeFor; any is plain
	plain  bool // it has the form we give ours
}

const (
	// crowd is how many routes make the search for one's record of nexthops long.
	crowd = 1000
	// scopes is how many there are below RT_SCOPE_SITE, whose meaning is the
	// user's (linux/rtnetlink.h).
	scopes = unix.RT_SCOPE_SITE
)

// scopeFor is the scope of an IPv4 route among so many. The kernel keeps records of
// nexthops by what all our routes have in common, and by scope, not by gateway, and
// looks through all that are alike when a route is added, a millisecond of ten
// thousand, in which nothing else gets the processor where the kernel is not
// preemptible (net/ipv4/fib_semantics.c, fib_info_hashfn, fib_find_info). Where there
// are more than a crowd (IPv6 counted, which needs none of this) each of the scopes
// takes a part of those that come; what is there stays as it is. None means anything
// for a route into the TAP: only RT_SCOPE_LINK and narrower ones do.
func scopeFor(dst netip.Prefix, routes int) int {
	if !dst.Addr().Is4() || dst.Bits() == 0 {
		return unix.RT_SCOPE_UNIVERSE
	}
	ip := dst.Addr().As4()
	subnet := binary.BigEndian.Uint32(ip[:]) >> (32 - dst.Bits())
	return int(subnet % uint32(min(1+max(routes-1, 0)/crowd, scopes)))
}

// ownRoutes lists the routes of our protocol number into the interface of that
// index, or into any when it is 0.
func (h *Host) ownRoutes(index int) ([]kernelRoute, error) {
	var all []kernelRoute
	for _, f := range []int{unix.AF_INET, unix.AF_INET6} {
		rs, err := dump(func() ([]kernelRoute, error) { return h.ownRoutesOf(f, index) })
		if err != nil {
			return nil, err
		}
		all = append(all, rs...)
	}
	return all, nil
}

func (h *Host) ownRoutesOf(family, index int) ([]kernelRoute, error) {
	filter := &netlink.Route{Table: unix.RT_TABLE_MAIN, Protocol: RouteProtocol, LinkIndex: index}
	var all []kernelRoute
	err := h.strict.RouteListFilteredIter(family, filter, netlink.RT_FILTER_TABLE, func(r netlink.Route) bool {
		if r.Protocol == RouteProtocol && (index == 0 || r.LinkIndex == index) { // again, for older kernels
			all = append(all, newKernelRoute(r))
		}
		return true
	})
	if noIPv6(family, err) {
		return nil, nil
	}
	return all, err
}

// noIPv6 reports whether err only says that the kernel speaks no IPv6.
func noIPv6(family int, err error) bool {
	return family == unix.AF_INET6 && (errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP))
}

func newKernelRoute(r netlink.Route) kernelRoute {
	k := kernelRoute{Route: Route{MTU: r.MTU}, index: r.LinkIndex, metric: r.Priority, tos: r.Tos}
	k.Via, _ = netip.AddrFromSlice(r.Gw)
	if r.Dst != nil {
		ip, _ := netip.AddrFromSlice(r.Dst.IP)
		bits, _ := r.Dst.Mask.Size()
		k.Dst = netip.PrefixFrom(ip, bits)
	}
	usual := 0
	if k.Via.Is6() {
		usual = ipv6Metric
	}
	k.plain = k.valid() && k.metric == usual && k.tos == 0 && r.MTULock == k.locked() &&
		r.Type == unix.RTN_UNICAST && r.Flags&int(netlink.FLAG_ONLINK) != 0
	return k
}

// locked reports whether the route's MTU is to be locked: what it forwards IPv6
// by the kernel goes by the device's MTU otherwise (net/ip6_route.h,
// ip6_dst_mtu_maybe_forward). For IPv4 a lock would only keep those on this host
// from learning of smaller ones.
func (k kernelRoute) locked() bool { return k.MTU > 0 && k.Via.Is6() }

// putRoute adds a route of the form we give ours, or puts it in the place of
// the one to the same destination. Adding never touches one that is there: the
// error is inTheWay then.
func (h *Host) putRoute(k kernelRoute, replace bool) error {
	flags := unix.NLM_F_CREATE | unix.NLM_F_EXCL | unix.NLM_F_ACK
	if replace {
		flags = unix.NLM_F_CREATE | unix.NLM_F_REPLACE | unix.NLM_F_ACK
	}
	msg := nl.NewRtMsg()
	msg.Flags, msg.Scope = unix.RTNH_F_ONLINK, uint8(k.scope)
	if err := h.routeRequest(unix.RTM_NEWROUTE, flags, msg, k); err != nil {
		return fmt.Errorf("route %s: %w", k.Route, err)
	}
	return nil
}

// inTheWay reports whether k was refused because of another route: one to the
// same destination, or, for IPv6, one that leads to k's nexthop through another
// interface (net/ipv6/route.c, ip6_route_check_nh_onlink), of which the kernel
// only says EINVAL.
func inTheWay(k kernelRoute, err error) bool {
	return errors.Is(err, unix.EEXIST) || k.Via.Is6() && errors.Is(err, unix.EINVAL)
}

// deleteRoute removes exactly this route; none there is no error.
func (h *Host) deleteRoute(k kernelRoute) error {
	err := h.routeRequest(unix.RTM_DELROUTE, unix.NLM_F_ACK, nl.NewRtDelMsg(), k)
	if err == nil || errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return fmt.Errorf("remove route %s: %w", k.Route, err)
}

// routeRequest tells the kernel about k through the Host's own socket, by whose
// number Watch knows our changes from those of others.
func (h *Host) routeRequest(kind, flags int, msg *nl.RtMsg, k kernelRoute) error {
	msg.Family = uint8(family(k.Dst.Addr()))
	msg.Dst_len = uint8(k.Dst.Bits())
	msg.Protocol = RouteProtocol
	msg.Tos = uint8(k.tos)
	req := h.request(kind, flags)
	req.AddData(msg)
	req.AddData(nl.NewRtAttr(unix.RTA_DST, k.Dst.Addr().AsSlice()))
	req.AddData(nl.NewRtAttr(unix.RTA_OIF, nl.Uint32Attr(uint32(k.index))))
	if k.Via.IsValid() {
		req.AddData(nl.NewRtAttr(unix.RTA_GATEWAY, k.Via.AsSlice()))
	}
	if k.metric != 0 {
		req.AddData(nl.NewRtAttr(unix.RTA_PRIORITY, nl.Uint32Attr(uint32(k.metric))))
	}
	if k.MTU > 0 && kind == unix.RTM_NEWROUTE {
		metrics := nl.NewRtAttr(unix.RTA_METRICS, nil)
		metrics.AddRtAttr(unix.RTAX_MTU, nl.Uint32Attr(uint32(k.MTU)))
		if k.locked() {
			metrics.AddRtAttr(unix.RTAX_LOCK, nl.Uint32Attr(1<<unix.RTAX_MTU))
		}
		req.AddData(metrics)
	}
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}
