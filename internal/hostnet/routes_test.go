package hostnet

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// overlay is a namespace with an underlay and a dressed TAP, uvtep.1.
func overlay(t testing.TB) *space {
	t.Helper()
	s := newSpace(t)
	s.cable("eth0", 1500, "192.0.2.2/24")
	s.tap("uvtep.1")
	_, err := s.EnsureLink("uvtep.1", LinkConfig{
		Up:    true,
		Addrs: []netip.Prefix{netip.MustParsePrefix("10.10.238.0/32"), netip.MustParsePrefix("fd00:10:238::/128")},
	})
	s.check(err)
	return s
}

// routeTo is the route to a remote host's subnet, by flannel's rule.
func routeTo(subnet string) Route {
	p := netip.MustParsePrefix(subnet)
	return Route{Dst: p, Via: p.Addr()}
}

func (s *space) index(name string) int { s.t.Helper(); return s.link(name).Attrs().Index }

// ours lists the kernel's routes with our protocol number, as "ip route" does.
func (s *space) ours() []string {
	s.t.Helper()
	return s.routes(func(r netlink.Route) bool { return r.Protocol == RouteProtocol })
}

// foreign lists the others, but for those that the kernel keeps for itself.
func (s *space) foreign() []string {
	s.t.Helper()
	return s.routes(func(r netlink.Route) bool {
		return r.Protocol != RouteProtocol && r.Protocol != unix.RTPROT_KERNEL
	})
}

func (s *space) routes(which func(netlink.Route) bool) []string {
	s.t.Helper()
	names := map[int]string{}
	links, err := s.nl.LinkList()
	s.check(err)
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	rs, err := s.nl.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{}, netlink.RT_FILTER_TABLE) // of all tables
	s.check(err)
	var lines []string
	for _, r := range rs {
		if !which(r) {
			continue
		}
		line := fmt.Sprintf("%v via %v dev %s table %d metric %d proto %d", r.Dst, r.Gw, names[r.LinkIndex], r.Table, r.Priority, r.Protocol)
		if r.Flags&int(netlink.FLAG_ONLINK) != 0 {
			line += " onlink"
		}
		if r.MTU != 0 {
			line += fmt.Sprintf(" mtu %d", r.MTU)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func same(t testing.TB, what string, got, want []string) {
	t.Helper()
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("%s (-got +want):\n%s", what, d)
	}
}

func TestRoutesBecomeWhatIsWanted(t *testing.T) {
	s := overlay(t)
	s.route("eth0", "172.16.0.0/12", "192.0.2.9", nil)
	before := s.foreign()
	r := NewRoutes(s.Host)
	tap := s.index("uvtep.1")
	for _, c := range []struct {
		name string
		want []Route
		have []string
	}{
		{"two hosts, one of both families", []Route{routeTo("10.5.10.0/24"), routeTo("10.5.52.0/24"), routeTo("fd00:10:5::/64")}, []string{
			"10.5.10.0/24 via 10.5.10.0 dev uvtep.1 table 254 metric 0 proto 86 onlink",
			"10.5.52.0/24 via 10.5.52.0 dev uvtep.1 table 254 metric 0 proto 86 onlink",
			"fd00:10:5::/64 via fd00:10:5:: dev uvtep.1 table 254 metric 1024 proto 86 onlink",
		}},
		{"a nexthop changes, a host goes, one comes", []Route{
			{Dst: netip.MustParsePrefix("10.5.10.0/24"), Via: netip.MustParseAddr("10.5.10.9")},
			{Dst: netip.MustParsePrefix("fd00:10:5::/64"), Via: netip.MustParseAddr("fd00:10:5::9")},
			routeTo("10.6.0.0/17")}, []string{
			"10.5.10.0/24 via 10.5.10.9 dev uvtep.1 table 254 metric 0 proto 86 onlink",
			"10.6.0.0/17 via 10.6.0.0 dev uvtep.1 table 254 metric 0 proto 86 onlink",
			"fd00:10:5::/64 via fd00:10:5::9 dev uvtep.1 table 254 metric 1024 proto 86 onlink",
		}},
		{"nobody is left", nil, nil},
		{"and one comes again", []Route{routeTo("10.5.10.0/24")}, []string{
			"10.5.10.0/24 via 10.5.10.0 dev uvtep.1 table 254 metric 0 proto 86 onlink",
		}},
	} {
		if err := r.Reconcile(tap, c.want); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		same(t, c.name, s.ours(), c.have)
		if got, want := r.Len(), len(c.have); got != want {
			t.Errorf("%s: Len %d, want %d", c.name, got, want)
		}
	}
	same(t, "foreign routes", s.foreign(), before)
}

// Little by little the kernel comes to the same as at once.
func TestAChangeOfRoutesTouchesThoseAlone(t *testing.T) {
	s := overlay(t)
	r := NewRoutes(s.Host)
	tap := s.index("uvtep.1")
	s.route("eth0", "10.5.13.0/24", "192.0.2.9", nil)
	dst := netip.MustParsePrefix
	s.check(r.Reconcile(tap, []Route{routeTo("10.5.10.0/24"), routeTo("10.5.12.0/24")}))
	s.check(s.nl.RouteDel(&netlink.Route{Dst: ipNet(dst("10.5.10.0/24"))})) // behind our back: not looked at
	s.check(r.Change(tap, []netip.Prefix{dst("10.5.12.0/24"), dst("10.5.99.0/24")}, []Route{routeTo("10.5.11.0/24")}))
	same(t, "one gone, one new", s.ours(), []string{"10.5.11.0/24 via 10.5.11.0 dev uvtep.1 table 254 metric 0 proto 86 onlink"})
	if err := r.Change(tap, nil, []Route{routeTo("10.5.13.0/24")}); err == nil {
		t.Error("a foreign route in the place of one: no error")
	}
	s.check(s.nl.RouteDel(&netlink.Route{Dst: ipNet(dst("10.5.13.0/24"))}))
	moved := Route{Dst: dst("10.5.11.0/24"), Via: netip.MustParseAddr("10.5.11.9")}
	s.check(r.Change(tap, nil, []Route{moved}))
	want := []string{
		"10.5.11.0/24 via 10.5.11.9 dev uvtep.1 table 254 metric 0 proto 86 onlink",
		"10.5.13.0/24 via 10.5.13.0 dev uvtep.1 table 254 metric 0 proto 86 onlink",
	}
	same(t, "one moved, and what failed before", s.ours(), want)
	if !r.wants(dst("10.5.13.0/24")) || r.wants(dst("10.5.12.0/24")) {
		t.Error("what is wanted is not what was asked for")
	}
	s.check(r.Resync())
	same(t, "looked at again", s.ours(), append([]string{"10.5.10.0/24 via 10.5.10.0 dev uvtep.1 table 254 metric 0 proto 86 onlink"}, want...))
}

// What an agent that died left behind is ours; what looks alike but is not is
// none of our business.
func TestRoutesOfAnEarlierLifeArePurgedAndForeignOnesStay(t *testing.T) {
	s := overlay(t)
	s.tap("uvtep.2")
	s.up("uvtep.2")
	proto := func(n netlink.RouteProtocol) func(*netlink.Route) {
		return func(r *netlink.Route) { r.Protocol = n }
	}
	odd := func(f func(*netlink.Route)) func(*netlink.Route) {
		return func(r *netlink.Route) { r.Protocol = RouteProtocol; f(r) }
	}
	for _, stranger := range []struct {
		dst, via string
		more     func(*netlink.Route)
	}{
		{"10.5.1.0/24", "10.5.1.0", proto(RouteProtocol)},
		{"10.5.2.0/24", "10.5.2.0", odd(func(r *netlink.Route) { r.Priority = 7 })},
		{"10.5.10.0/24", "10.5.10.0", odd(func(r *netlink.Route) { r.Priority = 7 })}, // beside a wanted one
		{"10.5.10.0/24", "10.5.10.99", proto(RouteProtocol)},                          // instead of a wanted one
		{"10.5.11.0/24", "10.5.11.0", odd(func(r *netlink.Route) { r.MTU = 1300 })},   // wanted, but not so
		{"10.5.12.0/24", "", proto(RouteProtocol)},
		{"10.5.13.0/24", "10.5.13.0", proto(RouteProtocol)}, // as wanted, and a twin that is not
		{"10.5.13.0/24", "10.5.13.0", odd(func(r *netlink.Route) { r.Priority = 7 })},
		{"fd00:10:5::/64", "fd00:10:5::", proto(RouteProtocol)},
		{"fd00:10:6::/64", "fd00:10:6::", odd(func(r *netlink.Route) { r.Priority = 9 })},
	} {
		s.route("uvtep.1", stranger.dst, stranger.via, stranger.more)
	}
	s.route("uvtep.1", "10.7.0.0/24", "10.7.0.1", proto(unix.RTPROT_STATIC))
	s.route("uvtep.1", "fd00:7::/64", "fd00:7::1", proto(unix.RTPROT_BGP))
	s.route("eth0", "172.16.0.0/12", "192.0.2.9", nil)
	s.route("uvtep.2", "10.8.0.0/24", "10.8.0.0", proto(RouteProtocol)) // of another agent
	s.route("uvtep.1", "10.9.0.0/24", "10.9.0.0", odd(func(r *netlink.Route) { r.Table = 100 }))
	before := s.foreign()
	err := NewRoutes(s.Host).Reconcile(s.index("uvtep.1"), []Route{routeTo("10.5.10.0/24"), routeTo("10.5.11.0/24"), routeTo("10.5.12.0/24"), routeTo("10.5.13.0/24"), routeTo("fd00:10:6::/64")})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "ours", s.ours(), []string{
		"10.5.10.0/24 via 10.5.10.0 dev uvtep.1 table 254 metric 0 proto 86 onlink",
		"10.5.11.0/24 via 10.5.11.0 dev uvtep.1 table 254 metric 0 proto 86 onlink",
		"10.5.12.0/24 via 10.5.12.0 dev uvtep.1 table 254 metric 0 proto 86 onlink",
		"10.5.13.0/24 via 10.5.13.0 dev uvtep.1 table 254 metric 0 proto 86 onlink",
		"10.8.0.0/24 via 10.8.0.0 dev uvtep.2 table 254 metric 0 proto 86 onlink",
		"10.9.0.0/24 via 10.9.0.0 dev uvtep.1 table 100 metric 0 proto 86 onlink",
		"fd00:10:6::/64 via fd00:10:6:: dev uvtep.1 table 254 metric 1024 proto 86 onlink",
	})
	same(t, "foreign routes", s.foreign(), before)
}

func TestAForeignRouteInOurPlaceIsReportedAndCostsNoOther(t *testing.T) {
	s := overlay(t)
	s.route("eth0", "10.5.10.0/24", "192.0.2.9", nil)
	s.route("eth0", "fd00:10:5::/64", "fd00::9", func(r *netlink.Route) { r.Priority = ipv6Metric })
	before := s.foreign()
	r := NewRoutes(s.Host)
	want := []Route{routeTo("10.5.10.0/24"), routeTo("10.5.11.0/24"), routeTo("fd00:10:5::/64"), routeTo("fd00:10:6::/64")}
	err := r.Reconcile(s.index("uvtep.1"), want)
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range []string{"10.5.10.0/24 via 10.5.10.0: a route that is not ours", "fd00:10:5::/64 via fd00:10:5::: a route that is not ours"} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q lacks %q", err, w)
		}
	}
	same(t, "foreign routes", s.foreign(), before)
	rest := []string{
		"10.5.11.0/24 via 10.5.11.0 dev uvtep.1 table 254 metric 0 proto 86 onlink",
		"fd00:10:6::/64 via fd00:10:6:: dev uvtep.1 table 254 metric 1024 proto 86 onlink",
	}
	same(t, "ours", s.ours(), rest)

	// The stranger leaves; the next call finds the place free.
	p := netip.MustParsePrefix("10.5.10.0/24")
	s.check(s.nl.RouteDel(&netlink.Route{Dst: ipNet(p)}))
	if err := r.Reconcile(s.index("uvtep.1"), want[:2]); err != nil {
		t.Fatal(err)
	}
	same(t, "ours", s.ours(), []string{"10.5.10.0/24 via 10.5.10.0 dev uvtep.1 table 254 metric 0 proto 86 onlink", rest[0]})
}

func TestARouteOfOursIntoAnotherTAPIsTakenOverWhenWanted(t *testing.T) {
	s := overlay(t)
	s.tap("old")
	s.up("old")
	left := NewRoutes(s.Host)
	s.check(left.Reconcile(s.index("old"), []Route{routeTo("10.5.10.0/24"), routeTo("10.5.11.0/24"), routeTo("fd00:10:5::/64")}))
	if err := NewRoutes(s.Host).Reconcile(s.index("uvtep.1"), []Route{routeTo("10.5.10.0/24"), routeTo("fd00:10:5::/64")}); err != nil {
		t.Fatal(err)
	}
	same(t, "ours", s.ours(), []string{
		"10.5.10.0/24 via 10.5.10.0 dev uvtep.1 table 254 metric 0 proto 86 onlink",
		"10.5.11.0/24 via 10.5.11.0 dev old table 254 metric 0 proto 86 onlink",
		"fd00:10:5::/64 via fd00:10:5:: dev uvtep.1 table 254 metric 1024 proto 86 onlink",
	})
}

func TestWhatIsNoRouteCostsThatOneAlone(t *testing.T) {
	s := overlay(t)
	err := NewRoutes(s.Host).Reconcile(s.index("uvtep.1"), []Route{
		{},
		{Dst: netip.MustParsePrefix("10.5.10.7/24"), Via: netip.MustParseAddr("10.5.10.0")},   // bits beyond the length
		{Dst: netip.MustParsePrefix("10.5.12.0/24"), Via: netip.MustParseAddr("fd00::1")},     // of two families
		{Dst: netip.MustParsePrefix("10.5.13.0/24"), Via: netip.MustParseAddr("224.0.0.1")},   // the kernel says no
		{Dst: netip.MustParsePrefix("10.5.14.0/24"), Via: netip.MustParseAddr("192.0.2.255")}, // and again
		routeTo("10.5.15.0/24"),
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"10.5.10.7/24", "10.5.12.0/24", "10.5.13.0/24", "10.5.14.0/24"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	same(t, "ours", s.ours(), []string{"10.5.15.0/24 via 10.5.15.0 dev uvtep.1 table 254 metric 0 proto 86 onlink"})
}

// A route may take less than the TAP: for IPv6 that must be locked, or what is
// forwarded ignores it.
func TestARouteMayTakeLessThanTheTAP(t *testing.T) {
	s := overlay(t)
	tap := s.index("uvtep.1")
	short := func(mtu int) []Route {
		rs := []Route{routeTo("10.5.10.0/24"), routeTo("10.5.11.0/24"), routeTo("fd00:10:5::/64")}
		rs[0].MTU, rs[2].MTU = mtu, mtu
		return rs
	}
	want := func(mtu string) []string {
		return []string{
			"10.5.10.0/24 via 10.5.10.0 dev uvtep.1 table 254 metric 0 proto 86 onlink" + mtu,
			"10.5.11.0/24 via 10.5.11.0 dev uvtep.1 table 254 metric 0 proto 86 onlink",
			"fd00:10:5::/64 via fd00:10:5:: dev uvtep.1 table 254 metric 1024 proto 86 onlink" + mtu,
		}
	}
	r := NewRoutes(s.Host)
	for _, step := range []struct {
		mtu  int
		text string
	}{{1430, " mtu 1430"}, {1330, " mtu 1330"}, {0, ""}, {1430, " mtu 1430"}} {
		s.check(r.Reconcile(tap, short(step.mtu)))
		same(t, "routes", s.ours(), want(step.text))
	}
	unlocked := &netlink.Route{LinkIndex: tap, Dst: ipNet(netip.MustParsePrefix("fd00:10:5::/64")), Gw: netip.MustParseAddr("fd00:10:5::").AsSlice(), Protocol: RouteProtocol, Priority: ipv6Metric, MTU: 1430, Flags: int(netlink.FLAG_ONLINK)}
	s.check(s.nl.RouteReplace(unlocked))
	s.check(r.Resync())
	same(t, "routes after a resync", s.ours(), want(" mtu 1430"))
	rs, err := s.nl.RouteListFiltered(netlink.FAMILY_V6, &netlink.Route{Protocol: RouteProtocol}, netlink.RT_FILTER_PROTOCOL)
	s.check(err)
	if len(rs) != 1 || !rs[0].MTULock {
		t.Errorf("got %+v, want one with its MTU locked", rs)
	}
}

// Ten thousand hosts are no reason for the kernel to look through ten thousand
// records at each route; and nobody but the kernel notices.
func TestManyRoutesAreOfSeveralScopes(t *testing.T) {
	s := overlay(t)
	r := NewRoutes(s.Host)
	tap := s.index("uvtep.1")
	numbered := func(n int) (out []Route) {
		for i := range n {
			out = append(out, routeTo(fmt.Sprintf("10.%d.%d.0/24", 32+i/256, i%256)), routeTo(fmt.Sprintf("fd00:20:%x::/64", i)))
		}
		return out
	}
	inScopes := func(count int) {
		t.Helper()
		got := map[netlink.Scope]int{}
		rs, err := s.nl.RouteListFiltered(unix.AF_INET, &netlink.Route{Protocol: RouteProtocol}, netlink.RT_FILTER_PROTOCOL)
		s.check(err)
		for _, r := range rs {
			got[r.Scope]++
		}
		if len(got) != count || len(rs) == 0 {
			t.Errorf("%d routes are of the scopes %v, want %d of them", len(rs), got, count)
		}
		for scope, n := range got {
			if n > crowd || scope >= unix.RT_SCOPE_SITE {
				t.Errorf("%d routes are of scope %d", n, scope)
			}
		}
	}
	few, many := numbered(crowd/2), numbered(5*crowd/4)
	s.check(r.Reconcile(tap, few))
	inScopes(1)
	s.check(r.Reconcile(tap, many))
	s.check(r.Reconcile(tap, nil))
	s.check(r.Reconcile(tap, many))
	inScopes(3) // of as many routes, half of them IPv6
	rs, err := s.nl.RouteGet(net.IPv4(10, 35, 77, 9))
	s.check(err)
	if len(rs) != 1 || rs[0].LinkIndex != tap || rs[0].Gw.String() != "10.35.77.0" {
		t.Errorf("a datagram goes by %v", rs)
	}
	changes := s.changesOf(func() { s.check(NewRoutes(s.Host).Reconcile(tap, many)) })
	if changes != 0 {
		t.Errorf("another agent changes %d of the routes that it finds", changes)
	}
	// Of whichever scope, a place is taken, and a route is found to be removed.
	s.check(r.Change(tap, []netip.Prefix{many[0].Dst, many[2].Dst}, nil))
	s.route("eth0", many[2].Dst.String(), "192.0.2.9", nil)
	if err := r.Change(tap, nil, []Route{many[2]}); err == nil || !strings.Contains(err.Error(), "a route that is not ours is in its place") {
		t.Errorf("a foreign route in the place of one: got %v", err)
	}
	s.check(r.Reconcile(tap, nil))
	same(t, "nobody is left", s.ours(), nil)
}

// changesOf counts what a function changes in the routes of our number.
func (s *space) changesOf(do func()) (n int) {
	s.t.Helper()
	updates, done := make(chan netlink.RouteUpdate, 1<<14), make(chan struct{})
	s.check(netlink.RouteSubscribeAt(s.ns, updates, done))
	do()
	mark := netlink.Route{Dst: ipNet(netip.MustParsePrefix("10.254.254.0/24")), LinkIndex: s.index("eth0")}
	s.check(s.nl.RouteAdd(&mark))
	s.check(s.nl.RouteDel(&mark))
	for u := range updates {
		if u.Dst != nil && u.Dst.String() == mark.Dst.String() {
			break
		}
		n++
	}
	close(done)
	return n
}

func TestScopesOfRoutes(t *testing.T) {
	for _, c := range []struct {
		dst    string
		routes int
		want   int
	}{
		{"10.0.7.0/24", 0, 0},
		{"10.0.7.0/24", crowd, 0},
		{"10.0.7.0/24", crowd + 1, 1},    // 0x0a0007 of 2
		{"10.0.7.0/24", 10 * crowd, 7},   // 655367 of 10
		{"10.0.7.0/24", 1 << 30, 167},    // of 200, however many there are
		{"10.0.7.128/25", 10 * crowd, 5}, // 0x14000f of 10
		{"0.0.0.0/0", 10 * crowd, 0},     // no subnet of many
		{"fd00:7::/64", 10 * crowd, 0},   // IPv6 has no such records
	} {
		if got := scopeFor(netip.MustParsePrefix(c.dst), c.routes); got != c.want {
			t.Errorf("%s of %d routes: got %d, want %d", c.dst, c.routes, got, c.want)
		}
	}
}
