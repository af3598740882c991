package hostnet

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/vishvananda/netns"
)

// dual is the overlay of the site.
func dual() Masquerade {
	return Masquerade{
		TAP:         "uvtep.1",
		Network:     netip.MustParsePrefix("10.10.0.0/16"),
		Subnet:      netip.MustParsePrefix("10.10.238.0/24"),
		IPv6Network: netip.MustParsePrefix("fd00:10::/32"),
		IPv6Subnet:  netip.MustParsePrefix("fd00:10:238::/64"),
	}
}

func TestMasquerade(t *testing.T) {
	s := newSite(t)
	type meeting struct {
		name   string
		fromNS netns.NsHandle
		from   string
		toNS   netns.NsHandle
		to     string
		mark   int
		want   string // who the receiver sees
	}
	meetings := []meeting{
		{"a container to the world: the host's address", s.container, "10.10.238.2", s.outside, "192.0.2.1", 0, "192.0.2.2"},
		{"a container to a remote one keeps its address", s.container, "10.10.238.2", s.remote, "10.10.5.3", 0, "10.10.238.2"},
		{"a remote container to ours keeps its address", s.remote, "10.10.5.3", s.container, "10.10.238.2", 0, "10.10.5.3"},
		{"a remote container to the world through us: the host's address", s.remote, "10.10.5.3", s.outside, "192.0.2.1", 0, "192.0.2.2"},
		{"the world to a container keeps its address", s.outside, "192.0.2.1", s.container, "10.10.238.2", 0, "192.0.2.1"},
		{"the world to a remote container through us: the TAP's address, so that the answer comes back", s.outside, "192.0.2.1", s.remote, "10.10.5.3", 0, "10.10.238.0"},
		{"the host itself to a remote container keeps the TAP's address", s.ns, "10.10.238.0", s.remote, "10.10.5.3", 0, "10.10.238.0"},
		{"what kube-proxy marked is left alone", s.ns, "10.10.238.0", s.outside, "192.0.2.1", 0x4000, "10.10.238.0"},
		{"kube-proxy's mark among others, too", s.ns, "10.10.238.0", s.outside, "192.0.2.1", 0x4001, "10.10.238.0"},
		{"another mark is not", s.ns, "10.10.238.0", s.outside, "192.0.2.1", 0x8001, "192.0.2.2"},
		{"the overlay's multicast is left alone", s.ns, "10.10.238.0", s.outside, "224.0.0.199", 0, "10.10.238.0"},
		{"IPv6: a container to the world", s.container, "fd00:10:238::2", s.outside, "2001:db8::1", 0, "2001:db8::2"},
		{"IPv6: a container to a remote one", s.container, "fd00:10:238::2", s.remote, "fd00:10:5::3", 0, "fd00:10:238::2"},
		{"IPv6: the world to a container", s.outside, "2001:db8::1", s.container, "fd00:10:238::2", 0, "2001:db8::1"},
		{"IPv6: the world to a remote container", s.outside, "2001:db8::1", s.remote, "fd00:10:5::3", 0, "fd00:10:238::"},
	}
	hold := func(t *testing.T) {
		for _, m := range meetings {
			t.Run(m.name, func(t *testing.T) {
				if got := s.meet(m.fromNS, m.from, m.toNS, m.to, m.mark); got != m.want {
					t.Errorf("the receiver sees %s, want %s", got, m.want)
				}
			})
		}
	}
	s.check(s.EnsureMasquerade(dual()))
	t.Run("applied once", hold)
	rules := s.ruleset()
	s.check(s.EnsureMasquerade(dual()))
	same(t, "rules after the second time", s.ruleset(), rules)
	t.Run("applied twice", hold)

	s.check(s.RemoveMasquerade("uvtep.1"))
	same(t, "rules after removal", s.ruleset(), nil)
	if got, want := s.meet(s.container, "10.10.238.2", s.outside, "192.0.2.1", 0), "10.10.238.2"; got != want {
		t.Errorf("after removal the receiver sees %s, want %s", got, want)
	}
	if err := s.RemoveMasquerade("uvtep.1"); err != nil {
		t.Errorf("removed twice: %v", err)
	}
}

// ruleset lists all rules of the namespace by their comments.
func (s *space) ruleset() []string {
	s.t.Helper()
	c, err := s.nftables()
	s.check(err)
	chains, err := c.ListChains()
	s.check(err)
	var lines []string
	for _, ch := range chains {
		rs, err := c.GetRules(ch.Table, ch)
		s.check(err)
		for i, r := range rs {
			why, _ := userdata.GetString(r.UserData, userdata.TypeComment)
			lines = append(lines, fmt.Sprintf("%d %s %s %d %s", ch.Table.Family, ch.Table.Name, ch.Name, i, why))
		}
	}
	return lines
}

func TestMasqueradeFollowsTheLeaseAndLeavesOthersAlone(t *testing.T) {
	s := newSpace(t)
	c, err := s.nftables()
	s.check(err)
	for _, name := range []string{"uvtep-uvtep.2", "docker"} {
		tb := c.AddTable(&nftables.Table{Name: name, Family: nftables.TableFamilyIPv4})
		ch := c.AddChain(&nftables.Chain{Name: "theirs", Table: tb})
		c.AddRule(&nftables.Rule{Table: tb, Chain: ch, Exprs: leave()})
	}
	s.check(c.Flush())
	theirs := s.ruleset()
	m := dual()
	s.check(s.EnsureMasquerade(m))
	if got, want := len(s.ruleset()), len(theirs)+12; got != want {
		t.Errorf("%d rules, want %d: six a family", got, want)
	}
	m.IPv6Network, m.IPv6Subnet = netip.Prefix{}, netip.Prefix{}
	s.check(s.EnsureMasquerade(m))
	if got, want := len(s.ruleset()), len(theirs)+6; got != want {
		t.Errorf("without IPv6 %d rules, want %d", got, want)
	}
	s.check(s.RemoveMasquerade("uvtep.1"))
	same(t, "the others' rules", s.ruleset(), theirs)
}

func TestMasqueradeRefusesASubnetOutsideTheNetwork(t *testing.T) {
	s := newSpace(t)
	for _, c := range []struct {
		name string
		m    Masquerade
		want string
	}{
		{"elsewhere", Masquerade{Network: netip.MustParsePrefix("10.10.0.0/16"), Subnet: netip.MustParsePrefix("10.11.0.0/24")}, "10.11.0.0/24"},
		{"wider than the network", Masquerade{Network: netip.MustParsePrefix("10.10.0.0/16"), Subnet: netip.MustParsePrefix("10.10.0.0/8")}, "10.10.0.0/8"},
		{"without a network", Masquerade{IPv6Subnet: netip.MustParsePrefix("fd00::/64")}, "fd00::/64"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.m.TAP = "uvtep.1"
			if err := s.EnsureMasquerade(c.m); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %s", err, c.want)
			}
		})
	}
	same(t, "rules", s.ruleset(), nil)
}
