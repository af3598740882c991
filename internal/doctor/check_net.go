package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/hostnet"
)

// checkPort tells who else has the network's UDP port.
func checkPort(r *report, f *Facts) {
	port := f.Network.Port
	for _, x := range f.Rivals {
		if x.HoldsPort {
			r.add(Error, "ip link delete "+x.Name, "UDP port %d is taken by %s: no agent can start beside it", port, x)
		}
	}
	for _, s := range f.Sockets {
		strangers := slices.DeleteFunc(slices.Clone(s.Held), func(p hostnet.Process) bool { return slices.Contains(f.Agent.Holders, p) })
		if len(strangers) > 0 {
			r.add(Error, fmt.Sprintf("kill %d, or give the network another Backend.Port", strangers[0].PID), "UDP port %d at %s is held by %s", port, s.Local.Addr(), processes(strangers))
		}
	}
	switch {
	case len(f.Sockets) == 0 && f.Agent.State == Answers:
		r.add(Error, "restart the agent", "nobody listens on UDP port %d", port)
	case len(f.Sockets) == 0:
		r.ok("UDP port %d is free", port)
	case f.Agent.State == NoAgent && len(f.Agent.Holders) == 0 && len(r.findings) == 0:
		r.add(Error, "run this as root to see by whom", "UDP port %d at %s is held by somebody who cannot be seen", port, f.Sockets[0].Local.Addr())
	}
	r.ok("UDP port %d is the agent's", port)
}

// checkUnderlay tells which interface carries the tunnel, or why none does.
func checkUnderlay(r *report, f *Facts) {
	u := &f.Underlay
	if f.UnderlayErr != nil {
		r.add(Error, "uvtep run --iface NAME", "no interface can carry the tunnel: %v", f.UnderlayErr)
		return
	}
	at := slices.IndexFunc(f.Links, func(l hostnet.SeenLink) bool { return l.Name == u.Name })
	switch {
	case at < 0:
		r.add(Error, "bring it back; the agent goes on by itself", "the underlay %s is gone", u.Name)
	case !f.Links[at].Up:
		r.add(Error, "ip link set "+u.Name+" up", "the underlay %s is down", u.Name)
	default:
		for _, a := range []netip.Addr{u.Addr, u.Addr6} {
			if a.IsValid() && !f.hasAddr(a) {
				r.add(Error, "ip address add "+a.String()+" dev "+u.Name, "%s, which the tunnel starts from, is no address of this host any more", a)
			}
		}
	}
	r.ok("the tunnel starts from %s, %s", u.Name, addrs(u.Addr, u.Addr6))
}

func (f *Facts) hasAddr(a netip.Addr) bool {
	return slices.ContainsFunc(f.Links, func(l hostnet.SeenLink) bool {
		return slices.ContainsFunc(l.Addrs, func(p netip.Prefix) bool { return p.Addr() == a })
	})
}

// addrs are those addresses that there are.
func addrs(as ...netip.Addr) string {
	text := ""
	for _, a := range as {
		if a.IsValid() && text != "" {
			text += ", "
		}
		if a.IsValid() {
			text += a.String()
		}
	}
	return text
}

// checkRegistration tells whether etcd has this host where it is.
func checkRegistration(r *report, f *Facts) {
	a := &f.Agent
	if f.Etcd.Err != nil || a.NodeID == "" {
		return
	}
	found := false
	for i := range f.Etcd.Records {
		o := &f.Etcd.Records[i]
		if o.NodeID != a.NodeID {
			continue
		}
		found = true
		for _, is := range []netip.Addr{o.PublicIP, o.PublicIPv6} {
			switch {
			case !is.IsValid():
			case a.State == Answers && !slices.Contains(a.Public, is):
				r.add(Error, "restart the agent; if that does not help, its log says why", "etcd sends others to %s, but this host's public address is %s (key %s, revision %d)", is, addrs(a.Public...), o.Key, o.Revision)
			case a.State != Answers && !f.hasAddr(is):
				r.add(Note, "the agent writes the new one when it starts; with --public-ip this is as it should be", "etcd has this host at %s, which is no address of its interfaces (key %s)", is, o.Key)
			}
		}
	}
	if !found && a.State == Answers && !a.NoSubnet {
		r.add(Error, "look at the agent's log; `uvtep subnets` shows who has what", "etcd has no subnet of this host (node %s)", a.NodeID)
	}
	if found {
		r.ok("etcd has this host where it is")
	}
}

// checkReversePath tells where the kernel drops what comes another way than it
// would answer (rp_filter 1).
func checkReversePath(r *report, f *Facts) {
	const strict = 1
	for _, p := range f.Peers {
		if p.VTEP.Addr().Is4() && p.Way.Err == nil && f.Underlay.Name != "" && p.Way.Dev != f.Underlay.Name && f.rpFilter(f.Underlay.Name) == strict {
			r.add(Error, "sysctl -w "+rpSetting(f.Underlay.Name)+"=2", "rp_filter is strict on %s and the way to %s (%s) leads through %s: what comes from there on %s is dropped", f.Underlay.Name, p.VTEP.Addr(), p.Name, p.Way.Dev, f.Underlay.Name)
		}
		if p.InnerDev != "" && f.TAP.Bridge == "" && p.InnerDev != f.TAP.Name && f.rpFilter(f.TAP.Name) == strict {
			r.add(Error, "sysctl -w "+rpSetting(f.TAP.Name)+"=2", "rp_filter is strict on %s and the way to %s (%s) leads through %s: what comes from there is dropped", f.TAP.Name, prefixes(p.Subnets), p.Name, p.InnerDev)
		}
	}
	r.ok("rp_filter drops nothing of the overlay")
}

func rpSetting(dev string) string { return "net.ipv4.conf." + dev + ".rp_filter" }

// rpFilter is the setting in force on an interface: the larger of its own and
// that of all (ip-sysctl.rst).
func (f *Facts) rpFilter(dev string) int {
	return max(f.Sysctls["net/ipv4/conf/"+dev+"/rp_filter"], f.Sysctls["net/ipv4/conf/all/rp_filter"])
}

func prefixes(ps []netip.Prefix) string {
	text := ""
	for i, p := range ps {
		if i > 0 {
			text += ", "
		}
		text += p.String()
	}
	return text
}

// checkMTU follows what fits where: containers, TAP, tunnel, underlay.
func checkMTU(r *report, f *Facts) {
	mtu := f.TAP.MTU
	if f.TAP.Link != nil {
		if mtu != 0 && f.TAP.Link.MTU != mtu {
			r.add(Warning, fmt.Sprintf("ip link set %s mtu %d", f.TAP.Name, mtu), "somebody set the MTU of %s to %d; the agent chose %d", f.TAP.Name, f.TAP.Link.MTU, mtu)
		}
		mtu = f.TAP.Link.MTU
	}
	if mtu == 0 {
		return
	}
	fits := func(outer int, six bool, what string) {
		if need := mtu + encap.Overhead(six, 0); outer > 0 && need > outer {
			r.add(Warning, fmt.Sprintf("ip link set %s mtu %d, or raise the MTU on the way", f.TAP.Name, outer-encap.Overhead(six, 0)), "%s takes %d bytes, and full frames of %s (MTU %d) make %d: large transfers stall or are cut down", what, outer, f.TAP.Name, mtu, need)
		}
	}
	fits(f.Underlay.MTU, !f.Underlay.Addr.IsValid() && f.Underlay.Addr6.IsValid(), "the underlay "+f.Underlay.Name)
	for _, p := range f.Peers {
		if six := p.VTEP.Addr().Is6(); p.Way.Err == nil && !(six && f.Underlay.Addr.IsValid()) { // routes over IPv6 have an MTU of their own
			if p.Way.MTU != f.Underlay.MTU {
				fits(p.Way.MTU, six, "the route to "+p.VTEP.Addr().String())
			}
		}
	}
	inner := max(mtu, f.TAP.MTU) // one that somebody made too small is put right first
	if e := &f.SubnetFile; f.SubnetFileErr == nil && e.MTU > inner {
		r.add(Warning, "restart the agent, then docker", "the subnet file tells docker and CNI an MTU of %d, but %s has %d", e.MTU, f.TAP.Name, inner)
	}
	for _, l := range f.containerLinks() {
		if l.MTU > inner {
			r.add(Warning, fmt.Sprintf("dockerd --mtu=%d, see `uvtep docker-opts`; for now: ip link set %s mtu %d", inner, l.Name, inner), "%s has an MTU of %d, but %s has %d: large frames of its containers do not fit", l.Name, l.MTU, f.TAP.Name, inner)
		}
	}
	r.ok("frames of %d bytes fit all the way", mtu)
}

// containerLinks are the interfaces with addresses of this host's subnets, the
// TAP apart: what docker and CNI made.
func (f *Facts) containerLinks() []hostnet.SeenLink {
	return slices.DeleteFunc(slices.Clone(f.Links), func(l hostnet.SeenLink) bool {
		return l.Name == f.TAP.Name || !slices.ContainsFunc(l.Addrs, func(a netip.Prefix) bool { return inOne(f.Network.Own, a.Addr()) })
	})
}

func inOne(ranges []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.IsValid() && p.Contains(a) })
}

// checkRoutes finds routes that lead parts of the overlay elsewhere.
func checkRoutes(r *report, f *Facts) {
	if len(f.Network.Own) == 0 && f.Agent.State != Answers {
		return // the containers' own route could not be told from others
	}
	for _, x := range f.Routes {
		if x.Ours || x.Dev == f.TAP.Name || x.Protocol == hostnet.RouteProtocol || inOne(f.Network.Own, x.Dst.Addr()) {
			continue
		}
		r.add(Warning, "ip route delete "+x.String(), "the route %s leads a part of the overlay elsewhere", x)
	}
	for _, x := range f.Rivals {
		if !x.HoldsPort && len(x.Routes) > 0 {
			r.add(Warning, "ip link delete "+x.Name+" if it is a leftover", "%s", x)
		}
	}
	if f.Network.Known {
		r.ok("no other route leads into the overlay")
	}
}

// checkPeers tells of hosts that cannot be reached, or are gone.
func checkPeers(r *report, f *Facts) {
	for _, p := range f.Peers {
		a := p.VTEP.Addr()
		switch {
		case p.Way.Err != nil:
			r.add(Error, "give this host a route to it", "there is no way to %s (%s): %v", a, p.Name, p.Way.Err)
		case p.Way.Silent && p.Way.Next == a:
			r.add(Warning, "is that host up, and on the same network? ping "+a.String(), "%s (%s) does not answer on %s when its MAC address is asked for", a, p.Name, p.Way.Dev)
		case p.Way.Silent:
			r.add(Warning, "is the router up? ping "+p.Way.Next.String(), "the router %s, which leads to %s (%s), does not answer on %s", p.Way.Next, a, p.Name, p.Way.Dev)
		}
		if p.Life == etcdsync.Gone {
			r.add(Note, "if it is gone for good: uvtep subnets release "+prefixes(p.Subnets[:min(1, len(p.Subnets))]), "%s has no host record any more: it is down, or cut off from etcd", p.Name)
		}
	}
	if n := f.Agent.Unknown; f.Agent.many(n) {
		r.add(Note, fmt.Sprintf("see who sends: tcpdump -ni %s udp port %d; a host behind NAT needs --public-ip", f.Underlay.Name, f.Network.Port), "%s came from senders that are no VTEPs in etcd, and were dropped", counted(int(n), "datagram"))
	}
	if n := f.Agent.Spoofed; f.Agent.many(n) {
		r.add(Note, "two hosts may share a MAC address: uvtep subnets, uvtep endpoints list", "%s bore the MAC address of another host than the one that sent them, and were dropped", counted(int(n), "frame"))
	}
	if f.Etcd.Err == nil || f.Agent.State == Answers {
		r.ok("%s, and a way to each", counted(len(f.Peers), "other host"))
	}
}

// many reports whether so many datagrams of a kind are more than a start brings
// with it, when a host hears of another a moment after that one speaks.
func (a *Agent) many(n uint64) bool { return n >= 10 && n > a.Delivered/1000 }
