package hostnet

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/encap/ether"
)

// vtep is the MAC of the contract's example.
var vtep = ether.Addr{0x1a, 0x0f, 0x87, 0x98, 0x5e, 0xc7}

// dressed is how the TAP of a dual-stack lease shall be.
func dressed() LinkConfig {
	return LinkConfig{
		MAC:   vtep,
		MTU:   1410,
		Up:    true,
		Addrs: []netip.Prefix{netip.MustParsePrefix("10.10.238.0/32"), netip.MustParsePrefix("fd00:10:238::/128")},
	}
}

// texts are the addresses in words.
func texts(ps []netip.Prefix) []string {
	var all []string
	for _, p := range ps {
		all = append(all, p.String())
	}
	return all
}

func TestEnsureLinkDressesTheTAP(t *testing.T) {
	for _, c := range []struct {
		name    string
		before  func(*space)
		carrier bool
	}{
		{"a new TAP", func(s *space) { s.tap("uvtep.1") }, false},
		{"a TAP that was up already", func(s *space) { s.tap("uvtep.1"); s.up("uvtep.1") }, false},
		{"an interface with a cable, on which the kernel made itself an address", func(s *space) {
			s.cable("uvtep.1", 1500)
			s.down("uvtep.1")
			s.check(s.nl.LinkSetIP6AddrGenMode(s.link("uvtep.1"), 0))
			s.up("uvtep.1")
			if len(s.addrsOf("uvtep.1")) == 0 {
				s.t.Fatal("the kernel made no address")
			}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpace(t)
			c.before(s)
			got, err := s.EnsureLink("uvtep.1", dressed())
			if err != nil {
				t.Fatal(err)
			}
			want := Link{
				Name: "uvtep.1", Index: s.index("uvtep.1"), MAC: vtep, MTU: 1410, Up: true, Carrier: c.carrier, Ours: true,
				Addrs: []netip.Prefix{
					netip.MustParsePrefix("10.10.238.0/32"),
					netip.MustParsePrefix("fd00:10:238::/128"),
					netip.MustParsePrefix("fe80::180f:87ff:fe98:5ec7/64"), // of the MAC
				},
			}
			if d := cmp.Diff(got, want, prefixes); d != "" {
				t.Errorf("-got +want:\n%s", d)
			}
			found, err := s.FindLink("uvtep.1")
			if d := cmp.Diff(found, want, prefixes); err != nil || d != "" {
				t.Errorf("found: %v (-got +want):\n%s", err, d)
			}
			for key, want := range map[string]int{"addr_gen_mode": addrGenModeNone, "accept_ra": 0, "router_solicitations": 0} {
				if got := s.ipv6("uvtep.1", key); got != want {
					t.Errorf("%s is %d, want %d", key, got, want)
				}
			}
			for _, a := range s.addrsOf("uvtep.1") {
				if a.Flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0 {
					t.Errorf("%v waits for duplicate address detection", a)
				}
			}
		})
	}
}

func (s *space) addrsOf(name string) []netlink.Addr {
	s.t.Helper()
	as, err := s.nl.AddrList(s.link(name), netlink.FAMILY_ALL)
	s.check(err)
	return as
}

// What is right already is not touched: the kernel announces nothing between
// the second call and a change that the test makes itself.
func TestEnsureLinkTouchesNothingThatIsRight(t *testing.T) {
	s := newSpace(t)
	s.tap("uvtep.1")
	c := dressed()
	c.Bridge = "br0"
	news := s.listen()
	first, err := s.EnsureLink("uvtep.1", c)
	s.check(err)
	news.until("fe80::180f:87ff:fe98:5ec7") // announced last, from the kernel's own thread, some time later
	second, err := s.EnsureLink("uvtep.1", c)
	s.check(err)
	if d := cmp.Diff(second, first, prefixes); d != "" {
		t.Errorf("the second call changed something (-got +want):\n%s", d)
	}
	s.addr("lo", "192.0.2.9/32")
	if n := news.until("192.0.2.9"); n != 1 {
		t.Errorf("the kernel announced %d changes, want only the test's own", n)
	}
}

// listener hears what the kernel announces about interfaces and addresses.
type listener struct {
	s    *space
	sock *nl.NetlinkSocket
}

func (s *space) listen() listener {
	s.t.Helper()
	sock, err := nl.SubscribeAt(s.ns, netns.None(), unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	s.check(err)
	s.t.Cleanup(sock.Close)
	return listener{s, sock}
}

// until counts announcements up to that of the address.
func (l listener) until(address string) int {
	l.s.t.Helper()
	for n := 1; ; {
		msgs, _, err := l.sock.Receive()
		l.s.check(err)
		for _, m := range msgs {
			a, ok := parseAddr(m.Data)
			if m.Header.Type == unix.RTM_NEWADDR && ok && a.prefix.Addr() == netip.MustParseAddr(address) {
				return n
			}
			n++
		}
	}
}

func TestEnsureLinkReplacesOurStaleAddressAndLeavesForeignOnes(t *testing.T) {
	s := newSpace(t)
	s.tap("uvtep.1")
	_, err := s.EnsureLink("uvtep.1", dressed())
	s.check(err)
	s.addr("uvtep.1", "10.10.3.7/24")
	s.addr("uvtep.1", "203.0.113.5/32")
	s.addr("uvtep.1", "fd00:77::7/128")
	s.cable("eth0", 1500, "192.0.2.2/24")
	c := LinkConfig{Addrs: []netip.Prefix{netip.MustParsePrefix("10.10.99.0/32")}}
	got, err := s.EnsureLink("uvtep.1", c)
	s.check(err)
	same(t, "addresses", texts(got.Addrs), []string{"10.10.3.7/24", "10.10.99.0/32", "203.0.113.5/32", "fd00:77::7/128"})
	if got.MAC != vtep || got.MTU != 1410 || !got.Up {
		t.Errorf("%+v: what was not asked for changed", got)
	}
	got, err = s.EnsureLink("uvtep.1", LinkConfig{})
	s.check(err)
	same(t, "addresses of a member without a subnet", texts(got.Addrs), []string{"10.10.3.7/24", "203.0.113.5/32", "fd00:77::7/128"})
}

func TestEnsureLinkTakesAnAddressThatIsThereAsOurs(t *testing.T) {
	s := newSpace(t)
	s.tap("uvtep.1")
	s.addr("uvtep.1", "10.10.238.0/32")
	for _, want := range []string{"10.10.238.0/32", "10.10.99.0/32"} {
		got, err := s.EnsureLink("uvtep.1", LinkConfig{Addrs: []netip.Prefix{netip.MustParsePrefix(want)}})
		s.check(err)
		same(t, "addresses", texts(got.Addrs), []string{want})
	}
}

func TestEnsureLinkPutsTheTAPIntoABridge(t *testing.T) {
	s := newSpace(t)
	s.tap("uvtep.1")
	s.check(s.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "docker0"}}))
	s.cable("eth0", 1500)
	c := dressed()

	c.Bridge = "br0"
	got, err := s.EnsureLink("uvtep.1", c)
	s.check(err)
	made, err := s.FindLink("br0")
	s.check(err)
	if got.Bridge != "br0" || !made.Up || !made.Ours || made.MAC == vtep || made.MAC.IsZero() || made.MAC.IsMulticast() {
		t.Errorf("TAP %+v in bridge %+v: want it in br0, made by us, up, with a MAC of its own", got, made)
	}

	c.Bridge = "docker0"
	got, err = s.EnsureLink("uvtep.1", c)
	s.check(err)
	theirs, err := s.FindLink("docker0")
	s.check(err)
	if got.Bridge != "docker0" || theirs.Ours || theirs.Up {
		t.Errorf("TAP %+v in bridge %+v: want it in docker0, which is left as it is", got, theirs)
	}

	c.Bridge = "eth0"
	if _, err = s.EnsureLink("uvtep.1", c); err == nil || !strings.Contains(err.Error(), `"eth0" is no bridge but of type veth`) {
		t.Errorf("a bridge that is none: got %v", err)
	}
	if got, err = s.FindLink("uvtep.1"); err != nil || got.Bridge != "docker0" {
		t.Errorf("afterwards %+v, %v, want it in docker0 still", got, err)
	}
}

func TestEnsureLinkKeepsAUsersAlias(t *testing.T) {
	s := newSpace(t)
	s.check(s.nl.LinkSetAlias(s.tap("uvtep.1"), "blue network"))
	if _, err := s.EnsureLink("uvtep.1", dressed()); err != nil {
		t.Fatal(err)
	}
	if got, want := s.link("uvtep.1").Attrs().Alias, "blue network"; got != want {
		t.Errorf("alias %q, want %q", got, want)
	}
}

func TestEnsureLinkNamesTheStepThatFails(t *testing.T) {
	s := newSpace(t)
	s.tap("uvtep.1")
	for _, c := range []struct {
		name string
		c    LinkConfig
		want string
	}{
		{"an MTU beyond Ethernet", LinkConfig{MTU: 70000}, "set MTU of uvtep.1: "},
		{"a MAC of many stations", LinkConfig{MAC: ether.Broadcast}, "set MAC of uvtep.1: "},
		{"an address that is none", LinkConfig{Addrs: []netip.Prefix{netip.MustParsePrefix("ff02::1/128")}}, "set addresses of uvtep.1: add ff02::1/128: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := s.EnsureLink("uvtep.1", c.c)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
