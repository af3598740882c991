package hostnet

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

func TestResyncPutsBackWhatOthersRemoved(t *testing.T) {
	s := overlay(t)
	r := NewRoutes(s.Host)
	s.check(r.Reconcile(s.index("uvtep.1"), []Route{routeTo("10.5.10.0/24"), routeTo("10.5.11.0/24"), routeTo("fd00:10:5::/64")}))
	all := s.ours()
	for _, c := range []struct {
		name string
		hurt func()
	}{
		{"one route", func() { s.check(s.nl.RouteDel(&netlink.Route{Dst: ipNet(netip.MustParsePrefix("10.5.10.0/24"))})) }},
		{"all, with the interface", func() { s.down("uvtep.1"); s.up("uvtep.1") }},
		{"none", func() {}},
	} {
		c.hurt()
		if err := r.Resync(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		same(t, c.name, s.ours(), all)
	}
}

func TestResyncBeforeTheFirstReconcileTouchesNothing(t *testing.T) {
	s := overlay(t)
	s.check(NewRoutes(s.Host).Reconcile(s.index("uvtep.1"), []Route{routeTo("10.5.10.0/24")}))
	before := s.ours()
	if err := NewRoutes(s.Host).Resync(); err != nil {
		t.Fatal(err)
	}
	same(t, "ours", s.ours(), before)
}

// Looking again at ten thousand routes must not move one of them.
func TestResyncTouchesNothingThatIsRight(t *testing.T) {
	s := overlay(t)
	want := []Route{routeTo("10.5.10.0/24"), routeTo("fd00:10:5::/64")}
	s.check(NewRoutes(s.Host).Reconcile(s.index("uvtep.1"), want))
	sub, err := s.subscribe()
	s.check(err)
	defer sub.close()
	r := NewRoutes(s.Host)
	s.check(r.Reconcile(s.index("uvtep.1"), want))
	s.check(r.Resync())
	s.route("eth0", "172.16.0.0/12", "192.0.2.9", nil)
	var told []string
	_, err = sub.receive(func(m syscall.NetlinkMessage) {
		if a := newAnnouncement(m); a.about == aboutRoute {
			told = append(told, a.dst.String())
		}
	})
	s.check(err)
	same(t, "changes of routes", told, []string{"172.16.0.0/12"})
}

func TestRoutesFollowTheTAPToItsNewIndex(t *testing.T) {
	s := overlay(t)
	r := NewRoutes(s.Host)
	want := []Route{routeTo("10.5.10.0/24"), routeTo("10.5.11.0/24")}
	s.check(r.Reconcile(s.index("uvtep.1"), want))
	all := s.ours()
	for _, resync := range []bool{true, false} {
		s.check(s.DeleteLink("uvtep.1"))
		if resync && r.Resync() == nil {
			t.Error("no error though there is no TAP")
		}
		s.tap("uvtep.1")
		l, err := s.EnsureLink("uvtep.1", LinkConfig{Up: true})
		s.check(err)
		if err := r.Reconcile(l.Index, want); err != nil {
			t.Fatal(err)
		}
		same(t, "ours", s.ours(), all)
	}
}

// A walk of random wants, with random harm by others in between, always ends
// at what was wanted last.
func TestRoutesAgainstTheKernelAtRandom(t *testing.T) {
	s := overlay(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	r := NewRoutes(s.Host)
	tap := s.index("uvtep.1")
	for range 60 {
		var want []Route
		var lines []string
		for n := range 12 {
			if rnd.IntN(2) == 0 {
				continue
			}
			dst := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 5, byte(n), 0}), 24)
			via := netip.AddrFrom4([4]byte{10, 5, byte(n), byte(rnd.IntN(2))})
			want = append(want, Route{Dst: dst, Via: via})
			lines = append(lines, fmt.Sprintf("%s via %s dev uvtep.1 table 254 metric 0 proto 86 onlink", dst, via))
		}
		slices.Sort(lines)
		s.check(r.Reconcile(tap, want))
		same(t, "after Reconcile", s.ours(), lines)
		if len(want) > 0 {
			victim := want[rnd.IntN(len(want))]
			s.check(s.nl.RouteDel(&netlink.Route{Dst: ipNet(victim.Dst)}))
			s.check(r.Resync())
			same(t, "after Resync", s.ours(), lines)
		}
	}
}

// manyRoutes are the routes to n hosts.
func manyRoutes(n int) []Route {
	rs := make([]Route, n)
	for i := range rs {
		a := netip.AddrFrom4([4]byte{100, byte(i >> 8), byte(i), 0})
		rs[i] = Route{Dst: netip.PrefixFrom(a, 24), Via: a}
	}
	return rs
}

func BenchmarkRoutes(b *testing.B) {
	const hosts = 10_000
	s := overlay(b)
	r := NewRoutes(s.Host)
	tap := s.index("uvtep.1")
	all := manyRoutes(hosts)
	b.Run("add and remove 10000", func(b *testing.B) {
		for b.Loop() {
			s.check(r.Reconcile(tap, all))
			s.check(r.Reconcile(tap, nil))
		}
	})
	s.check(r.Reconcile(tap, all))
	b.Run("resync 10000", func(b *testing.B) {
		for b.Loop() {
			s.check(r.Resync())
		}
	})
	b.Run("change 1 of 10000", func(b *testing.B) {
		for n := 0; b.Loop(); n ^= 1 {
			all[0].Via = netip.AddrFrom4([4]byte{100, 0, 0, byte(n)})
			s.check(r.Reconcile(tap, all))
		}
	})
}
