package spell

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
)

var (
	a = ether.Addr{2, 0, 0, 0, 0, 0xa}
	b = ether.Addr{2, 0, 0, 0, 0, 0xb}
)

func ipOf(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestFramesAreMadeOfWordsAndToldInWords(t *testing.T) {
	for _, c := range []struct {
		w    Words
		len  int
		want string
	}{
		{Words{Src: a, ARP: ipOf("10.10.2.0"), From: ipOf("10.10.1.0")}, 60, "02:00:00:00:00:0a > ff:ff:ff:ff:ff:ff, ARP who has 10.10.2.0, tell 10.10.1.0"},
		{Words{Src: a, ARP: ipOf("10.10.2.0")}, 60, "02:00:00:00:00:0a > ff:ff:ff:ff:ff:ff, ARP who has 10.10.2.0, tell 0.0.0.0"},
		{Words{Src: a, Dst: b, ARP: ipOf("10.10.1.0"), From: ipOf("10.10.1.0")}, 60, "02:00:00:00:00:0a > 02:00:00:00:00:0b, ARP 02:00:00:00:00:0a announces 10.10.1.0"},
		{Words{Src: a, NS: ipOf("fd00::12:3456"), From: ipOf("fd00::1")}, 86, "02:00:00:00:00:0a > 33:33:ff:12:34:56, fd00::1 > ff02::1:ff12:3456, ICMPv6 NeighborSolicitation, who has fd00::12:3456"},
		{Words{Src: a, NS: ipOf("fd00::12:3456")}, 78, "02:00:00:00:00:0a > 33:33:ff:12:34:56, :: > ff02::1:ff12:3456, ICMPv6 NeighborSolicitation, who has fd00::12:3456"},
		{Words{Src: a, Dst: b, From: ipOf("10.10.1.7"), To: ipOf("10.10.2.7"), Proto: "tcp", SPort: 4000, DPort: 80}, 60, "02:00:00:00:00:0a > 02:00:00:00:00:0b, 10.10.1.7.4000 > 10.10.2.7.80, TCP [S], 0 bytes"},
		{Words{Src: a, Dst: b, From: ipOf("fd00::1"), To: ipOf("fd00::2"), Proto: "udp", SPort: 4000, DPort: 53, Len: 100}, 100, "02:00:00:00:00:0a > 02:00:00:00:00:0b, fd00::1.4000 > fd00::2.53, UDP, 38 bytes"},
		{Words{Src: a, Dst: b, From: ipOf("10.10.1.7"), To: ipOf("10.10.2.7"), Proto: "icmp", VLAN: 7, Len: 1518}, 1518, "02:00:00:00:00:0a > 02:00:00:00:00:0b, vlan 7, 10.10.1.7 > 10.10.2.7, ICMP EchoRequest id 1 seq 0"},
		{Words{Src: a, Dst: b, From: ipOf("fd00::1"), To: ipOf("fd00::2"), Proto: "icmp"}, 62, "02:00:00:00:00:0a > 02:00:00:00:00:0b, fd00::1 > fd00::2, ICMPv6 EchoRequest, id 1 seq 0"},
		{Words{Src: a, Dst: b, From: ipOf("10.10.1.7"), To: ipOf("10.10.2.7")}, 60, "02:00:00:00:00:0a > 02:00:00:00:00:0b, 10.10.1.7 > 10.10.2.7 protocol 253, 0 bytes"},
		{Words{Src: a, Dst: b, Len: 60}, 60, "02:00:00:00:00:0a > 02:00:00:00:00:0b type 0x88b5, 46 bytes"},
	} {
		f, err := Make(c.w)
		if err != nil {
			t.Errorf("%+v: %v", c.w, err)
			continue
		}
		if got := Tell(f); got != c.want || len(f) != c.len {
			t.Errorf("got %q, %d bytes; want %q, %d", got, len(f), c.want, c.len)
		}
		if typ, p := f.Network(); typ == ether.TypeIPv4 && (!ether.IPv4(p).HeaderValid() || ether.IPv4(p).TotalLen() > len(p)) {
			t.Errorf("%s: a wrong IPv4 header: % x", c.want, p[:20])
		}
	}
}

// What Tell does not tell.
func TestHeadersAreThoseThatAHostWouldSend(t *testing.T) {
	for _, c := range []struct {
		name         string
		w            Words
		tos, ttl     uint8
		dontFragment bool
	}{
		{"IPv4", Words{Src: a, Dst: b, From: ipOf("10.0.0.1"), To: ipOf("10.0.0.2"), TOS: 0xb9}, 0xb9, 64, true},
		{"IPv6", Words{Src: a, Dst: b, From: ipOf("fd00::1"), To: ipOf("fd00::2"), TOS: 0xb9}, 0xb9, 64, false},
		{"a neighbour solicitation", Words{Src: a, NS: ipOf("fd00::2"), From: ipOf("fd00::1")}, 0, 255, false},
	} {
		f, err := Make(c.w)
		if err != nil {
			t.Fatal(err)
		}
		tos, ttl, df := uint8(0), uint8(0), false
		switch typ, p := f.Network(); typ {
		case ether.TypeIPv4:
			tos, ttl, df = p[1], p[8], p[6]&0x40 != 0
		case ether.TypeIPv6:
			tos, ttl = p[0]<<4|p[1]>>4, p[7]
		}
		if tos != c.tos || ttl != c.ttl || df != c.dontFragment {
			t.Errorf("%s: got TOS %#x, TTL %d, DF %t; want %#x, %d, %t", c.name, tos, ttl, df, c.tos, c.ttl, c.dontFragment)
		}
	}
}

func TestTheLongestFrameIsMade(t *testing.T) {
	if f, err := Make(Words{Src: a, Dst: b, Len: MaxLen}); err != nil || len(f) != MaxLen {
		t.Errorf("got %d bytes, %v; want %d", len(f), err, MaxLen)
	}
}

// Frames that Make does not make.
func TestFramesOfOthersAreToldInWords(t *testing.T) {
	head := func(typ ether.Type, parts ...[]byte) []byte {
		f := make(ether.Frame, ether.HeaderLen)
		ether.PutHeader(f, b, a, typ)
		return slices.Concat(append([][]byte{f}, parts...)...)
	}
	arp := func(op byte) []byte {
		return slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, op}, a[:], []byte{10, 0, 0, 1}, b[:], []byte{10, 0, 0, 2})
	}
	tcp := func(flags byte) []byte {
		return slices.Concat([]byte{0x45, 0, 0, 43, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2},
			[]byte{0, 80, 0x0f, 0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 5 << 4, flags, 0, 0, 0, 0, 0, 0, 1, 2, 3})
	}
	ip6 := slices.Concat([]byte{0x60, 0, 0, 0, 0, 24, 58, 255}, ipOf("fd00::1").AsSlice(), ipOf("fd00::2").AsSlice())
	advert := slices.Concat(ip6, []byte{136, 0, 0, 0, 0x60, 0, 0, 0}, ipOf("fd00::1").AsSlice())
	tunnelled := func(f []byte) []byte {
		n := byte(8 + 8 + len(f))
		return slices.Concat([]byte{0x45, 0, 0, 20 + n, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2},
			[]byte{0xc3, 0x50, 0x12, 0xb5, 0, n, 0, 0}, []byte{8, 0, 0, 0, 0, 0, 1, 0}, f)
	}
	from := "02:00:00:00:00:0a > 02:00:00:00:00:0b"
	for _, c := range []struct {
		f    []byte
		want string
	}{
		{head(ether.TypeARP, arp(2)), from + ", ARP 10.0.0.1 is at 02:00:00:00:00:0a"},
		{head(ether.TypeARP, arp(9)), from + ", ARP operation 9"},
		{head(ether.TypeIPv4, tcp(0x10)), from + ", 10.0.0.1.80 > 10.0.0.2.4000, TCP [.], 3 bytes"},
		{head(ether.TypeIPv4, tcp(0xff)), from + ", 10.0.0.1.80 > 10.0.0.2.4000, TCP [SFRPU.EW], 3 bytes"},
		{head(ether.TypeIPv6, advert), from + ", fd00::1 > fd00::2, ICMPv6 NeighborAdvertisement, it is fd00::1"},
		{head(3, []byte{0x42, 0x42, 3}), from + " LLC, 3 bytes"},
		{head(0x88a8, []byte{0, 7, 8, 0}, tcp(2)), from + ", vlan 7, 10.0.0.1.80 > 10.0.0.2.4000, TCP [S], 3 bytes"},
	} {
		if got := Tell(c.f); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	for _, c := range []struct {
		b    []byte
		want string
	}{
		{tcp(2), "10.0.0.1.80 > 10.0.0.2.4000, TCP [S], 3 bytes"},
		{tunnelled(head(ether.TypeIPv4, tcp(2))), "192.0.2.1.50000 > 192.0.2.2.4789, UDP, 65 bytes, " + from + ", 10.0.0.1.80 > 10.0.0.2.4000, TCP [S], 3 bytes"},
		{slices.Concat([]byte{0x45, 0, 0, 63, 0, 0, 0, 0, 64, 4, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}, tcp(2)),
			"192.0.2.1 > 192.0.2.2 protocol 4, 43 bytes, 10.0.0.1.80 > 10.0.0.2.4000, TCP [S], 3 bytes"},
		{tunnelled(head(ether.TypeIPv6, advert)), "192.0.2.1.50000 > 192.0.2.2.4789, UDP, 86 bytes, " + from + ", fd00::1 > fd00::2, ICMPv6 NeighborAdvertisement, it is fd00::1"},
		{advert, "fd00::1 > fd00::2, ICMPv6 NeighborAdvertisement, it is fd00::1"},
	} {
		if got := TellIP(c.b); got != c.want {
			t.Errorf("of IP: got %q, want %q", got, c.want)
		}
	}
}

func TestWordsThatAreNoFrameAreRefused(t *testing.T) {
	for _, w := range []Words{
		{ARP: ipOf("fd00::1")},
		{NS: ipOf("10.0.0.1")},
		{From: ipOf("10.0.0.1"), To: ipOf("fd00::1")},
		{To: ipOf("fd00::1")},
		{From: ipOf("10.0.0.1"), To: ipOf("10.0.0.2"), Proto: "sctp"},
		{Len: MaxLen + 1},
		{Len: -1},
	} {
		if f, err := Make(w); err == nil {
			t.Errorf("%+v: got a frame, % x", w, f)
		}
	}
}

func TestWhatIsNoFrameIsToldToo(t *testing.T) {
	for _, b := range [][]byte{nil, {1, 2, 3}, make([]byte, 14), append(make([]byte, 12), 8, 0, 0x45)} {
		if got := Tell(b); got == "" {
			t.Errorf("% x: nothing is told", b)
		}
		if got := TellIP(b); got == "" {
			t.Errorf("% x: nothing is told of it as IP", b)
		}
	}
}

func FuzzTell(f *testing.F) {
	made, _ := Make(Words{Src: a, Dst: b, From: ipOf("fd00::1"), To: ipOf("fd00::2"), Proto: "tcp"})
	f.Add([]byte(made)) // what most frames are like
	f.Fuzz(func(t *testing.T, b []byte) {
		if Tell(b) == "" || TellIP(b) == "" {
			t.Error("nothing is told")
		}
	})
}
