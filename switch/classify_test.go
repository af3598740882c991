package vswitch

import (
	"net/netip"
	"testing"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

// The world of the tests: this host holds 10.10.1.0/24, host B (192.0.2.2)
// holds 10.10.2.0/24, and a container c with 10.10.3.7 lives on host C.
const vni = encap.VNI(1)

var (
	macSelf  = ether.Addr{0x02, 0, 0, 0, 0, 0x01}
	macLocal = ether.Addr{0x02, 0, 0, 0, 0, 0x11} // a station behind our TAP
	macB     = ether.Addr{0x02, 0, 0, 0, 0, 0x02}
	macC     = ether.Addr{0x02, 0, 0, 0, 0, 0x03}
	macHere  = ether.Addr{0x02, 0, 0, 0, 0, 0x12} // one that etcd knows of
	macNone  = ether.Addr{0x02, 0, 0, 0, 0, 0x99}

	ipSelf = netip.MustParseAddr("10.10.1.0")
	ipB    = netip.MustParseAddr("10.10.2.0")
	ipC    = netip.MustParseAddr("10.10.3.7")
	ipNone = netip.MustParseAddr("10.10.9.9")

	outerB = netip.MustParseAddr("192.0.2.2")
	outerC = netip.MustParseAddr("192.0.2.3")

	self = Self{VNI: vni, MAC: macSelf}
)

func testTables(p Policy) *Tables {
	b := &fdb.VTEP{To: netip.AddrPortFrom(outerB, encap.Port)}
	c := &fdb.VTEP{To: netip.AddrPortFrom(outerC, 8472)}
	f := (*fdb.Table)(nil).Edit()
	f.AddVTEP(vni, b)
	f.AddVTEP(vni, c)
	f.Set(fdb.Key{VNI: vni, MAC: macB}, fdb.Entry{VTEP: b, Origin: fdb.Lease})
	f.Set(fdb.Key{VNI: vni, MAC: macC}, fdb.Entry{VTEP: c, Origin: fdb.Endpoint})
	f.Set(fdb.Key{VNI: vni, MAC: macHere}, fdb.Entry{Origin: fdb.Endpoint})
	a := (*arpproxy.Table)(nil).Edit()
	a.Set(arpproxy.Key{VNI: vni, IP: ipB}, arpproxy.Binding{MAC: macB, Origin: fdb.Lease})
	a.Set(arpproxy.Key{VNI: vni, IP: ipC}, arpproxy.Binding{MAC: macC, Origin: fdb.Endpoint})
	return &Tables{FDB: f.Table(), ARP: a.Table(), Policy: p, Own: []netip.Addr{ipSelf}}
}

// frame is an Ethernet frame of 64 bytes of IPv4/UDP-less payload.
func frame(dst, src ether.Addr) ether.Frame {
	f := make(ether.Frame, ether.HeaderLen+50)
	ether.PutHeader(f, dst, src, 0x88b5) // IEEE 802 local experimental
	return f
}

func arpRequest(dst, src ether.Addr, sender, target netip.Addr) ether.Frame {
	f := make(ether.Frame, ether.HeaderLen+28)
	ether.PutHeader(f, dst, src, ether.TypeARP)
	b := f.Payload()
	copy(b, []byte{0, 1, 8, 0, 6, 4, 0, 1})
	copy(b[8:], src[:])
	s, t := sender.As4(), target.As4()
	copy(b[14:], s[:])
	copy(b[24:], t[:])
	return f
}

func tagged(f ether.Frame) ether.Frame {
	out := append(ether.Frame{}, f[:12]...)
	out = append(out, 0x81, 0x00, 0x00, 0x64)
	return append(out, f[12:]...)
}

func TestClassify(t *testing.T) {
	multicast := ether.Addr{0x01, 0x00, 0x5e, 0, 0, 1}
	bpdu := ether.Addr{0x01, 0x80, 0xc2, 0, 0, 0}
	for _, c := range []struct {
		name   string
		f      ether.Frame
		policy Policy
		want   Verdict
		vtep   netip.Addr
	}{
		{"a frame to a lease's MAC is forwarded to its VTEP", frame(macB, macSelf), Policy{}, Forward, outerB},
		{"a frame to an endpoint's MAC is forwarded to its host", frame(macC, macLocal), Policy{}, Forward, outerC},
		{"unknown unicast is dropped", frame(macNone, macSelf), Policy{}, DropUnknownUnicast, netip.Addr{}},
		{"unknown unicast is never flooded", frame(macNone, macSelf), Policy{Flood: true}, DropUnknownUnicast, netip.Addr{}},
		{"a frame shorter than its header is dropped", ether.Frame(make([]byte, 13)), Policy{}, DropShort, netip.Addr{}},
		{"an empty frame is dropped", nil, Policy{}, DropShort, netip.Addr{}},
		{"a multicast source is dropped", frame(macB, multicast), Policy{}, DropSource, netip.Addr{}},
		{"a zero source is dropped", frame(macB, ether.Addr{}), Policy{}, DropSource, netip.Addr{}},
		{"a BPDU never crosses, not even when the network floods", frame(bpdu, macSelf), Policy{Flood: true}, DropLinkControl, netip.Addr{}},
		{"broadcast is dropped", frame(ether.Broadcast, macSelf), Policy{}, DropBroadcast, netip.Addr{}},
		{"broadcast is replicated when the network floods", frame(ether.Broadcast, macSelf), Policy{Flood: true}, Replicate, netip.Addr{}},
		{"multicast is dropped", frame(multicast, macSelf), Policy{}, DropMulticast, netip.Addr{}},
		{"multicast is replicated when the network floods", frame(multicast, macSelf), Policy{Flood: true}, Replicate, netip.Addr{}},
		{"a frame to the TAP's own address goes nowhere", frame(macSelf, macLocal), Policy{}, DropToSelf, netip.Addr{}},
		{"a frame to a station behind this host goes nowhere", frame(macHere, macSelf), Policy{}, DropLocal, netip.Addr{}},
		{"ARP for a lease's address is answered", arpRequest(ether.Broadcast, macSelf, ipSelf, ipB), Policy{}, Answer, netip.Addr{}},
		{"unicast ARP for a lease's address is answered too", arpRequest(macB, macSelf, ipSelf, ipB), Policy{}, Answer, netip.Addr{}},
		{"broadcast ARP for an endpoint's address is answered", arpRequest(ether.Broadcast, macSelf, ipSelf, ipC), Policy{}, Answer, netip.Addr{}},
		{"unicast ARP for an endpoint's address is forwarded", arpRequest(macC, macSelf, ipSelf, ipC), Policy{}, Forward, outerC},
		{"ARP for an unknown address is dropped", arpRequest(ether.Broadcast, macSelf, ipSelf, ipNone), Policy{}, DropARPUnknown, netip.Addr{}},
		{"ARP for an unknown address is replicated when the network floods", arpRequest(ether.Broadcast, macSelf, ipSelf, ipNone), Policy{Flood: true}, Replicate, netip.Addr{}},
		{"a host's probe for its own address meets silence", arpRequest(ether.Broadcast, macSelf, netip.IPv4Unspecified(), ipSelf), Policy{}, DropARPSilent, netip.Addr{}},
		{"a host's probe for another's address is answered", arpRequest(ether.Broadcast, macSelf, netip.IPv4Unspecified(), ipB), Policy{}, Answer, netip.Addr{}},
		{"an announcement is dropped", arpRequest(ether.Broadcast, macSelf, ipSelf, ipSelf), Policy{}, DropGratuitous, netip.Addr{}},
		{"an announcement is replicated when the network floods", arpRequest(ether.Broadcast, macSelf, ipSelf, ipSelf), Policy{Flood: true}, Replicate, netip.Addr{}},
		{"a claim to another's address is dropped", arpRequest(ether.Broadcast, macLocal, ipB, ipB), Policy{Flood: true}, DropARPConflict, netip.Addr{}},
		{"ARP cut short is dropped", arpRequest(ether.Broadcast, macSelf, ipSelf, ipB)[:30], Policy{}, DropARPMalformed, netip.Addr{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := Classify(c.f, &self, testTables(c.policy))
			if d.Verdict != c.want {
				t.Fatalf("got %v, want %v", d.Verdict, c.want)
			}
			if c.vtep.IsValid() && d.VTEP.To.Addr() != c.vtep {
				t.Errorf("got VTEP %v, want %v", d.VTEP.To, c.vtep)
			}
		})
	}
}

// datagram wraps f in a VXLAN header.
func datagram(v encap.VNI, f ether.Frame) []byte {
	b := make([]byte, encap.HeaderLen, encap.HeaderLen+len(f))
	encap.PutHeader(b, v)
	return append(b, f...)
}

func with(d []byte, at int, b byte) []byte {
	d[at] = b
	return d
}

func TestAccept(t *testing.T) {
	good := func() []byte { return datagram(vni, frame(macSelf, macB)) }
	strange := netip.MustParseAddr("192.0.2.66")
	for _, c := range []struct {
		name   string
		d      []byte
		src    netip.Addr
		policy Policy
		want   Verdict
	}{
		{"a VTEP's frame is delivered", good(), outerB, Policy{}, Deliver},
		{"a frame from a MAC that etcd does not know is delivered: a bridged VM", datagram(vni, frame(macSelf, macNone)), outerB, Policy{}, Deliver},
		{"broadcast from a VTEP is delivered", datagram(vni, frame(ether.Broadcast, macB)), outerB, Policy{}, Deliver},
		{"no datagram at all", nil, outerB, Policy{}, DropRuntDatagram},
		{"seven bytes", make([]byte, 7), outerB, Policy{}, DropRuntDatagram},
		{"the I flag is clear", with(good(), 0, 0), outerB, Policy{}, DropNoVNI},
		{"all flags but I are set", with(good(), 0, 0xf7), outerB, Policy{}, DropNoVNI},
		{"the next VNI", datagram(vni+1, frame(macSelf, macB)), outerB, Policy{}, DropForeignVNI},
		{"VNI 0", datagram(0, frame(macSelf, macB)), outerB, Policy{}, DropForeignVNI},
		{"our VNI shifted by eight bits", datagram(vni<<8, frame(macSelf, macB)), outerB, Policy{}, DropForeignVNI},
		{"reserved flags are ignored", with(good(), 0, 0xff), outerB, Policy{}, Deliver},
		{"the last reserved byte is ignored", with(good(), 7, 0xff), outerB, Policy{}, Deliver},
		{"reserved flags are dropped where the network is strict", with(good(), 0, 0xff), outerB, Policy{StrictReserved: true}, DropReserved},
		{"the last reserved byte is dropped where the network is strict", with(good(), 7, 1), outerB, Policy{StrictReserved: true}, DropReserved},
		{"a stranger", good(), strange, Policy{}, DropUnknownVTEP},
		{"a stranger, where strangers are let in", datagram(vni, frame(macSelf, macNone)), strange, Policy{AcceptUnknownVTEP: true}, Deliver},
		{"a stranger with a member's MAC, where strangers are let in", good(), strange, Policy{AcceptUnknownVTEP: true}, DropSpoofed},
		{"no inner frame", datagram(vni, nil), outerB, Policy{}, DropRuntFrame},
		{"an inner frame of 13 bytes", datagram(vni, make([]byte, 13)), outerB, Policy{}, DropRuntFrame},
		{"an inner frame of 14 bytes is a frame", datagram(vni, frame(macSelf, macB)[:14]), outerB, Policy{}, Deliver},
		{"the MAC of B from C", good(), outerC, Policy{}, DropSpoofed},
		{"the MAC of a station behind this host from the wire", datagram(vni, frame(macB, macHere)), outerB, Policy{}, DropSpoofed},
		{"our own MAC from the wire", datagram(vni, frame(macB, macSelf)), outerB, Policy{}, DropOwnSource},
		{"a multicast source", datagram(vni, frame(macSelf, ether.Broadcast)), outerB, Policy{}, DropInnerSource},
		{"a zero source", datagram(vni, frame(macSelf, ether.Addr{})), outerB, Policy{}, DropInnerSource},
		{"a pause frame", datagram(vni, frame(ether.Addr{0x01, 0x80, 0xc2, 0, 0, 1}, macB)), outerB, Policy{}, DropInnerLinkControl},
		{"a tagged frame", datagram(vni, tagged(frame(macSelf, macB))), outerB, Policy{}, DropTagged},
		{"a tagged frame, where tags are carried", datagram(vni, tagged(frame(macSelf, macB))), outerB, Policy{PassTags: true}, Deliver},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := Accept(c.d, c.src, 0, &self, testTables(c.policy)); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestNothingPassesEmptyTables(t *testing.T) {
	if got := Classify(frame(macB, macSelf), &self, &Tables{}).Verdict; got != DropUnknownUnicast {
		t.Errorf("out: got %v, want %v", got, DropUnknownUnicast)
	}
	if got := Accept(datagram(vni, frame(macSelf, macB)), outerB, 0, &self, &Tables{}); got != DropUnknownVTEP {
		t.Errorf("in: got %v, want %v", got, DropUnknownVTEP)
	}
}

func TestAcceptMarksCongestionInside(t *testing.T) {
	inner := func(tos byte) []byte {
		f := make(ether.Frame, ether.HeaderLen+20)
		ether.PutHeader(f, macSelf, macB, ether.TypeIPv4)
		ip := ether.IPv4(f.Payload())
		copy(ip, []byte{0x45, tos, 0, 20, 0, 0, 0x40, 0, 64, 17})
		ip.Finish()
		return datagram(vni, f)
	}
	d := inner(0xb8 | encap.ECNECT0)
	if got := Accept(d, outerB, encap.ECNCE, &self, testTables(Policy{})); got != Deliver {
		t.Fatalf("ECT(0) under CE: got %v, want Deliver", got)
	}
	ip := ether.IPv4(encap.Header(d).Payload().Payload())
	if ip.TOS() != 0xb8|encap.ECNCE || !ip.HeaderValid() {
		t.Errorf("got TOS %#x, checksum right: %v; want %#x, true", ip.TOS(), ip.HeaderValid(), 0xb8|encap.ECNCE)
	}
	if got := Accept(inner(0), outerB, encap.ECNCE, &self, testTables(Policy{})); got != DropECN {
		t.Errorf("Not-ECT under CE: got %v, want DropECN", got)
	}
}

func TestDecisionsDoNotAllocate(t *testing.T) {
	tables := testTables(Policy{})
	out, arp, in := frame(macB, macSelf), arpRequest(ether.Broadcast, macSelf, ipSelf, ipB), datagram(vni, frame(macSelf, macB))
	if n := testing.AllocsPerRun(100, func() {
		Classify(out, &self, tables)
		Classify(arp, &self, tables)
		Accept(in, outerB, 0, &self, tables)
	}); n != 0 {
		t.Errorf("got %v allocations a frame, want 0", n)
	}
}

func FuzzClassify(f *testing.F) {
	f.Add([]byte(frame(macB, macSelf)))                                   // forwarded
	f.Add([]byte(arpRequest(ether.Broadcast, macSelf, ipSelf, ipB)))      // answered
	f.Add([]byte(arpRequest(ether.Broadcast, macSelf, ipSelf, ipB)[:41])) // an ARP body one byte short
	f.Add([]byte(tagged(frame(macB, macSelf))))
	tables := testTables(Policy{Flood: true})
	f.Fuzz(func(t *testing.T, b []byte) {
		before := string(b)
		d := Classify(b, &self, tables)
		if string(b) != before {
			t.Error("Classify changed the frame")
		}
		if d.Verdict.Inbound() || d.Verdict == Forward && d.VTEP == nil {
			t.Errorf("verdict %v, VTEP %v", d.Verdict, d.VTEP)
		}
	})
}

func FuzzAccept(f *testing.F) {
	f.Add(datagram(vni, frame(macSelf, macB)), uint8(0))
	f.Add(datagram(vni, frame(macSelf, macB))[:9], uint8(3)) // one byte of inner frame
	f.Add(datagram(vni, advert(f, "fd00:2::9", "fd00:2::9")), uint8(0))
	f.Add(datagram(vni, arpRequest(ether.Broadcast, macB, ipB, ipC)[:20]), uint8(0))
	f.Fuzz(func(t *testing.T, d []byte, tos uint8) {
		for _, tables := range []*Tables{testTables(Policy{PassTags: true}), strictTables()} {
			if v := Accept(d, outerB, tos, &self, tables); !v.Inbound() {
				t.Errorf("verdict %v", v)
			}
		}
	})
}
