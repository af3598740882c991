package toobig

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/uvtep/uvtep/encap/ether"
)

var (
	host, far = ether.Addr{2, 0, 0, 0, 0, 1}, ether.Addr{2, 0, 0, 0, 0, 2}
	a4, b4    = netip.MustParseAddr("10.10.3.7"), netip.MustParseAddr("10.10.8.9")
	a6, b6    = netip.MustParseAddr("fd00:10:3::7"), netip.MustParseAddr("fd00:10:8::9")
)

// frame is a frame of n bytes of IP from a to b, as gopacket writes it.
func frame(t testing.TB, n int, change func(*layers.IPv4, *layers.IPv6), b gopacket.SerializableLayer, six bool) ether.Frame {
	t.Helper()
	e := &layers.Ethernet{SrcMAC: host[:], DstMAC: far[:], EthernetType: layers.EthernetTypeIPv4}
	i4 := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, Flags: layers.IPv4DontFragment, SrcIP: a4.AsSlice(), DstIP: b4.AsSlice()}
	i6 := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: a6.AsSlice(), DstIP: b6.AsSlice()}
	if change != nil {
		change(i4, i6)
	}
	head, ip := ether.IPv4HeaderLen, gopacket.SerializableLayer(i4)
	if six {
		head, ip, e.EthernetType = ether.IPv6HeaderLen, i6, layers.EthernetTypeIPv6
	}
	ls := []gopacket.SerializableLayer{e, ip}
	if b != nil {
		ls, head = append(ls, b), head+8
	}
	ls = append(ls, gopacket.Payload(bytes.Repeat([]byte{0xab}, n-head)))
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func reply(f ether.Frame, mtu int) []byte { return Reply(make([]byte, 0, MaxLen), f, mtu) }

// decode has gopacket read an answer, and checks what every answer must be.
func decode(t *testing.T, b []byte) gopacket.Packet {
	t.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	if p.ErrorLayer() != nil {
		t.Fatalf("gopacket: %v", p.ErrorLayer().Error())
	}
	e := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	if !bytes.Equal(e.DstMAC, host[:]) || !bytes.Equal(e.SrcMAC, far[:]) {
		t.Errorf("goes from %s to %s, want from %s to %s", e.SrcMAC, e.DstMAC, far, host)
	}
	return p
}

func TestIPv4IsToldWhatFits(t *testing.T) {
	for _, n := range []int{1451, 9000, 100} {
		f := frame(t, n, nil, nil, false)
		b := reply(f, 1450)
		p := decode(t, b)
		ip := p.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		m := p.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
		if !ip.SrcIP.Equal(b4.AsSlice()) || !ip.DstIP.Equal(a4.AsSlice()) || ip.TTL != 64 || !ether.IPv4(b[14:]).HeaderValid() {
			t.Errorf("%d bytes: the header is %+v", n, ip)
		}
		if m.TypeCode != layers.CreateICMPv4TypeCode(3, 4) || m.Id != 0 || m.Seq != 1450 || ether.Checksum(b[34:]) != 0 {
			t.Errorf("%d bytes: the message is %+v", n, m)
		}
		if want := f[14:min(14+n, 14+548)]; !bytes.Equal(m.Payload, want) || len(b) > 14+576 {
			t.Errorf("%d bytes: %d are quoted in %d", n, len(m.Payload), len(b))
		}
	}
}

func TestIPv6IsToldWhatFitsAndNeverLessThanItMust(t *testing.T) {
	for _, c := range []struct{ n, mtu, want int }{{1451, 1430, 1430}, {9000, 1430, 1430}, {1400, 1200, 1280}, {80, 68, 1280}} {
		f := frame(t, c.n, nil, nil, true)
		b := reply(f, c.mtu)
		p := decode(t, b)
		ip := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
		m := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
		if !ip.SrcIP.Equal(b6.AsSlice()) || !ip.DstIP.Equal(a6.AsSlice()) || ip.HopLimit != 64 || len(b) > 14+1280 {
			t.Errorf("%+v: the header is %+v", c, ip)
		}
		h := ether.IPv6(b[14:])
		sum := ether.Sum(h.Payload(), ether.PseudoSum6(h, ether.ProtoICMPv6, len(h.Payload())))
		if m.TypeCode != layers.CreateICMPv6TypeCode(2, 0) || ether.Fold(sum) != 0xffff {
			t.Errorf("%+v: the message is %+v", c, m)
		}
		body := h.Payload()
		if got := int(body[4])<<24 | int(body[5])<<16 | int(body[6])<<8 | int(body[7]); got != c.want {
			t.Errorf("%+v: says %d", c, got)
		}
		if want := f[14:min(14+c.n, 14+1232)]; !bytes.Equal(body[8:], want) {
			t.Errorf("%+v: %d bytes are quoted", c, len(body)-8)
		}
	}
}

func TestTagsAreKept(t *testing.T) {
	f := frame(t, 1500, nil, nil, false)
	tagged := append(bytes.Clone(f[:12]), 0x81, 0, 0, 7)
	tagged = append(tagged, f[12:]...)
	b, plain := reply(tagged, 1450), reply(f, 1450)
	if len(b) < 18 || !bytes.Equal(b[12:16], []byte{0x81, 0, 0, 7}) || !bytes.Equal(b[16:], plain[12:]) {
		t.Errorf("got %x", b[:min(len(b), 40)])
	}
	b = append(bytes.Clone(tagged[:12]), 0x88, 0xa8, 0, 1, 0x88, 0xa8, 0, 2)
	if got := reply(append(b, tagged[12:]...), 1450); got != nil {
		t.Errorf("three tags: got %x", got[:40])
	}
}

// A sender that leaves fragmenting to others learns it too: nobody does here.
func TestIPv4WithoutDontFragmentIsToldToo(t *testing.T) {
	f := frame(t, 1500, func(p *layers.IPv4, _ *layers.IPv6) { p.Flags = 0 }, nil, false)
	if b := reply(f, 1450); b == nil {
		t.Error("no answer")
	}
}

func TestWhatNobodyIsToBeToldOf(t *testing.T) {
	four := func(change func(*layers.IPv4)) ether.Frame {
		return frame(t, 1500, func(p *layers.IPv4, _ *layers.IPv6) { change(p) }, nil, false)
	}
	six := func(change func(*layers.IPv6)) ether.Frame {
		return frame(t, 1500, func(_ *layers.IPv4, p *layers.IPv6) { change(p) }, nil, true)
	}
	icmp := func(kind uint8) ether.Frame {
		return frame(t, 1500, func(p *layers.IPv4, _ *layers.IPv6) { p.Protocol = layers.IPProtocolICMPv4 },
			&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, 0)}, false)
	}
	icmp6 := func(kind uint8) ether.Frame {
		f := frame(t, 1500, func(_ *layers.IPv4, p *layers.IPv6) { p.NextHeader = layers.IPProtocolICMPv6 }, nil, true)
		f[14+40] = kind
		return f
	}
	to := func(f ether.Frame, a ether.Addr) ether.Frame { f.SetDst(a); return f }
	for name, c := range map[string]struct {
		f    ether.Frame
		want bool
	}{
		"an echo request":             {icmp(8), true},
		"an ICMP error":               {icmp(3), false},
		"another one":                 {icmp(11), false},
		"an ICMPv6 echo request":      {icmp6(128), true},
		"an ICMPv6 error":             {icmp6(1), false},
		"itself":                      {icmp6(2), false},
		"the first fragment":          {four(func(p *layers.IPv4) { p.Flags = layers.IPv4MoreFragments }), true},
		"a later fragment":            {four(func(p *layers.IPv4) { p.Flags, p.FragOffset = 0, 100 }), false},
		"from nobody":                 {four(func(p *layers.IPv4) { p.SrcIP = []byte{0, 0, 0, 0} }), false},
		"from everybody":              {four(func(p *layers.IPv4) { p.SrcIP = []byte{255, 255, 255, 255} }), false},
		"from loopback":               {four(func(p *layers.IPv4) { p.SrcIP = []byte{127, 0, 0, 1} }), false},
		"to a group":                  {four(func(p *layers.IPv4) { p.DstIP = []byte{224, 0, 0, 5} }), false},
		"to everybody":                {four(func(p *layers.IPv4) { p.DstIP = []byte{255, 255, 255, 255} }), false},
		"to a group's MAC":            {to(four(func(*layers.IPv4) {}), ether.Addr{1, 0, 0x5e, 0, 0, 5}), false},
		"to an IPv6 group":            {six(func(p *layers.IPv6) { p.DstIP = netip.MustParseAddr("ff02::1").AsSlice() }), false},
		"from ::":                     {six(func(p *layers.IPv6) { p.SrcIP = netip.IPv6Unspecified().AsSlice() }), false},
		"neither IPv4 nor IPv6":       {append(ether.Frame{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5}, make([]byte, 1600)...), false},
		"cut off in the IPv4 header":  {four(func(*layers.IPv4) {})[:30], false},
		"cut off in the IPv6 header":  {six(func(*layers.IPv6) {})[:50], false},
		"less than an Ethernet frame": {make(ether.Frame, 10), false},
	} {
		if got := reply(c.f, 1450) != nil; got != c.want {
			t.Errorf("%s: answered: got %v, want %v", name, got, c.want)
		}
	}
}

func TestReplyDoesNotAllocate(t *testing.T) {
	f4, f6, dst := frame(t, 1500, nil, nil, false), frame(t, 1500, nil, nil, true), make([]byte, 0, MaxLen)
	if n := testing.AllocsPerRun(100, func() { Reply(dst, f4, 1450); Reply(dst, f6, 1430) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzReply(f *testing.F) {
	f.Add([]byte(frame(f, 1500, nil, nil, false)), 1450) // IPv4
	f.Add([]byte(frame(f, 1500, nil, nil, true)), 1430)  // IPv6
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, b []byte, mtu int) {
		before := bytes.Clone(b)
		got := Reply(bytes.Repeat([]byte{0xee}, MaxLen), b, mtu) // a dirty destination
		if !bytes.Equal(b, before) {
			t.Fatal("the frame was changed")
		}
		if got == nil {
			return
		}
		if again := Reply(make([]byte, MaxLen), b, mtu); !bytes.Equal(got, again) {
			t.Fatalf("the answer depends on what was in dst:\n%x\n%x", got, again)
		}
		if len(got) > MaxLen || Reply(make([]byte, MaxLen), got, mtu) != nil {
			t.Fatalf("an answer of %d bytes that is answered itself", len(got))
		}
	})
}
