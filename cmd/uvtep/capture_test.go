package main

import (
	"bytes"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

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
