package main

import (
	"net/netip"
	"strconv"
	"testing"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/fdb"
	"github.com/uvtep/uvtep/internal/snapmap"
	vswitch "github.com/uvtep/uvtep/switch"
)

// Leases come, move to other hosts, change and go, and what is taken in follows.
func TestSourcesFollowTheLeases(t *testing.T) {
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	f := (*fdb.Table)(nil).Edit()
	for _, a := range []netip.Addr{one, two} {
		f.AddVTEP(1, &fdb.VTEP{To: netip.AddrPortFrom(a, 4789)})
	}
	self := vswitch.Self{VNI: 1, MAC: ether.Addr{2, 9}}
	tables := &vswitch.Tables{FDB: f.Table()}
	var s sources
	var peers *snapmap.Map[string, *etcdsync.Peer]
	changed := func(change func(e *snapmap.Editor[string, *etcdsync.Peer])) {
		e := peers.Edit()
		change(e)
		peers = e.Map()
		s.follow(peers)
		tables.Sources = s.made
	}
	lease := func(key string, at netip.Addr, subnet, subnet6 string) {
		is := &etcdsync.Peer{VTEP: &fdb.VTEP{To: netip.AddrPortFrom(at, 4789)}, Subnet: netip.MustParsePrefix(subnet)}
		if subnet6 != "" {
			is.Subnet6 = netip.MustParsePrefix(subnet6)
		}
		changed(func(e *snapmap.Editor[string, *etcdsync.Peer]) { e.Set(key, is) })
	}
	takes := func(when, ip string, from ...netip.Addr) {
		t.Helper()
		for _, a := range []netip.Addr{one, two} {
			want := vswitch.DropSourceIP
			for _, f := range from {
				if f == a {
					want = vswitch.Deliver
				}
			}
			if got := vswitch.Accept(ipFrom(ip), a, 0, &self, tables); got != want {
				t.Errorf("%s, %s from %s: got %v, want %v", when, ip, a, got, want)
			}
		}
	}
	changed(func(*snapmap.Editor[string, *etcdsync.Peer]) {})
	takes("without leases", "10.1.0.5")
	lease("a", one, "10.1.0.0/24", "fd00:1::/64")
	lease("b", two, "10.2.0.0/24", "")
	takes("leased", "10.1.0.5", one)
	takes("leased", "fd00:1::5", one)
	takes("leased", "10.2.0.5", two)
	lease("a", two, "10.1.0.0/24", "fd00:1::/64")
	takes("moved", "10.1.0.5", two)
	takes("moved", "fd00:1::5", two)
	lease("a", two, "10.1.0.0/24", "fd00:2::/64")
	takes("changed", "fd00:1::5")
	takes("changed", "fd00:2::5", two)
	changed(func(e *snapmap.Editor[string, *etcdsync.Peer]) { e.Delete("a") })
	takes("gone", "10.1.0.5")
	takes("gone", "fd00:2::5")
	takes("gone", "10.2.0.5", two)
	peers = nil // as after a list of nothing
	changed(func(*snapmap.Editor[string, *etcdsync.Peer]) {})
	takes("all gone", "10.2.0.5")
}

// What one of many leases changes costs what one of few does.
func TestOneLeaseOfManyIsOneChange(t *testing.T) {
	cost := func(n int) float64 {
		e := (*snapmap.Map[string, *etcdsync.Peer])(nil).Edit()
		lease := func(i int) {
			e.Set(strconv.Itoa(i), &etcdsync.Peer{VTEP: &fdb.VTEP{}, Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), 24)})
		}
		for i := range n {
			lease(i)
		}
		var s sources
		s.follow(e.Map())
		return testing.AllocsPerRun(20, func() { lease(0); s.follow(e.Map()) })
	}
	if few, many := cost(10), cost(5000); many > 3*few {
		t.Errorf("%v allocations among 10, %v among 5000", few, many)
	}
}

// ipFrom is a datagram of VXLAN with an IP header from an address in it, to the
// station that the tests are.
func ipFrom(ip string) []byte {
	b := make([]byte, encap.HeaderLen+ether.HeaderLen+ether.IPv6HeaderLen)
	encap.PutHeader(b, 1)
	f, a := encap.Header(b).Payload(), netip.MustParseAddr(ip)
	if a.Is4() {
		ether.PutHeader(f, ether.Addr{2, 9}, ether.Addr{2, 8}, ether.TypeIPv4)
		f.Payload()[0], f.Payload()[3], f.Payload()[8] = 0x45, ether.IPv6HeaderLen, 64
		copy(f.Payload()[12:], a.AsSlice())
		return b
	}
	ether.PutHeader(f, ether.Addr{2, 9}, ether.Addr{2, 8}, ether.TypeIPv6)
	f.Payload()[0], f.Payload()[6], f.Payload()[7] = 0x60, 59, 64
	copy(f.Payload()[8:], a.AsSlice())
	return b
}
