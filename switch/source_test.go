package vswitch

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

var (
	outerB6 = netip.MustParseAddr("2001:db8::2")
	outerD  = netip.MustParseAddr("192.0.2.4")
)

// strictTables are the tables of the tests where host B, which has two addresses,
// holds 10.10.2.0/24 and fd00:2::/64, and host D a subnet of host B's range that
// is shorter; the endpoint behind host C is the only thing that C has.
func strictTables() *Tables {
	t := testTables(Policy{PassTags: true})
	b := &fdb.VTEP{To: netip.AddrPortFrom(outerB, encap.Port), Alt: outerB6}
	d := &fdb.VTEP{To: netip.AddrPortFrom(outerD, encap.Port)}
	f := t.FDB.Edit()
	f.AddVTEP(vni, b)
	f.AddVTEP(vni, d)
	t.FDB = f.Table()
	a := t.ARP.Edit()
	a.Set(arpproxy.Key{VNI: vni, IP: netip.MustParseAddr("fe80::c")}, arpproxy.Binding{MAC: macC, Origin: fdb.Endpoint})
	a.Set(arpproxy.Key{VNI: vni, IP: netip.MustParseAddr("10.10.2.77")}, arpproxy.Binding{MAC: macC, Origin: fdb.Static})
	a.Set(arpproxy.Key{VNI: vni, IP: netip.MustParseAddr("10.10.1.5")}, arpproxy.Binding{MAC: macHere, Origin: fdb.Endpoint})
	t.ARP = a.Table()
	s := t.Sources.Edit()
	for p, v := range map[string]*fdb.VTEP{"10.10.2.0/24": b, "fd00:2::/64": b, "10.10.0.0/20": d} {
		s.Add(netip.MustParsePrefix(p), v)
	}
	s.Add(netip.Prefix{}, d) // a lease without a subnet of this family
	t.Sources = s.Sources()
	return t
}

// ipFrame is a frame of IP from a station nobody knows, with this source address.
func ipFrame(t testing.TB, src string, payload ...gopacket.SerializableLayer) ether.Frame {
	t.Helper()
	from := netip.MustParseAddr(src)
	eth := &layers.Ethernet{SrcMAC: macNone[:], DstMAC: macSelf[:], EthernetType: layers.EthernetTypeIPv4}
	var ip gopacket.SerializableLayer = &layers.IPv4{Version: 4, TTL: 64, Protocol: 253, SrcIP: from.AsSlice(), DstIP: ipSelf.AsSlice()}
	if from.Is6() {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip6 := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: layers.IPProtocolICMPv6, SrcIP: from.AsSlice(), DstIP: netip.MustParseAddr("fd00:1::1").AsSlice()}
		for _, l := range payload {
			if icmp, ok := l.(*layers.ICMPv6); ok {
				_ = icmp.SetNetworkLayerForChecksum(ip6)
			}
		}
		ip = ip6
	}
	buf := gopacket.NewSerializeBuffer()
	all := append([]gopacket.SerializableLayer{eth, ip}, payload...)
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// advert is a neighbour advertisement from src that claims target.
func advert(t testing.TB, src, target string) ether.Frame {
	return ipFrame(t, src, &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborAdvertisement, 0)},
		&layers.ICMPv6NeighborAdvertisement{Flags: 0x20, TargetAddress: netip.MustParseAddr(target).AsSlice()})
}

func TestInnerSourceBelongsToTheSender(t *testing.T) {
	arp := func(sender string) ether.Frame {
		return arpRequest(ether.Broadcast, macNone, netip.MustParseAddr(sender), ipSelf)
	}
	for _, c := range []struct {
		name string
		f    ether.Frame
		src  netip.Addr
		want Verdict
	}{
		{"an address of the lease", ipFrame(t, "10.10.2.9"), outerB, Deliver},
		{"an IPv6 address of the lease", ipFrame(t, "fd00:2::9"), outerB, Deliver},
		{"from the sender's other address", ipFrame(t, "10.10.2.9"), outerB6, Deliver},
		{"the address of the lease itself", ipFrame(t, "10.10.2.0"), outerB, Deliver},
		{"an address of another's lease", ipFrame(t, "10.10.2.9"), outerC, DropSourceIP},
		{"an IPv6 address of another's lease", ipFrame(t, "fd00:2::9"), outerC, DropSourceIP},
		{"an address of a shorter lease", ipFrame(t, "10.10.4.9"), outerD, Deliver},
		{"an address of a lease within one's own", ipFrame(t, "10.10.2.9"), outerD, DropSourceIP},
		{"the sender's public address", ipFrame(t, "192.0.2.3"), outerC, Deliver},
		{"the sender's other public address", ipFrame(t, "2001:db8::2"), outerB, Deliver},
		{"another's public address", ipFrame(t, "192.0.2.2"), outerC, DropSourceIP},
		{"the sender's other public address in IPv6 form", ipFrame(t, "::ffff:192.0.2.2"), outerB6, DropSourceIP},
		{"an endpoint's address", ipFrame(t, "10.10.3.7"), outerC, Deliver},
		{"an endpoint's address from elsewhere", ipFrame(t, "10.10.3.7"), outerB, DropSourceIP},
		{"a static entry within another's lease", ipFrame(t, "10.10.2.77"), outerC, Deliver},
		{"what a static entry took out of the lease", ipFrame(t, "10.10.2.77"), outerB, DropSourceIP},
		{"a station of this host", ipFrame(t, "10.10.1.5"), outerD, DropSourceIP},
		{"an address of nobody", ipFrame(t, "203.0.113.9"), outerB, DropSourceIP},
		{"an IPv6 address of nobody", ipFrame(t, "2001:db8:9::9"), outerB, DropSourceIP},
		{"no address yet", ipFrame(t, "0.0.0.0"), outerB, Deliver},
		{"no IPv6 address yet", ipFrame(t, "::"), outerB, Deliver},
		{"a link-local address", ipFrame(t, "fe80::9"), outerB, Deliver},
		{"a link-local address that is bound", ipFrame(t, "fe80::c"), outerC, Deliver},
		{"a link-local address that is bound elsewhere", ipFrame(t, "fe80::c"), outerB, DropSourceIP},
		{"a link-local IPv4 address", ipFrame(t, "169.254.1.1"), outerB, DropSourceIP},
		{"a tagged frame", tagged(ipFrame(t, "10.10.2.9")), outerC, DropSourceIP},
		{"IPv4 cut short", ipFrame(t, "10.10.2.9")[:30], outerB, DropSourceIP},
		{"IPv6 cut short", ipFrame(t, "fd00:2::9")[:50], outerB, DropSourceIP},
		{"ARP from the lease", arp("10.10.2.9"), outerB, Deliver},
		{"ARP from another's lease", arp("10.10.2.9"), outerC, DropSourceIP},
		{"an ARP probe", arp("0.0.0.0"), outerC, Deliver},
		{"ARP of IEEE 802, which Linux takes for Ethernet's", ieee802(arp("10.10.2.9")), outerB, DropSourceIP},
		{"an advertisement", advert(t, "fd00:2::9", "fd00:2::9"), outerB, Deliver},
		{"an advertisement of another's address", advert(t, "2001:db8::2", "fd00:9::9"), outerB, DropSourceIP},
		{"neither IP nor ARP", frame(macSelf, macNone), outerC, Deliver},
	} {
		t.Run(c.name, func(t *testing.T) {
			tables := strictTables()
			if got := Accept(datagram(vni, c.f), c.src, 0, &self, tables); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
			tables.Sources = nil
			if got := Accept(datagram(vni, c.f), c.src, 0, &self, tables); got != Deliver {
				t.Errorf("not asked for: got %v, want %v", got, Deliver)
			}
		})
	}
}

// ieee802 gives an ARP message the other hardware type of Ethernet interfaces.
func ieee802(f ether.Frame) ether.Frame { f[ether.HeaderLen+1] = 6; return f }

// A datagram with the headers of the one before it may have another source.
func TestEachInnerSourceOfAMessageIsLookedAt(t *testing.T) {
	b := start(t, Policy{})
	b.net.SetTables(strictTables())
	good, bad := datagram(vni, ipFrame(t, "10.10.2.9")), datagram(vni, ipFrame(t, "10.10.4.9"))
	all := append(append(append([]byte(nil), good...), bad...), good...)
	b.wire.in <- []encap.Message{{Peer: netip.AddrPortFrom(outerB, 4789), Data: all, Segment: len(good)}}
	b.wire.in <- nil // taken when the first is done with
	if s := b.stats(t); s.Frames[Deliver] != 2 || s.Frames[DropSourceIP] != 1 {
		t.Errorf("%d delivered, %d dropped; want 2, 1", s.Frames[Deliver], s.Frames[DropSourceIP])
	}
}

func TestSourcesDoNotAllocate(t *testing.T) {
	tables := strictTables()
	for _, f := range []ether.Frame{ipFrame(t, "10.10.4.9"), ipFrame(t, "fd00:2::9"), ipFrame(t, "2001:db8::2"), advert(t, "fd00:2::9", "fd00:2::9")} {
		d := datagram(vni, f)
		if n := testing.AllocsPerRun(100, func() { Accept(d, outerB, 0, &self, tables) }); n != 0 {
			t.Errorf("got %v allocations a frame, want 0", n)
		}
	}
}

// Sources that were edited are those that a list of the same subnets makes, and an
// edit leaves what it began with as it is.
func TestSourcesAreThoseThatWereAdded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	vteps := []*fdb.VTEP{{To: netip.AddrPortFrom(outerB, 4789)}, {To: netip.AddrPortFrom(outerC, 4789)}, {To: netip.AddrPortFrom(outerD, 4789)}}
	var subnets []netip.Prefix
	for _, p := range []string{"10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3/32", "0.0.0.0/0", "fd00::/8", "fd00:1::/64", "fd00:1::1/128"} {
		subnets = append(subnets, netip.MustParsePrefix(p))
	}
	type claim struct {
		subnet netip.Prefix
		vtep   *fdb.VTEP
	}
	of := func(cs []claim, ip netip.Addr) (vs []*fdb.VTEP) {
		longest := -1
		for _, c := range cs {
			if !c.subnet.Contains(ip) || c.subnet.Bits() < longest {
				continue
			}
			if c.subnet.Bits() > longest {
				longest, vs = c.subnet.Bits(), nil
			}
			vs = append(vs, c.vtep)
		}
		return vs
	}
	check := func(s *Sources, cs []claim) {
		t.Helper()
		want := [2][]int{}
		for _, c := range cs {
			f := family(c.subnet.Addr())
			want[f] = append(want[f], c.subnet.Bits())
		}
		for f, bits := range want {
			slices.Sort(bits)
			slices.Reverse(bits)
			if bits = slices.Compact(bits); !slices.Equal(s.bits[f], bits) {
				t.Fatalf("got lengths %v, want %v of %v", s.bits[f], bits, cs)
			}
		}
		for _, ip := range []string{"10.1.2.3", "10.1.2.4", "10.1.3.1", "10.2.0.1", "11.0.0.1", "fd00:1::1", "fd00:1::2", "fd00:2::1", "2001:db8::1"} {
			a := netip.MustParseAddr(ip)
			if got, want := s.of(a), of(cs, a); !slices.Equal(got, want) {
				t.Fatalf("%s: got %v, want %v of %v", ip, got, want, cs)
			}
		}
	}
	var s *Sources
	var cs []claim
	for range 2000 {
		before, had := s, slices.Clone(cs)
		e := s.Edit()
		for range r.IntN(4) {
			c := claim{subnets[r.IntN(len(subnets))], vteps[r.IntN(len(vteps))]}
			if i := slices.Index(cs, c); i >= 0 && r.IntN(2) == 0 || len(cs) > 10 {
				e.Remove(c.subnet, c.vtep) // nobody's, maybe
				if i >= 0 {
					cs = slices.Delete(cs, i, i+1)
				}
				continue
			}
			e.Add(c.subnet, c.vtep)
			cs = append(cs, c)
		}
		s = e.Sources()
		for e, i := before.Edit(), 0; i < len(subnets); i++ { // somebody else's, of the same ones
			e.Add(subnets[i], &fdb.VTEP{})
		}
		check(s, cs)
		if before != nil {
			check(before, had)
		}
	}
}

func TestWhoSharesASubnetMaySendFromIt(t *testing.T) {
	tables := strictTables()
	e := tables.Sources.Edit()
	e.Add(netip.MustParsePrefix("10.10.2.7/24"), &fdb.VTEP{To: netip.AddrPortFrom(outerD, encap.Port)}) // with host bits, as somebody wrote it
	tables.Sources = e.Sources()
	for _, src := range []netip.Addr{outerB, outerD} {
		if got := Accept(datagram(vni, ipFrame(t, "10.10.2.9")), src, 0, &self, tables); got != Deliver {
			t.Errorf("from %s: got %v, want %v", src, got, Deliver)
		}
	}
	if got := Accept(datagram(vni, ipFrame(t, "10.10.2.9")), outerC, 0, &self, tables); got != DropSourceIP {
		t.Errorf("from %s: got %v, want %v", outerC, got, DropSourceIP)
	}
}
