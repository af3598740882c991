package spell

import (
	"net/netip"
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
