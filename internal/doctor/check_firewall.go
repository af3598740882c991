package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/uvtep/uvtep/internal/firewall"
	"github.com/uvtep/uvtep/internal/hostnet"
)

// checkFirewall thinks datagrams of the tunnel through the firewall, from and to
// each other host.
func checkFirewall(r *report, f *Facts) {
	if f.FirewallErr != nil {
		r.add(Note, "run this as root", "the firewall cannot be read: %v", f.FirewallErr)
		return
	}
	if f.Firewall == nil {
		return
	}
	t := newTrials()
	for _, peer := range f.ends() {
		own := f.Underlay.Addr
		if peer.Is6() {
			own = f.Underlay.Addr6
		}
		in := firewall.Datagram{From: peer, To: own, Proto: firewall.UDP, Port: f.Network.Port, In: f.Underlay.Name}
		out := firewall.Datagram{From: own, To: peer, Proto: firewall.UDP, Port: f.Network.Port, Out: f.Underlay.Name}
		t.try(f.Firewall, &in, peer, "comes from", firewall.Ingress, firewall.Prerouting, firewall.Input)
		t.try(f.Firewall, &out, peer, "is sent to", firewall.Output, firewall.Postrouting)
	}
	port := f.Network.Port
	for _, x := range t.order {
		s, verb := Error, "drops"
		if !x.culprit.Sure {
			s, verb = Warning, "may drop"
		}
		r.add(s, x.culprit.LetIn(fmt.Sprintf("udp dport %d", port), fmt.Sprintf("-p udp --dport %d", port)), "the firewall %s what %s %s on UDP %d: %s", verb, x.way, x.who(), port, x.culprit)
	}
	r.legacy(f.Firewall)
	r.ok("the firewall lets UDP %d pass", port)
}

// legacy says that there are rules which cannot be read.
func (r *report) legacy(rs *firewall.Ruleset) {
	if slices.Contains(rs.Legacy, "filter") {
		r.add(Note, "iptables-legacy -S", "there are rules of the legacy iptables, which cannot be read here")
	}
}

// ends are the addresses of other hosts; one that is not known when none is.
func (f *Facts) ends() []netip.Addr {
	var out []netip.Addr
	for _, p := range f.Peers {
		if a := p.VTEP.Addr(); !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		out = []netip.Addr{{}}
	}
	return out
}

// trials gathers who drops what, one finding a culprit.
type trials struct {
	of    map[string]*trial
	order []*trial
}

// trial is a culprit and whose datagrams it drops.
type trial struct {
	culprit *firewall.Culprit
	way     string
	peers   []netip.Addr
}

func newTrials() *trials { return &trials{of: map[string]*trial{}} }

// try takes a datagram through hooks, up to the first that surely drops it.
func (t *trials) try(rs *firewall.Ruleset, d *firewall.Datagram, peer netip.Addr, way string, hooks ...uint32) {
	for _, hook := range hooks {
		cs := rs.Walk(hook, d)
		for i := range cs {
			t.add(&cs[i], way, peer)
		}
		if slices.ContainsFunc(cs, func(c firewall.Culprit) bool { return c.Sure }) {
			return
		}
	}
}

func (t *trials) add(c *firewall.Culprit, way string, peer netip.Addr) {
	key := way + c.String()
	x := t.of[key]
	if x == nil {
		x = &trial{culprit: c, way: way}
		t.of[key], t.order = x, append(t.order, x)
	}
	x.culprit.Sure = x.culprit.Sure || c.Sure
	x.peers = append(x.peers, peer)
}

// who names the hosts that a culprit is about.
func (x *trial) who() string {
	switch {
	case !x.peers[0].IsValid():
		return "other hosts"
	case len(x.peers) > 3:
		return fmt.Sprintf("%s and %d other hosts", x.peers[0], len(x.peers)-1)
	}
	return addrs(x.peers...)
}

// checkForwarding tells whether the kernel passes frames on between the TAP and
// containers.
func checkForwarding(r *report, f *Facts) {
	if f.Agent.NoSubnet || len(f.Network.Own) == 0 {
		return
	}
	for _, s := range []struct {
		name string
		six  bool
	}{{"net/ipv4/ip_forward", false}, {"net/ipv6/conf/all/forwarding", true}} {
		on, known := f.Sysctls[s.name]
		if !known || on != 0 || !slices.ContainsFunc(f.Network.Own, func(p netip.Prefix) bool { return p.Addr().Is6() == s.six }) {
			continue
		}
		severity, text := Note, "containers, once there are some, would reach nobody"
		if len(f.containerLinks()) > 0 {
			severity, text = Error, "containers reach nobody on other hosts"
		}
		r.add(severity, "sysctl -w "+dotted(s.name)+"=1", "%s is off: %s", dotted(s.name), text)
	}
	r.ok("the kernel passes on what is for containers")
}

func dotted(sysctl string) string {
	b := []byte(sysctl)
	for i := range b {
		if b[i] == '/' {
			b[i] = '.'
		}
	}
	return string(b)
}

// checkForwardPolicy thinks what is passed on between the TAP and containers
// through the firewall.
func checkForwardPolicy(r *report, f *Facts) {
	if f.Firewall == nil || f.Agent.NoSubnet {
		return
	}
	t := newTrials()
	links := f.containerLinks()
	for _, l := range links {
		here, there := f.ownAddr(l), f.farAddr()
		in := firewall.Datagram{From: there, To: here, In: f.TAP.Name, Out: l.Name, Proto: firewall.TCP}
		out := firewall.Datagram{From: here, To: there, In: l.Name, Out: f.TAP.Name, Proto: firewall.TCP}
		t.try(f.Firewall, &in, here, "comes from the overlay for", firewall.Forward)
		t.try(f.Firewall, &out, here, "goes to the overlay from", firewall.Forward)
	}
	for _, x := range t.order {
		if !x.culprit.Sure {
			continue // such rules are about ports of services as a rule
		}
		match, ipt := fmt.Sprintf("iifname %q", f.TAP.Name), "-i "+f.TAP.Name
		if x.way[0] == 'g' {
			match, ipt = fmt.Sprintf("oifname %q", f.TAP.Name), "-o "+f.TAP.Name
		}
		r.add(Error, x.culprit.LetIn(match, ipt), "the firewall drops what %s containers: %s", x.way, x.culprit)
	}
	if len(links) > 0 {
		r.ok("the firewall passes on what is for containers")
	}
}

// ownAddr is an address of this host's subnets on an interface.
func (f *Facts) ownAddr(l hostnet.SeenLink) netip.Addr {
	for _, a := range l.Addrs {
		if inOne(f.Network.Own, a.Addr()) {
			return a.Addr()
		}
	}
	return netip.Addr{}
}

// farAddr is an address of another host's subnet; the zero Addr when none is known.
func (f *Facts) farAddr() netip.Addr {
	for _, p := range f.Peers {
		for _, s := range p.Subnets {
			return s.Addr().Next()
		}
	}
	return netip.Addr{}
}

// checkBridgeFilter tells where frames within a bridge are put before iptables.
func checkBridgeFilter(r *report, f *Facts) {
	if f.TAP.Bridge == "" {
		return
	}
	for _, name := range []string{"net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables"} {
		if f.Sysctls[name] == 1 {
			r.add(Warning, "sysctl -w "+dotted(name)+"=0", "%s is on: what passes the bridge %s is put before the rules for what is forwarded", dotted(name), f.TAP.Bridge)
		}
	}
	r.ok("what passes the bridge %s is not filtered", f.TAP.Bridge)
}
