package main

import (
	"bytes"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	vswitch "github.com/uvtep/uvtep/switch"
)

func TestCaptureRefusesWhatCannotBeCaptured(t *testing.T) {
	for _, c := range []struct {
		args string
		want []string
	}{
		{"--inner --outer", []string{"say one of --inner"}},
		{"--ring 3", []string{"--ring 3: want a number of files, and -w FILE"}},
		{"--ring 3 -w -", []string{"and -w FILE"}},
		{"--ring-size 3", []string{"--ring-size 3: want MiB, and --ring"}},
		{"--mac x --ip y --vtep z --vni 16777216", []string{`mac "x"`, `ip "y"`, `vtep "z"`, "24 bits"}},
		{"--verdict Forward,Fly", []string{`verdict "Fly": there is none`}},
		{"--direction up", []string{`direction "up"`}},
		{"--drops --verdict Forward", []string{"no verdict is left"}},
		{"--direction in --verdict Forward", []string{"no verdict is left"}},
	} {
		cmd := newRoot()
		cmd.SetArgs(append([]string{"capture", "--admin-socket", "/nowhere"}, strings.Fields(c.args)...))
		err := cmd.Execute()
		if _, usage := err.(usageError); !usage {
			t.Errorf("%s: got %v, want a usage error", c.args, err)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q, want %q in it", c.args, err, want)
			}
		}
	}
}

func TestCaptureWantsTheVerdictsThatWereNamed(t *testing.T) {
	for _, c := range []struct {
		query    string
		has, not []vswitch.Verdict
	}{
		{"", []vswitch.Verdict{vswitch.Forward, vswitch.Deliver, vswitch.DropSpoofed}, nil},
		{"drops=true", []vswitch.Verdict{vswitch.DropSpoofed, vswitch.DropLocal}, []vswitch.Verdict{vswitch.Forward, vswitch.Answer, vswitch.Deliver}},
		{"drops=true&direction=in", []vswitch.Verdict{vswitch.DropSpoofed}, []vswitch.Verdict{vswitch.DropLocal, vswitch.Deliver}},
		{"direction=out", []vswitch.Verdict{vswitch.Forward}, []vswitch.Verdict{vswitch.Deliver}},
		{"verdict=Answer&verdict=DropLocal", []vswitch.Verdict{vswitch.Answer, vswitch.DropLocal}, []vswitch.Verdict{vswitch.Forward}},
		{"verdict=Answer&verdict=DropLocal&drops=true", []vswitch.Verdict{vswitch.DropLocal}, []vswitch.Verdict{vswitch.Answer}},
	} {
		v, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		w, err := parseCapture(v)
		if err != nil {
			t.Errorf("%s: %v", c.query, err)
		}
		for _, x := range c.has {
			if !w.filter.Verdicts.Has(x) {
				t.Errorf("%s: %v is missing", c.query, x)
			}
		}
		for _, x := range c.not {
			if w.filter.Verdicts.Has(x) {
				t.Errorf("%s: has %v", c.query, x)
			}
		}
	}
}

// Headers are what another program understands, checksums too.
func TestOuterHeadersOfACaptureAreRight(t *testing.T) {
	payload := append([]byte{8, 0, 0, 0, 0, 0, 1, 0}, bytes.Repeat([]byte{7}, 61)...)
	for _, c := range []struct{ src, dst string }{{"192.0.2.1:50000", "192.0.2.2:4789"}, {"[2001:db8::1]:50000", "[2001:db8::2]:4789"}} {
		e := ends{src: netip.MustParseAddrPort(c.src), dst: netip.MustParseAddrPort(c.dst), tos: 0xb9, ttl: 64, summed: true}
		b := e.datagram(payload, 0)
		want := gopacket.NewSerializeBuffer()
		udp := &layers.UDP{SrcPort: 50000, DstPort: 4789}
		var ip interface {
			gopacket.NetworkLayer
			gopacket.SerializableLayer
		} = &layers.IPv4{Version: 4, TOS: 0xb9, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolUDP, SrcIP: e.src.Addr().AsSlice(), DstIP: e.dst.Addr().AsSlice()}
		if e.dst.Addr().Is6() {
			ip = &layers.IPv6{Version: 6, TrafficClass: 0xb9, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: e.src.Addr().AsSlice(), DstIP: e.dst.Addr().AsSlice()}
		}
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		if err := gopacket.SerializeLayers(want, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, udp, gopacket.Payload(payload)); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(b, want.Bytes()) {
			t.Errorf("to %s:\n got % x\nwant % x", c.dst, b, want.Bytes())
		}
		if e.dst.Addr().Is4() {
			if b := e.datagram(payload, 1<<16); ether.IPv4(b).TotalLen() != 0 || ether.UDP(b[ether.IPv4HeaderLen:]).Checksum() != 0 {
				t.Errorf("of a superframe: got % x, want no length and no checksum", b[:28])
			}
		}
	}
}

func TestCommentsSayWhatBecameOfAFrame(t *testing.T) {
	peer := netip.MustParseAddrPort("192.0.2.2:4789")
	for _, c := range []struct {
		s    vswitch.Sample
		want string
	}{
		{vswitch.Sample{Verdict: vswitch.Forward, Peer: peer}, "Forward to 192.0.2.2:4789"},
		{vswitch.Sample{Verdict: vswitch.Forward, Peer: peer, Segment: 1398, Stripped: true}, "Forward to 192.0.2.2:4789; tags stripped; superframe, cut every 1398 bytes of payload"},
		{vswitch.Sample{Verdict: vswitch.Replicate, VTEPs: 3}, "Replicate to 3 VTEPs"},
		{vswitch.Sample{Verdict: vswitch.Answer}, "Answer"},
		{vswitch.Sample{Verdict: vswitch.DropLocal}, "DropLocal: to a station behind this host, which the bridge should reach"},
		{vswitch.Sample{Verdict: vswitch.DropSpoofed, Peer: peer}, "DropSpoofed from 192.0.2.2:4789: etcd has its inner source address behind another VTEP"},
	} {
		if got := captureComment(&c.s); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// The headers of captured datagrams are those that uvtep sends and hears, as far as
// a socket tells.
func TestCapturedDatagramsHaveTheirHeaders(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	peer4, peer6 := netip.MustParseAddrPort("192.0.2.2:4789"), netip.MustParseAddrPort("[2001:db8::2]:4789")
	frame := make([]byte, 60)
	both := outerSide{v4: v4, v6: v6, port: 4790, ttl: 64, summed: true, sourcePort: func(d *encap.Datagram) uint16 { return uint16(d.Flow) }}
	outer := encap.Datagram{Flow: 50001, TOS: 0xb8}
	plain := both
	plain.summed = false
	sends := func(peer netip.AddrPort) vswitch.Sample {
		return vswitch.Sample{VNI: 42, Verdict: vswitch.Forward, Peer: peer, Outer: outer, Len: len(frame), Data: frame}
	}
	out4, in6 := sends(peer4), vswitch.Sample{VNI: 42, Verdict: vswitch.Deliver, Peer: peer6, Outer: outer, Len: len(frame), Data: frame}
	own, super, cut, many, local := out4, out4, out4, sends(netip.AddrPort{}), out4
	own.Outer.TTL, super.Segment, cut.Len, many.Verdict, local.Verdict = 9, 1398, 1400, vswitch.Replicate, vswitch.DropUnknownUnicast
	for _, c := range []struct {
		name     string
		side     outerSide
		x        vswitch.Sample
		src, dst string
		ttl      uint8
		length   uint16 // of UDP
		summed   bool
	}{
		{"sent", both, out4, "192.0.2.1:50001", "192.0.2.2:4789", 64, 76, true},
		{"sent over IPv6", both, sends(peer6), "[2001:db8::1]:50001", "[2001:db8::2]:4789", 64, 76, true},
		{"sent without a checksum", plain, out4, "192.0.2.1:50001", "192.0.2.2:4789", 64, 76, false},
		{"sent with a TTL of its own", both, own, "192.0.2.1:50001", "192.0.2.2:4789", 9, 76, true},
		{"a superframe", both, super, "192.0.2.1:50001", "192.0.2.2:4789", 64, 76, false},
		{"cut", both, cut, "192.0.2.1:50001", "192.0.2.2:4789", 64, 1416, false},
		{"sent to many", both, many, "192.0.2.1:50001", "0.0.0.0:4790", 64, 76, true},
		{"sent to many over IPv6 alone", outerSide{v6: v6, port: 4790, ttl: 64, summed: true, sourcePort: both.sourcePort}, many, "[2001:db8::1]:50001", "[::]:4790", 64, 76, true},
		{"received", both, in6, "[2001:db8::2]:4789", "[2001:db8::1]:4790", 0, 68, false},
	} {
		b := c.side.datagram(&c.x)
		var src, dst netip.Addr
		var ttl, tos uint8
		udp := ether.UDP(b[ether.IPv4HeaderLen:])
		if ip := ether.IPv4(b); b[0]>>4 == 4 {
			src, dst, ttl, tos = ip.Src(), ip.Dst(), b[8], b[1]
		} else {
			ip := ether.IPv6(b)
			src, dst, ttl, tos = ip.Src(), ip.Dst(), b[7], b[0]<<4|b[1]>>4
			udp = ether.UDP(b[ether.IPv6HeaderLen:])
		}
		if s, d := netip.AddrPortFrom(src, udp.SrcPort()).String(), netip.AddrPortFrom(dst, udp.DstPort()).String(); s != c.src || d != c.dst {
			t.Errorf("%s: from %s to %s, want %s and %s", c.name, s, d, c.src, c.dst)
		}
		length, sum := uint16(udp[4])<<8|uint16(udp[5]), uint16(udp[6])<<8|uint16(udp[7])
		if ttl != c.ttl || tos != outer.TOS || length != c.length || (sum != 0) != c.summed {
			t.Errorf("%s: TTL %d, TOS %#x, length %d, checksum %#x; want %d, %#x, %d, one: %v", c.name, ttl, tos, length, sum, c.ttl, outer.TOS, c.length, c.summed)
		}
		vxlan := []byte{8, 0, 0, 0, 0, 0, 42, 0}
		if payload := udp[ether.UDPHeaderLen:]; c.x.Verdict.Inbound() != !bytes.Equal(payload[:8], vxlan) {
			t.Errorf("%s: the payload begins with % x", c.name, payload[:8])
		}
	}
	if b := both.datagram(&local); b != nil {
		t.Errorf("what stayed here: got % x", b)
	}
}
