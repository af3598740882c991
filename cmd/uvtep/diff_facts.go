package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/hostnet"
)

// What facts are about, in the order in which differences are printed.
const (
	aboutConfig = "config"
	aboutLease  = "lease"
	aboutFDB    = "fdb"
	aboutVTEP   = "vtep"
	aboutNeigh  = "neigh"
	aboutRoute  = "route"
	aboutTAP    = "tap"
)

var abouts = []string{aboutConfig, aboutLease, aboutFDB, aboutVTEP, aboutNeigh, aboutRoute, aboutTAP}

// fact is something that one side says, in words that are the same on every
// side that says the same.
type fact struct{ about, what string }

// source is where a fact comes from: a key of etcd and the revision of its
// value. Either may be unknown.
type source struct {
	key string
	rev int64
}

// facts are all that one side says.
type facts map[fact]source

func (f facts) add(about string, from source, format string, a ...any) {
	f[fact{about, fmt.Sprintf(format, a...)}] = from
}

// Words of facts that come from several sides.

func macWords(mac ether.Addr, vtep netip.AddrPort, vni encap.VNI, n *etcdsync.Network) string {
	w := fmt.Sprintf("%s dst %s", mac, vtep.Addr())
	if vtep.Port() != n.Port {
		w += fmt.Sprintf(" port %d", vtep.Port())
	}
	return w + vniWords(vni, n)
}

func ipWords(ip netip.Addr, mac ether.Addr, vni encap.VNI, n *etcdsync.Network) string {
	return fmt.Sprintf("%s lladdr %s%s", ip, mac, vniWords(vni, n))
}

// vniWords says which VNI, unless that is the network's own.
func vniWords(v encap.VNI, n *etcdsync.Network) string {
	if v == n.VNI {
		return ""
	}
	return " vni " + v.String()
}

func leaseWords(subnet, subnet6 netip.Prefix, public []netip.Addr, mac ether.Addr) string {
	var at []string
	for _, a := range public {
		at = append(at, a.String())
	}
	return fmt.Sprintf("%s of this host at %s, address %s", both(subnet, subnet6), strings.Join(at, ", "), mac)
}

// configFacts are a configuration's fields.
func (f facts) config(n etcdsync.Network, rev int64) {
	text, err := n.MarshalJSON()
	var fields map[string]any
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		return
	}
	backend, _ := fields["Backend"].(map[string]any)
	delete(fields, "Backend")
	for name, v := range fields {
		f.add(aboutConfig, source{"config", rev}, "%s %v", name, v)
	}
	for name, v := range backend {
		f.add(aboutConfig, source{"config", rev}, "Backend.%s %v", name, v)
	}
}

// factsOfEtcd are what etcd says, to the host that runs by n.
func factsOfEtcd(a *etcdsync.Audit, n *etcdsync.Network, noSubnet bool) facts {
	f := facts{}
	f.config(a.Latest, 0)
	for _, o := range a.Own {
		f.add(aboutLease, source{o.Key, o.Rev}, "%s", leaseWords(o.Subnet, o.Subnet6, o.Public, o.MAC))
	}
	if a.Record {
		f.add(aboutLease, source{}, "record of this host")
	}
	for k, e := range a.FDB.All() {
		if e.VTEP != nil {
			f.add(aboutFDB, source{a.StationKey(k), e.Rev}, "%s", macWords(k.MAC, e.VTEP.To, k.VNI, n))
		}
	}
	for v := range a.FDB.VTEPs(n.VNI).All() {
		f.add(aboutVTEP, source{}, "%s", v.To)
	}
	for k, b := range a.ARP.All() {
		f.add(aboutNeigh, source{a.BindingKey(k), b.Rev}, "%s", ipWords(k.IP, b.MAC, k.VNI, n))
	}
	if !noSubnet {
		f.routes(routesOf(a.Tables))
	}
	return f
}

// factsOfAgent are what an agent says of its tables.
func factsOfAgent(v *heldView, n *etcdsync.Network) facts {
	f := facts{}
	f.config(*n, 0)
	if v.Subnet.IsValid() || v.Subnet6.IsValid() {
		public := slices.DeleteFunc([]netip.Addr{v.Public, v.Public6}, func(a netip.Addr) bool { return !a.IsValid() })
		f.add(aboutLease, source{}, "%s", leaseWords(v.Subnet, v.Subnet6, public, v.MAC))
	}
	if v.Enrolled {
		f.add(aboutLease, source{}, "record of this host")
	}
	for _, e := range v.FDB {
		f.add(aboutFDB, source{"", e.Rev}, "%s", macWords(e.MAC, e.VTEP, e.VNI, n))
	}
	for _, a := range v.VTEPs {
		f.add(aboutVTEP, source{}, "%s", a)
	}
	for _, b := range v.Neigh {
		f.add(aboutNeigh, source{"", b.Rev}, "%s", ipWords(b.IP, b.MAC, b.VNI, n))
	}
	f.routes(v.Routes)
	return f
}

func (f facts) routes(rs []heldRoute) {
	for _, r := range rs {
		f.add(aboutRoute, source{r.Key, r.Rev}, "%s", hostnet.Route{Dst: r.Dst, Via: r.Via, MTU: r.MTU})
	}
}

// wishes are what an agent wants the kernel to have.
func (v *heldView) wishes() facts {
	f := facts{}
	from := make(map[netip.Prefix]source)
	for _, r := range v.Routes {
		from[r.Dst] = source{r.Key, r.Rev}
	}
	for _, r := range v.Kernel {
		f.add(aboutRoute, from[r.Dst], "%s", hostnet.Route{Dst: r.Dst, Via: r.Via, MTU: r.MTU})
	}
	f.tap(tapFacts{mac: v.MAC, mtu: v.MTU, addrs: v.Addrs, bridge: v.Bridge, up: true, open: 1})
	return f
}

// wishesOfEtcd are what an agent that did as etcd says would want the kernel to
// have. How it was started nobody knows, so not all of it.
func wishesOfEtcd(a *etcdsync.Audit, noSubnet bool) facts {
	f := facts{}
	if !noSubnet {
		f.routes(routesOf(a.Tables))
	}
	for _, o := range a.Own {
		f.tap(tapFacts{mac: o.MAC, addrs: tapAddrs(o.Subnet, o.Subnet6), up: true})
	}
	return f
}

// routesOf lists the routes of tables with the keys they come from.
func routesOf(t *etcdsync.Tables) []heldRoute {
	v := heldView{}
	v.takeRoutes(t)
	return v.Routes
}

// tapFacts are what can be said of a TAP. What is zero is not known.
type tapFacts struct {
	mac    ether.Addr
	mtu    int
	addrs  []netip.Prefix
	bridge string
	up     bool
	open   int // how many programs have it open
}

func (f facts) tap(t tapFacts) {
	f.add(aboutTAP, source{}, "device")
	if !t.mac.IsZero() {
		f.add(aboutTAP, source{}, "address %s", t.mac)
	}
	if t.mtu != 0 {
		f.add(aboutTAP, source{}, "mtu %d", t.mtu)
	}
	for _, a := range t.addrs {
		f.add(aboutTAP, source{}, "inet %s", a)
	}
	if t.bridge != "" {
		f.add(aboutTAP, source{}, "master %s", t.bridge)
	}
	if t.up {
		f.add(aboutTAP, source{}, "up")
	}
	if t.open != 0 {
		f.add(aboutTAP, source{}, "open by %s", counted(t.open, "program"))
	}
}

// kernelSide is what the kernel has, before it is known what is wanted of it.
type kernelSide struct {
	tap    *hostnet.Link // nil: there is none
	open   int           // programs that have it open; 0: none, or not known
	routes []hostnet.SeenRoute
}

// facts are what the kernel has of what is wanted, and what else of it is in
// the way: addresses of the overlay on the TAP, routes to a wanted destination
// or a part of it. What is not wanted to be known is left out.
func (k kernelSide) facts(wanted facts, overlay ...netip.Prefix) facts {
	f := facts{}
	dsts := wanted.destinations()
	for _, r := range k.routes {
		switch {
		case r.Ours:
			f.add(aboutRoute, source{}, "%s", r.Route)
		case r.Protocol == hostnet.RouteProtocol, overlapsOne(dsts, r.Dst):
			f.add(aboutRoute, source{}, "%s", r)
		}
	}
	if k.tap == nil {
		return f
	}
	t := tapFacts{mac: k.tap.MAC, bridge: k.tap.Bridge, up: k.tap.Up}
	for _, a := range k.tap.Addrs {
		if _, asked := wanted[fact{aboutTAP, "inet " + a.String()}]; asked || inOne(overlay, a.Addr()) {
			t.addrs = append(t.addrs, a)
		}
	}
	if wanted.says(aboutTAP, "mtu ") {
		t.mtu = k.tap.MTU
	}
	if wanted.says(aboutTAP, "open ") {
		t.open = k.open
	}
	if !wanted.says(aboutTAP, "address ") {
		t.mac = ether.Addr{}
	}
	f.tap(t)
	return f
}

// says reports whether there is a fact that begins so.
func (f facts) says(about, begin string) bool {
	for x := range f {
		if x.about == about && strings.HasPrefix(x.what, begin) {
			return true
		}
	}
	return false
}

// destinations are those of the routes, sorted by their addresses.
func (f facts) destinations() []netip.Prefix {
	var out []netip.Prefix
	for x := range f {
		if text, _, _ := strings.Cut(x.what, " "); x.about == aboutRoute {
			if p, err := netip.ParsePrefix(text); err == nil {
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, netip.Prefix.Compare)
	return out
}

// overlapsOne reports whether p is one of the sorted ps or a part of one.
func overlapsOne(ps []netip.Prefix, p netip.Prefix) bool {
	i, found := slices.BinarySearchFunc(ps, p, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	if found && ps[i].Bits() <= p.Bits() {
		return true
	}
	return i > 0 && ps[i-1].Contains(p.Addr())
}

func inOne(ranges []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.IsValid() && r.Contains(a) })
}

// difference is what one side says and another does not.
type difference struct {
	Sign  string `json:"sign"` // "-": what shall be lacks, "+": what is should not be
	About string `json:"about"`
	What  string `json:"what"`
	In    string `json:"in"`
	NotIn string `json:"not_in"`
	Key   string `json:"key,omitempty"`
	Rev   int64  `json:"revision,omitempty"`
}

// String is the difference in one line.
func (d difference) String() string {
	s := fmt.Sprintf("%s %s %s: in %s, not in %s", d.Sign, d.About, plain(d.What), d.In, d.NotIn)
	if d.Key != "" {
		s += "; key " + plain(d.Key)
	}
	if d.Rev != 0 {
		s += fmt.Sprintf("; revision %d", d.Rev)
	}
	return s
}

// compareFacts returns what the two sides do not both say: left is how it shall
// be, right how it is.
func compareFacts(left, right facts, leftName, rightName string) []difference {
	var out []difference
	miss := func(a, b facts, sign, in, notIn string) {
		for x, from := range a {
			if _, ok := b[x]; !ok {
				out = append(out, difference{sign, x.about, x.what, in, notIn, from.key, from.rev})
			}
		}
	}
	miss(left, right, "-", leftName, rightName)
	miss(right, left, "+", rightName, leftName)
	slices.SortFunc(out, difference.compare)
	return withoutTAP(out)
}

// withoutTAP says of a TAP that is not there no more than that.
func withoutTAP(ds []difference) []difference {
	gone := slices.ContainsFunc(ds, func(d difference) bool { return d.About == aboutTAP && d.What == "device" })
	return slices.DeleteFunc(ds, func(d difference) bool { return gone && d.About == aboutTAP && d.What != "device" })
}

func (d difference) compare(o difference) int {
	return cmp.Or(cmp.Compare(slices.Index(abouts, d.About), slices.Index(abouts, o.About)),
		cmp.Compare(d.subject(), o.subject()), -cmp.Compare(d.Sign, o.Sign), cmp.Compare(d.What, o.What))
}

// subject is what a difference is about, so that both halves of a change stand
// together.
func (d difference) subject() string {
	s, _, _ := strings.Cut(d.What, " ")
	return s
}

// stillThere are those of the differences that were there before, too: about the
// same value, if it is known which.
func stillThere(before, now []difference) []difference {
	was := make(map[difference]bool, len(before))
	for _, d := range before {
		was[d] = true
	}
	return slices.DeleteFunc(now, func(d difference) bool { return !was[d] })
}

// counted is a number of things in words.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
