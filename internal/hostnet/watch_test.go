package hostnet

import (
	"context"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"

	"github.com/uvtep/uvtep/encap/ether"
)

// onlooker is a Watch that runs beside a test.
type onlooker struct {
	s      *space
	events chan Event
}

// look starts a Watch and returns when it has subscribed. It is ended and
// waited for with the test.
func (s *space) look(c WatchConfig) onlooker {
	s.t.Helper()
	o := onlooker{s, make(chan Event, 100_000)}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Watch(ctx, c, func(e Event) { o.events <- e }) }()
	s.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Errorf("Watch ended with %v, want nil: it was cancelled", err)
		}
	})
	if e := <-o.events; e.Kind != Resync {
		s.t.Fatalf("the first event is %v, want Resync", e)
	}
	return o
}

// until returns the events up to the first of that kind, in words.
func (o onlooker) until(kind EventKind) []string {
	o.s.t.Helper()
	var all []string
	for e := range o.events {
		all = append(all, e.String())
		if e.Kind == kind {
			return all
		}
	}
	return nil
}

// watched is a host whose TAP, routes and underlay are as they shall be.
func watched(t *testing.T) (*space, *Routes) {
	t.Helper()
	s := overlay(t)
	s.route("eth0", "0.0.0.0/0", "192.0.2.1", nil)
	c := dressed()
	_, err := s.EnsureLink("uvtep.1", c)
	s.check(err)
	r := NewRoutes(s.Host)
	s.check(r.Reconcile(s.index("uvtep.1"), []Route{routeTo("10.5.10.0/24"), routeTo("10.5.11.0/24"), routeTo("fd00:10:5::/64")}))
	return s, r
}

func TestWatchTellsWhatOthersDo(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*space)
		want []string
	}{
		{"the TAP is removed", func(s *space) { s.check(s.nl.LinkDel(s.link("uvtep.1"))) },
			[]string{"uvtep.1: TAP removed"}},
		{"the TAP's MAC is changed", func(s *space) {
			s.check(s.nl.LinkSetHardwareAddr(s.link("uvtep.1"), []byte{2, 0, 0, 0, 0, 9}))
		}, []string{"uvtep.1: TAP's MAC changed: 02:00:00:00:00:09, was 1a:0f:87:98:5e:c7"}},
		{"the TAP's MTU is changed", func(s *space) { s.check(s.nl.LinkSetMTU(s.link("uvtep.1"), 1300)) },
			[]string{"uvtep.1: TAP's MTU changed: 1300, was 1410"}},
		{"the TAP is brought down", func(s *space) { s.down("uvtep.1") },
			[]string{"uvtep.1: TAP brought down: down, was up"}},
		{"the TAP loses our address", func(s *space) { s.removeAddr("uvtep.1", "10.10.238.0/32") },
			[]string{"uvtep.1: TAP's addresses changed: fd00:10:238::/128 fe80::180f:87ff:fe98:5ec7/64, was 10.10.238.0/32 fd00:10:238::/128 fe80::180f:87ff:fe98:5ec7/64"}},
		{"the TAP is put into a bridge", func(s *space) {
			br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}}
			s.check(s.nl.LinkAdd(br))
			s.check(s.nl.LinkSetMaster(s.link("uvtep.1"), br))
		}, []string{"uvtep.1: TAP moved between bridges: br0, was none"}},
		{"one route of ours is removed", func(s *space) {
			s.check(s.nl.RouteDel(&netlink.Route{Dst: ipNet(netip.MustParsePrefix("10.5.10.0/24"))}))
		}, []string{"uvtep.1: routes removed"}},
		{"one IPv6 route of ours is removed", func(s *space) {
			s.check(s.nl.RouteDel(&netlink.Route{Dst: ipNet(netip.MustParsePrefix("fd00:10:5::/64"))}))
		}, []string{"uvtep.1: routes removed"}},
		{"one route of ours is replaced by a foreign one", func(s *space) {
			s.check(s.nl.RouteReplace(&netlink.Route{Dst: ipNet(netip.MustParsePrefix("10.5.10.0/24")), LinkIndex: s.index("eth0")}))
		}, []string{"uvtep.1: routes removed"}},
		{"the underlay gets another address", func(s *space) {
			s.addr("eth0", "192.0.2.3/24")
			s.removeAddr("eth0", "192.0.2.3/24")
			s.addr("eth0", "198.51.100.3/24")
		}, nil}, // in one event or several, see below
		{"the underlay's MTU is changed", func(s *space) { s.check(s.nl.LinkSetMTU(s.link("eth0"), 1460)) },
			[]string{"eth0: underlay's MTU changed: 1460, was 1500"}},
		{"the default route gets an MTU", func(s *space) {
			s.check(s.nl.RouteReplace(&netlink.Route{Dst: ipNet(netip.MustParsePrefix("0.0.0.0/0")), Gw: []byte{192, 0, 2, 1}, LinkIndex: s.index("eth0"), MTU: 1400}))
		}, []string{"eth0: underlay's MTU changed: 1400, was 1500"}},
		{"the underlay is brought down", func(s *space) { s.down("eth0") },
			[]string{"eth0: underlay down: down, was up"}},
		{"the underlay is removed", func(s *space) { s.check(s.nl.LinkDel(s.link("eth0"))) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, r := watched(t)
			o := s.look(WatchConfig{TAP: "uvtep.1", Underlay: "eth0", Routes: r})
			c.do(s)
			if c.want != nil {
				same(t, "events", []string{(<-o.events).String()}, c.want)
				return
			}
			last := o.until(UnderlayAddr)
			if got := last[len(last)-1]; c.name == "the underlay is removed" && got != "eth0: underlay's addresses changed: none, was 192.0.2.2/24" {
				t.Errorf("got %q", last)
			}
		})
	}
}

func TestWatchFollowsTheTAP(t *testing.T) {
	s, r := watched(t)
	o := s.look(WatchConfig{TAP: "uvtep.1", Underlay: "eth0", Routes: r})

	s.check(s.nl.LinkSetName(s.link("uvtep.1"), "blue"))
	same(t, "renamed", o.until(TAPRenamed), []string{"uvtep.1: TAP renamed: blue, was uvtep.1"})
	s.check(s.nl.LinkSetMTU(s.link("blue"), 1300))
	same(t, "seen under its new name", o.until(TAPMTU), []string{"blue: TAP's MTU changed: 1300, was 1410"})

	s.check(s.nl.LinkDel(s.link("blue")))
	if got := o.until(TAPRemoved); got[0] != "blue: TAP removed" {
		t.Errorf("removed: %q", got)
	}
	s.tap("uvtep.1")
	if got := o.until(TAPAppeared); got[len(got)-1] != "uvtep.1: TAP appeared" {
		t.Errorf("made again under the name asked for: %q", got)
	}
	s.up("uvtep.1")
	if got := o.until(TAPUp); got[len(got)-1] != "uvtep.1: TAP brought up: up, was down" {
		t.Errorf("brought up: %q", got)
	}
}

func TestWatchFollowsTheUnderlay(t *testing.T) {
	s, r := watched(t)
	o := s.look(WatchConfig{TAP: "uvtep.1", Underlay: "eth0", Routes: r})
	s.down("eth0")
	o.until(UnderlayDown)
	s.up("eth0")
	o.until(UnderlayUp)
	far := newHandle(t, s.far)
	peer, err := far.LinkByName("eth0")
	s.check(err)
	s.check(far.LinkSetDown(peer)) // the cable is pulled
	o.until(UnderlayDown)
	s.check(far.LinkSetUp(peer))
	o.until(UnderlayUp)
	s.check(s.nl.LinkDel(s.link("eth0")))
	o.until(UnderlayAddr)
	s.cable("eth0", 1500, "192.0.2.77/24")
	o.until(UnderlayAddr)
	u, err := s.FindUnderlay(UnderlayOptions{Iface: []string{"eth0"}})
	if want := netip.MustParseAddr("192.0.2.77"); err != nil || u.Addr != want {
		t.Errorf("got %+v, %v, want %s", u, err, want)
	}
}

func TestWatchTellsWhenTheDefaultRouteLeadsElsewhere(t *testing.T) {
	s, r := watched(t)
	s.cable("eth1", 1500, "198.51.100.7/24")
	o := s.look(WatchConfig{TAP: "uvtep.1", Underlay: "eth0", Routes: r})
	s.check(s.nl.LinkDel(s.link("eth0")))
	o.until(UnderlayRoute)
	s.route("eth1", "0.0.0.0/0", "198.51.100.1", nil)
	same(t, "another has it", o.until(UnderlayRoute), []string{"eth0: default route changed: eth1, was none"})
}

// What is nobody's business, and what we do to routes ourselves, is not told:
// the next event is the one that the test causes at the end.
func TestWatchKeepsQuietAbout(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(*space, *Routes)
	}{
		{"our own changes of routes", func(s *space, r *Routes) {
			s.check(r.Reconcile(s.index("uvtep.1"), []Route{routeTo("10.5.10.0/24"), routeTo("10.5.99.0/24")}))
			s.check(r.Reconcile(s.index("uvtep.1"), []Route{{Dst: netip.MustParsePrefix("10.5.10.0/24"), Via: netip.MustParseAddr("10.5.10.9")}}))
			s.check(r.Resync())
		}},
		{"a look that finds everything right", func(s *space, _ *Routes) {
			_, err := s.EnsureLink("uvtep.1", dressed())
			s.check(err)
		}},
		{"the TAP's new clothes, which are our own doing", func(s *space, _ *Routes) {
			_, err := s.EnsureLink("uvtep.1", LinkConfig{
				MAC: ether.Addr{2, 0, 0, 0, 0, 9}, MTU: 1410, Up: true, Bridge: "br0",
				Addrs: []netip.Prefix{netip.MustParsePrefix("10.10.99.0/32")},
			})
			s.check(err)
		}},
		{"what others did and we put right before it was seen", func(s *space, _ *Routes) {
			s.mu.Lock() // Watch cannot look
			s.check(s.nl.LinkSetHardwareAddr(s.link("uvtep.1"), []byte{2, 0, 0, 0, 0, 9}))
			s.check(s.nl.LinkSetHardwareAddr(s.link("uvtep.1"), vtep[:]))
			s.mu.Unlock()
		}},
		{"foreign routes", func(s *space, _ *Routes) {
			s.route("eth0", "172.16.0.0/12", "192.0.2.9", nil)
			s.check(s.nl.RouteDel(&netlink.Route{Dst: ipNet(netip.MustParsePrefix("172.16.0.0/12"))}))
		}},
		{"routes to our destinations in other tables", func(s *space, _ *Routes) {
			s.route("eth0", "10.5.10.0/24", "192.0.2.9", func(r *netlink.Route) { r.Table = 100 })
		}},
		{"foreign interfaces", func(s *space, _ *Routes) {
			s.tap("other")
			s.up("other")
			s.addr("other", "203.0.113.1/24")
			s.check(s.nl.LinkDel(s.link("other")))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, r := watched(t)
			o := s.look(WatchConfig{TAP: "uvtep.1", Underlay: "eth0", Routes: r})
			c.do(s, r)
			// Twice, as what came at the same time as the first may follow it.
			s.check(s.nl.LinkSetMTU(s.link("uvtep.1"), 1300))
			same(t, "events", o.until(TAPMTU), []string{"uvtep.1: TAP's MTU changed: 1300, was 1410"})
			s.check(s.nl.LinkSetMTU(s.link("uvtep.1"), 1301))
			same(t, "events", o.until(TAPMTU), []string{"uvtep.1: TAP's MTU changed: 1301, was 1300"})
		})
	}
}

func TestWatchNeedsNoRoutesToSeeOursGo(t *testing.T) {
	s, _ := watched(t)
	o := s.look(WatchConfig{TAP: "uvtep.1"})
	s.check(s.nl.RouteDel(&netlink.Route{Dst: ipNet(netip.MustParsePrefix("10.5.10.0/24"))}))
	same(t, "events", o.until(RoutesLost), []string{"uvtep.1: routes removed"})
}

// Nothing need be there when Watch begins, and nothing need be watched.
func TestWatchWaitsForWhatIsNotThereYet(t *testing.T) {
	s := newSpace(t)
	o := s.look(WatchConfig{TAP: "uvtep.1"})
	s.tap("uvtep.1")
	same(t, "events", o.until(TAPAppeared), []string{"uvtep.1: TAP appeared"})
}

func TestWatchLeavesNothingRunning(t *testing.T) {
	s := newSpace(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ctx, cancel := context.WithCancel(context.Background())
	if err := s.Watch(ctx, WatchConfig{TAP: "uvtep.1"}, func(Event) { cancel() }); err != nil {
		t.Errorf("got %v, want nil: it was cancelled", err)
	}
}

// What somebody does while EnsureLink leaves it alone is told all the same.
func TestWatchTellsOfAnMTUThatEnsureLinkLeavesAlone(t *testing.T) {
	s, r := watched(t)
	o := s.look(WatchConfig{TAP: "uvtep.1", Underlay: "eth0", Routes: r})
	s.check(s.nl.LinkSetMTU(s.link("uvtep.1"), 1300))
	c := dressed()
	c.MTU = 0
	_, err := s.EnsureLink("uvtep.1", c)
	s.check(err)
	same(t, "events", o.until(TAPMTU), []string{"uvtep.1: TAP's MTU changed: 1300, was 1410"})
}

func TestTheReceiverMayUseTheHost(t *testing.T) {
	s, r := watched(t)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Watch(ctx, WatchConfig{TAP: "uvtep.1", Underlay: "eth0", Routes: r}, func(e Event) {
		if e.Kind == Resync {
			s.check(s.nl.LinkSetHardwareAddr(s.link("uvtep.1"), []byte{2, 0, 0, 0, 0, 9}))
			s.down("uvtep.1")
			return
		}
		_, err := s.EnsureLink("uvtep.1", dressed())
		s.check(err)
		s.check(r.Resync())
		cancel()
	})
	if err != nil {
		t.Error(err)
	}
	if l, err := s.FindLink("uvtep.1"); err != nil || l.MAC != vtep || !l.Up || len(s.ours()) != 3 {
		t.Errorf("%+v with routes %q, %v: want it as it was", l, s.ours(), err)
	}
}
