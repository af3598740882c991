package hostnet

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// crossroads is a host with several ways out:
//
//	eth0 192.0.2.2, 192.0.2.3 (secondary), 2001:db8::2   mtu 1460, default route metric 10 with mtu 9000
//	eth1 198.51.100.7                                    mtu 9000, default route metric 20 with mtu 1400
//	ens5 203.0.113.9, down                               mtu 1500
//	uvtep.1 10.10.238.0                                  ours
//	bare                                                 no address
func crossroads(t *testing.T) *space {
	t.Helper()
	s := newSpace(t)
	s.cable("eth1", 9000, "198.51.100.7/24")
	s.cable("eth0", 1460, "192.0.2.2/24", "192.0.2.3/24", "2001:db8::2/64")
	s.cable("ens5", 1500, "203.0.113.9/24")
	s.down("ens5")
	s.cable("bare", 1500)
	s.check(s.nl.LinkSetAlias(s.cable("uvtep.1", 1410, "10.10.238.0/32"), alias))
	s.route("uvtep.1", "10.5.10.0/24", "10.5.10.0", nil)
	s.route("eth1", "0.0.0.0/0", "198.51.100.1", func(r *netlink.Route) { r.Priority, r.MTU = 20, 1400 })
	s.route("eth0", "0.0.0.0/0", "192.0.2.1", func(r *netlink.Route) { r.Priority, r.MTU = 10, 9000 })
	s.route("eth1", "192.88.99.0/24", "198.51.100.1", func(r *netlink.Route) { r.MTU = 1300 })
	return s
}

func TestUnderlayChoice(t *testing.T) {
	s := crossroads(t)
	eth0 := Underlay{Name: "eth0", MTU: 1460,
		Addr: netip.MustParseAddr("192.0.2.2"), Addr6: netip.MustParseAddr("2001:db8::2"),
		Public: netip.MustParseAddr("192.0.2.2"), Public6: netip.MustParseAddr("2001:db8::2")}
	second := eth0
	second.Addr, second.Public = netip.MustParseAddr("192.0.2.3"), netip.MustParseAddr("192.0.2.3")
	public := eth0
	public.Public, public.Public6 = netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("2001:4860::8")
	eth1 := Underlay{Name: "eth1", MTU: 1400,
		Addr: netip.MustParseAddr("198.51.100.7"), Public: netip.MustParseAddr("198.51.100.7")}
	narrow := eth1
	narrow.MTU = 1300
	ens5 := Underlay{Name: "ens5", MTU: 1500,
		Addr: netip.MustParseAddr("203.0.113.9"), Public: netip.MustParseAddr("203.0.113.9")}
	for _, c := range []struct {
		name string
		o    UnderlayOptions
		want Underlay
	}{
		{"nothing asked: the default route with the least metric", UnderlayOptions{}, eth0},
		{"by name, with the MTU of its default route", UnderlayOptions{Iface: []string{"eth1"}}, eth1},
		{"by name, though it is down", UnderlayOptions{Iface: []string{"ens5"}}, ens5},
		{"the first name that is there", UnderlayOptions{Iface: []string{"eth7", "eth1", "eth0"}}, eth1},
		{"by address", UnderlayOptions{Iface: []string{"198.51.100.7"}}, eth1},
		{"by its second address, which is then the one to use", UnderlayOptions{Iface: []string{"192.0.2.3"}}, second},
		{"by IPv6 address", UnderlayOptions{Iface: []string{"2001:db8::2"}}, eth0},
		{"by an expression for the address", UnderlayOptions{IfaceRegex: []string{`^198\.51`}}, eth1},
		{"by an expression for the second address", UnderlayOptions{IfaceRegex: []string{`\.3$`}}, second},
		{"by an expression for the name", UnderlayOptions{IfaceRegex: []string{`^en`}}, ens5},
		{"an expression for addresses never takes our own TAP", UnderlayOptions{IfaceRegex: []string{`^10\.`, `uvtep`, `^eth1$`}}, eth1},
		{"a name goes before an expression", UnderlayOptions{Iface: []string{"ens5"}, IfaceRegex: []string{"eth1"}}, ens5},
		{"by reachability on the link", UnderlayOptions{CanReach: netip.MustParseAddr("198.51.100.99")}, Underlay{Name: "eth1", MTU: 9000, Addr: eth1.Addr, Public: eth1.Addr}},
		{"by reachability through a route with an MTU", UnderlayOptions{CanReach: netip.MustParseAddr("192.88.99.1")}, narrow},
		{"by reachability over IPv6", UnderlayOptions{CanReach: netip.MustParseAddr("2001:db8::99")}, eth0},
		{"a name that is not there leaves it to reachability", UnderlayOptions{Iface: []string{"eth7"}, CanReach: netip.MustParseAddr("192.88.99.1")}, narrow},
		{"public addresses replace what others are told, not what sockets bind to",
			UnderlayOptions{PublicIP: public.Public, PublicIPv6: public.Public6}, public},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := s.FindUnderlay(c.o)
			if err != nil {
				t.Fatal(err)
			}
			if want := s.link(c.want.Name).Attrs().Index; got.Index != want {
				t.Errorf("index %d, want %d", got.Index, want)
			}
			got.Index = 0
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestUnderlayThatCannotBeFoundIsExplained(t *testing.T) {
	s := crossroads(t)
	for _, c := range []struct {
		name string
		o    UnderlayOptions
		is   error
		want []string
	}{
		{"no such name: what there is", UnderlayOptions{Iface: []string{"eth7"}, IfaceRegex: []string{"^wlan"}}, ErrNoLink,
			[]string{"eth7, ^wlan", "eth0 (192.0.2.2, 2001:db8::2, 192.0.2.3)", "ens5 (203.0.113.9)"}},
		{"our own TAP is not offered", UnderlayOptions{Iface: []string{"uvtep.1"}}, ErrNoLink, nil},
		{"an interface without an address", UnderlayOptions{Iface: []string{"bare"}}, nil, []string{"bare has no address"}},
		{"the address of this host", UnderlayOptions{CanReach: netip.MustParseAddr("192.0.2.2")}, nil, []string{"192.0.2.2 is no other host's address"}},
		{"an address inside the overlay", UnderlayOptions{CanReach: netip.MustParseAddr("10.5.10.7")}, nil, []string{"through the overlay"}},
		{"a public address of a family the interface has not", UnderlayOptions{Iface: []string{"eth1"}, PublicIPv6: netip.MustParseAddr("2001:db8::9")}, nil,
			[]string{"2001:db8::9", "eth1 has no IPv6 address"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := s.FindUnderlay(c.o)
			if err == nil {
				t.Fatalf("got %+v and no error", got)
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %q is not %q", err, c.is)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q lacks %q", err, w)
				}
			}
			if strings.Contains(err.Error(), "uvtep.1 (") {
				t.Errorf("error %q offers our own TAP", err)
			}
		})
	}
}

func TestUnderlayWithoutDefaultRouteNamesTheFlags(t *testing.T) {
	s := newSpace(t)
	s.cable("eth0", 1500, "192.0.2.2/24")
	_, err := s.FindUnderlay(UnderlayOptions{})
	if err == nil || !strings.Contains(err.Error(), "--iface") || !strings.Contains(err.Error(), "eth0 (192.0.2.2)") {
		t.Errorf("got %v, want an error that names --iface and eth0", err)
	}
}

func TestUnderlayByDefaultRoute(t *testing.T) {
	via := func(s *space, names ...string) *netlink.Route {
		r := &netlink.Route{Dst: ipNet(netip.MustParsePrefix("0.0.0.0/0"))}
		for _, n := range names {
			r.MultiPath = append(r.MultiPath, &netlink.NexthopInfo{LinkIndex: s.link(n).Attrs().Index})
		}
		return r
	}
	for _, c := range []struct {
		name string
		set  func(*space)
		want string
	}{
		{"of IPv6 where IPv4 has none", func(s *space) { s.route("eth1", "::/0", "2001:db8:1::1", nil) }, "2001:db8:1::2"},
		{"of IPv4 where both have one", func(s *space) {
			s.route("eth1", "::/0", "2001:db8:1::1", nil)
			s.route("eth0", "0.0.0.0/0", "192.0.2.1", nil)
		}, "192.0.2.2"},
		{"with several nexthops: the first", func(s *space) { s.check(s.nl.RouteAdd(via(s, "eth1", "eth0"))) }, "198.51.100.2"},
		{"with a preferred source, which is used", func(s *space) {
			s.addr("eth0", "192.0.2.77/24")
			s.route("eth0", "0.0.0.0/0", "192.0.2.1", func(r *netlink.Route) { r.Src = netip.MustParseAddr("192.0.2.77").AsSlice() })
		}, "192.0.2.77"},
		{"one that leads nowhere is none", func(s *space) {
			s.route("lo", "0.0.0.0/0", "", func(r *netlink.Route) { r.Type, r.LinkIndex = unix.RTN_UNREACHABLE, 0 })
			s.route("eth1", "0.0.0.0/0", "198.51.100.1", func(r *netlink.Route) { r.Priority = 50 })
		}, "198.51.100.2"},
		{"an IPv6 one that leads nowhere is none", func(s *space) {
			s.addr("lo", "2001:db8:99::1/128")
			s.route("lo", "::/0", "", func(r *netlink.Route) { r.Type, r.Priority = unix.RTN_UNREACHABLE, 10 })
			s.route("eth1", "::/0", "2001:db8:1::1", func(r *netlink.Route) { r.Priority = 50 })
		}, "2001:db8:1::2"},
		{"one into our own TAP is none", func(s *space) {
			s.check(s.nl.LinkSetAlias(s.cable("uvtep.1", 1450, "10.10.1.0/32"), alias))
			s.route("uvtep.1", "0.0.0.0/0", "10.10.2.0", nil)
			s.route("eth1", "0.0.0.0/0", "198.51.100.1", func(r *netlink.Route) { r.Priority = 50 })
		}, "198.51.100.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpace(t)
			s.cable("eth0", 1500, "192.0.2.2/24")
			s.cable("eth1", 1500, "198.51.100.2/24", "2001:db8:1::2/64")
			if c.want == "2001:db8:1::2" {
				s.removeAddr("eth1", "198.51.100.2/24")
			}
			c.set(s)
			got, err := s.FindUnderlay(UnderlayOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if got.Addr.String() != c.want && got.Addr6.String() != c.want {
				t.Errorf("got %+v, want %s", got, c.want)
			}
		})
	}
}

func TestAnUnderlayInUseIsKeptWhileItCanBeUsed(t *testing.T) {
	s := crossroads(t)
	first, err := s.FindUnderlay(UnderlayOptions{})
	s.check(err)
	second := Underlay{Name: "eth1", Index: s.index("eth1"), MTU: 1400, Addr: netip.MustParseAddr("198.51.100.7"), Public: netip.MustParseAddr("198.51.100.7")}
	again := func(was Underlay) Underlay {
		t.Helper()
		u, err := s.FindUnderlay(UnderlayOptions{Was: was})
		s.check(err)
		return u
	}
	for _, was := range []Underlay{first, second} {
		if u := again(was); u != was {
			t.Errorf("in use %+v, found %+v", was, u)
		}
	}
	s.removeAddr("eth1", "198.51.100.7/24")
	s.addr("eth1", "198.51.100.8/24")
	if u, want := again(second), netip.MustParseAddr("198.51.100.8"); u.Name != "eth1" || u.Addr != want || u.Public != want {
		t.Errorf("with another address: found %+v", u)
	}
	s.down("eth1")
	if u := again(second); u != first {
		t.Errorf("down: found %+v, want the one of the default route, %+v", u, first)
	}
	s.check(s.nl.LinkDel(s.link("eth0")))
	if u, err := s.FindUnderlay(UnderlayOptions{Was: second}); err == nil {
		t.Errorf("with none left: found %+v", u)
	}
}

// One address more, a better default route, or another interface that fits as
// well: no reason to move. What was asked for is, when it is there.
func TestAnUnderlayInUseKeepsItsAddresses(t *testing.T) {
	s := crossroads(t)
	was, err := s.FindUnderlay(UnderlayOptions{})
	s.check(err)
	s.addr("eth0", "192.0.2.1/32")
	s.addr("eth0", "2001:db8::99/64") // the kernel lists the newest first
	if u, err := s.FindUnderlay(UnderlayOptions{Was: was}); err != nil || u != was {
		t.Errorf("with an address more of each family: found %+v, %v, want %+v", u, err, was)
	}
	for name, o := range map[string]UnderlayOptions{
		"an address that was asked for":    {Iface: []string{"192.0.2.3"}},
		"one that an expression asked for": {IfaceRegex: []string{`^192\.0\.2\.3$`}},
	} {
		o.Was = was // eth0's 192.0.2.2, to which it had gone
		if u, err := s.FindUnderlay(o); err != nil || u.Addr != netip.MustParseAddr("192.0.2.3") {
			t.Errorf("%s is back: found %+v, %v", name, u, err)
		}
		o.Was.Addr = netip.MustParseAddr("192.0.2.3")
		s.removeAddr("eth0", "192.0.2.3/24")
		if u, err := s.FindUnderlay(o); err != nil || u.Name != "eth0" || u.Addr != was.Addr {
			t.Errorf("%s is gone: found %+v, %v, want eth0 still", name, u, err)
		}
		s.addr("eth0", "192.0.2.3/24")
	}
}

func TestWaitingForAnAddressEndsWithItsContext(t *testing.T) {
	s := newSpace(t)
	s.cable("eth0", 1500)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.askedAbout("eth0", "2001:db8::2/64")
	if _, err := s.AwaitUnderlay(ctx, UnderlayOptions{Iface: []string{"eth0"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

// askedAbout gives an interface an address of which the kernel has yet to find out
// whether it is somebody else's.
func (s *space) askedAbout(name, cidr string) {
	s.t.Helper()
	a, err := netlink.ParseAddr(cidr)
	s.check(err)
	s.check(s.nl.AddrAdd(s.link(name), a))
}

// That may take for ever: nothing waits for it that can start from another address.
func TestAStartDoesNotWaitForAnIPv6AddressWhereIPv4IsThere(t *testing.T) {
	s := newSpace(t)
	s.cable("eth0", 1500, "192.0.2.2/24")
	s.askedAbout("eth0", "2001:db8::2/64")
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // who waits hears of this
	u, err := s.AwaitUnderlay(ctx, UnderlayOptions{Iface: []string{"eth0"}})
	if err != nil || u.Addr != netip.MustParseAddr("192.0.2.2") || u.Addr6.IsValid() {
		t.Errorf("got %+v, %v, want 192.0.2.2 at once", u, err)
	}
	if n := strings.Count(strings.Join(s.messages(), "\n"), "Using interface with name eth0 and address 192.0.2.2"); n != 1 {
		t.Errorf("announced %d times: %q", n, s.messages())
	}
}

// Of several that are named the first may be without an address, or have lost it.
func TestAnUnderlayThatCannotBeUsedLeavesItToTheNext(t *testing.T) {
	s := crossroads(t)
	for name, o := range map[string]UnderlayOptions{
		"a name":              {Iface: []string{"bare", "eth1"}},
		"an expression":       {Iface: []string{"bare"}, IfaceRegex: []string{"^eth1$"}},
		"an expression each":  {IfaceRegex: []string{"^bare$", "^eth1$"}},
		"an address to reach": {Iface: []string{"bare"}, CanReach: netip.MustParseAddr("198.51.100.99")},
	} {
		for _, start := range []bool{true, false} {
			find := s.FindUnderlay
			if start {
				find = func(o UnderlayOptions) (Underlay, error) { return s.AwaitUnderlay(t.Context(), o) }
			}
			if u, err := find(o); err != nil || u.Name != "eth1" {
				t.Errorf("%s: got %+v, %v, want eth1", name, u, err)
			}
		}
	}
	used, err := s.FindUnderlay(UnderlayOptions{})
	s.check(err)
	if u, err := s.FindUnderlay(UnderlayOptions{Iface: []string{"bare"}, Was: used}); err != nil || u != used {
		t.Errorf("with none but the one in use: got %+v, %v, want that one", u, err)
	}
}

// The first one's address may come in a moment.
func TestAStartWaitsForTheFirstOfTheInterfacesThatAreNamed(t *testing.T) {
	s := newSpace(t)
	s.cable("eth0", 1500)
	s.cable("eth1", 1500, "198.51.100.7/24")
	s.askedAbout("eth0", "2001:db8::2/64")
	o := UnderlayOptions{Iface: []string{"eth0", "eth1"}}
	if u, err := s.FindUnderlay(o); err != nil || u.Name != "eth1" {
		t.Errorf("at once: got %+v, %v, want eth1", u, err)
	}
	if u, err := s.AwaitUnderlay(t.Context(), o); err != nil || u.Name != "eth0" {
		t.Errorf("waiting: got %+v, %v, want eth0", u, err)
	}
}

func TestUnderlayOptionsTellAllFaultsAtOnce(t *testing.T) {
	o := UnderlayOptions{
		IfaceRegex: []string{"eth[", "ok", "("},
		PublicIP:   netip.MustParseAddr("2001:db8::1"),
		PublicIPv6: netip.MustParseAddr("fe80::1%eth0"),
	}
	err := o.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`"eth["`, `"("`, "2001:db8::1", "fe80::1%eth0"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	if err := (UnderlayOptions{}).Validate(); err != nil {
		t.Errorf("the zero options: %v", err)
	}
}

// A start may come before the kernel has asked whether somebody else has an IPv6
// address; nothing can be bound to it until then.
func TestAStartWaitsForAnIPv6AddressThatIsStillAskedAbout(t *testing.T) {
	for _, c := range []struct {
		name  string
		addrs []string
		asked UnderlayOptions
	}{
		{"of a host of IPv6 alone", nil, UnderlayOptions{Iface: []string{"eth0"}}},
		{"asked for by itself", nil, UnderlayOptions{Iface: []string{"2001:db8::2"}}},
		{"that others are to be told", []string{"192.0.2.2/24"}, UnderlayOptions{Iface: []string{"eth0"}, PublicIPv6: netip.MustParseAddr("2001:4860::8")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSpace(t)
			s.cable("eth0", 1500, c.addrs...)
			s.askedAbout("eth0", "2001:db8::2/64")
			if u, err := s.FindUnderlay(c.asked); err == nil && u.Addr6.IsValid() {
				t.Errorf("got %+v at once, want nothing that cannot be used yet", u)
			}
			u, err := s.AwaitUnderlay(t.Context(), c.asked)
			if err != nil || u.Addr6 != netip.MustParseAddr("2001:db8::2") || u.Addr.IsValid() != (c.addrs != nil) {
				t.Errorf("got %+v, %v", u, err)
			}
			if n := strings.Count(strings.Join(s.messages(), "\n"), "Using interface with name eth0 and address 2001:db8::2"); n != 1 {
				t.Errorf("announced %d times: %q", n, s.messages())
			}
		})
	}
}
