package ether_test

import (
	"bytes"
	"math/rand/v2"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap/ether"
)

// vector4 is a TCP segment as tcpdump shows it, byte by byte.
var vector4 = []byte{
	0x46,       // version 4, header of 6 words
	0xb8 | 0x2, // DSCP EF, ECT(0)
	0x00, 0x30, // total length 48
	0x1c, 0x46, // identification
	0x40, 0x00, // DF, offset 0
	0x3f,       // TTL 63
	0x06,       // TCP
	0x93, 0x63, // header checksum
	10, 5, 52, 1, // source
	10, 5, 10, 7, // destination
	0x94, 0x04, 0x00, 0x00, // option: router alert
	0xc3, 0x50, // TCP: source port 50000
	0x14, 0x51, // destination port 5201
	0x11, 0x22, 0x33, 0x44, // sequence number
	0x55, 0x66, 0x77, 0x88, // acknowledgment
	0x50,       // header of 5 words
	0x90,       // CWR, ACK
	0x01, 0xf5, // window 501
	0xab, 0xcd, // checksum (not checked here)
	0x00, 0x00, // urgent pointer
	'd', 'a', 't', 'a', // payload
	0, 0, // Ethernet padding
}

func TestIPv4AndTCPFieldsOfAnAnnotatedVector(t *testing.T) {
	ip := ether.IPv4(vector4)
	if !ip.Valid() {
		t.Fatal("not valid")
	}
	tcp := ether.TCP(ip.Payload())
	if !tcp.Valid() {
		t.Fatal("TCP is not valid")
	}
	type fields struct {
		HeaderLen, TotalLen   int
		TOS, TTL, Proto       uint8
		ID, Frag              uint16
		Fragmented            bool
		Src, Dst              string
		Options               []byte
		SrcPort, DstPort, Win uint16
		Seq, Ack              uint32
		TCPHeaderLen          int
		Flags                 uint8
		Sum                   uint16
		Data                  string
	}
	got := fields{
		ip.HeaderLen(), ip.TotalLen(), ip.TOS(), ip.TTL(), ip.Protocol(), ip.ID(), ip.Fragment(),
		ip.Fragmented(), ip.Src().String(), ip.Dst().String(), ip.Options(),
		tcp.SrcPort(), tcp.DstPort(), tcp.Window(), tcp.Seq(), tcp.Ack(), tcp.HeaderLen(), tcp.Flags(),
		tcp.Checksum(), string(tcp.Payload()),
	}
	want := fields{
		24, 48, 0xba, 63, ether.ProtoTCP, 0x1c46, ether.IPv4DontFragment,
		false, "10.5.52.1", "10.5.10.7", []byte{0x94, 4, 0, 0},
		50000, 5201, 501, 0x11223344, 0x55667788, 20, ether.TCPCwr | ether.TCPAck,
		0xabcd, "data",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

// vector6 is a DNS query, byte by byte.
var vector6 = []byte{
	0x6b, 0x81, 0x23, 0x45, // version 6, class 0xb8 (EF), flow label 0x12345
	0x00, 0x0b, // payload length 11
	0x11,                                                    // next header: UDP
	0x40,                                                    // hop limit 64
	0xfd, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x01, // source
	0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x00, 0x02, // destination
	0xd4, 0x31, // UDP: source port 54321
	0x00, 0x35, // destination port 53
	0x00, 0x0b, // length 11
	0xbe, 0xef, // checksum (not checked here)
	'd', 'n', 's', // payload
	0, // Ethernet padding
}

func TestIPv6AndUDPFieldsOfAnAnnotatedVector(t *testing.T) {
	ip := ether.IPv6(vector6)
	if !ip.Valid() {
		t.Fatal("not valid")
	}
	udp := ether.UDP(ip.Payload())
	if !udp.Valid() {
		t.Fatal("UDP is not valid")
	}
	type fields struct {
		Class                 uint8
		Label                 uint32
		Len                   int
		Next, Hops            uint8
		Src, Dst              string
		SrcPort, DstPort, Sum uint16
		UDPLen                int
		Data                  string
	}
	got := fields{ip.TrafficClass(), ip.FlowLabel(), ip.PayloadLen(), ip.NextHeader(), ip.HopLimit(),
		ip.Src().String(), ip.Dst().String(), udp.SrcPort(), udp.DstPort(), udp.Checksum(), udp.Len(), string(udp.Payload())}
	want := fields{0xb8, 0x12345, 11, ether.ProtoUDP, 64, "fd10::1", "2001:db8::2", 54321, 53, 0xbeef, 11, "dns"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

func TestSetTrafficClassLeavesVersionAndFlowLabelAlone(t *testing.T) {
	ip := ether.IPv6(bytes.Clone(vector6))
	for class := range 256 {
		ip.SetTrafficClass(uint8(class))
		if ip[0]>>4 != 6 || ip.TrafficClass() != uint8(class) || ip.FlowLabel() != 0x12345 || !bytes.Equal(ip[4:], vector6[4:]) {
			t.Fatalf("class %#x makes the header %x", class, ip[:8])
		}
	}
}

func TestSettersChangeTheirOwnBytesOnly(t *testing.T) {
	a4, a6 := netip.MustParseAddr("1.2.3.4"), netip.MustParseAddr("102:304:506:708:90a:b0c:d0e:f10")
	ones4, ones6 := ether.IPv4(nil), ether.IPv6(nil)
	tests := []struct {
		name     string
		set      func()
		from, to int
		six      bool
	}{
		{"IPv4 TOS", func() { ones4.SetTOS(0) }, 1, 2, false},
		{"IPv4 total length", func() { ones4.SetTotalLen(0) }, 2, 4, false},
		{"IPv4 id", func() { ones4.SetID(0) }, 4, 6, false},
		{"IPv4 fragment", func() { ones4.SetFragment(0) }, 6, 8, false},
		{"IPv4 TTL", func() { ones4.SetTTL(0) }, 8, 9, false},
		{"IPv4 protocol", func() { ones4.SetProtocol(0) }, 9, 10, false},
		{"IPv4 checksum", func() { ones4.SetChecksum(0) }, 10, 12, false},
		{"IPv4 source", func() { ones4.SetSrc(a4) }, 12, 16, false},
		{"IPv4 destination", func() { ones4.SetDst(a4) }, 16, 20, false},
		{"IPv6 payload length", func() { ones6.SetPayloadLen(0) }, 4, 6, true},
		{"IPv6 next header", func() { ones6.SetNextHeader(0) }, 6, 7, true},
		{"IPv6 hop limit", func() { ones6.SetHopLimit(0) }, 7, 8, true},
		{"IPv6 source", func() { ones6.SetSrc(a6) }, 8, 24, true},
		{"IPv6 destination", func() { ones6.SetDst(a6) }, 24, 40, true},
	}
	for _, tt := range tests {
		ones4, ones6 = bytes.Repeat([]byte{0xff}, 20), bytes.Repeat([]byte{0xff}, 40)
		tt.set()
		b := []byte(ones4)
		if tt.six {
			b = ones6
		}
		for i, v := range b {
			if in := i >= tt.from && i < tt.to; in == (v == 0xff) {
				t.Errorf("%s leaves byte %d at %#x", tt.name, i, v)
			}
		}
	}
	if ones6.Dst() != a6 {
		t.Errorf("destination comes back as %v, want %v", ones6.Dst(), a6)
	}
}

func TestProtocolNumbersAreGopackets(t *testing.T) {
	for got, want := range map[int]layers.IPProtocol{
		ether.ProtoICMP: layers.IPProtocolICMPv4, ether.ProtoTCP: layers.IPProtocolTCP, ether.ProtoUDP: layers.IPProtocolUDP,
		ether.ProtoICMPv6: layers.IPProtocolICMPv6, ether.ProtoSCTP: layers.IPProtocolSCTP,
	} {
		if got != int(want) {
			t.Errorf("%v is %d, want %d", want, got, int(want))
		}
	}
}

func TestIPv4FinishStoresTheChecksumThatHeaderValidAccepts(t *testing.T) {
	ip := ether.IPv4(bytes.Clone(vector4))
	ip.Finish()
	if got, want := ip.Checksum(), uint16(^ether.Fold(slowSum(vector4[:10], slowSum(vector4[12:24], 0)))); got != want {
		t.Errorf("checksum = %#04x, want %#04x", got, want)
	}
	if !ip.HeaderValid() {
		t.Error("the checksum just stored is not accepted")
	}
	ip.SetTTL(ip.TTL() - 1)
	if ip.HeaderValid() {
		t.Error("a checksum that is wrong is accepted")
	}
}

func TestIPv4Valid(t *testing.T) {
	edit := func(change func(b []byte) []byte) []byte { return change(bytes.Clone(vector4)) }
	tests := []struct {
		name string
		in   []byte
		want bool
	}{
		{"as it is", vector4, true},
		{"without padding", vector4[:48], true},
		{"one byte short of the total length", vector4[:47], false},
		{"nothing", nil, false},
		{"19 bytes", vector4[:19], false},
		{"20 bytes", edit(func(b []byte) []byte { b[0], b[3] = 0x45, 20; return b[:20] }), true},
		{"version 6", edit(func(b []byte) []byte { b[0] = 0x66; return b }), false},
		{"header of 4 words", edit(func(b []byte) []byte { b[0] = 0x44; return b }), false},
		{"header longer than the total length", edit(func(b []byte) []byte { b[3] = 23; return b }), false},
		{"header as long as the total length", edit(func(b []byte) []byte { b[3] = 24; return b }), true},
		{"total length zero", edit(func(b []byte) []byte { b[3] = 0; return b }), false},
		{"header longer than the bytes", edit(func(b []byte) []byte { b[0] = 0x4f; return b[:40] }), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ether.IPv4(tt.in).Valid(); got != tt.want {
				t.Errorf("Valid = %v, want %v", got, tt.want)
			}
		})
	}
}

func TestIPv4Fragmented(t *testing.T) {
	for word, want := range map[uint16]bool{
		0x0000: false, 0x4000: false, 0x8000: false, // none, DF, the evil bit (RFC 3514)
		0x2000: true, 0x0001: true, 0x1fff: true, 0x6000: true, // MF, an offset, the last offset, MF and DF
	} {
		ip := ether.IPv4(bytes.Clone(vector4))
		ip.SetFragment(word)
		if got := ip.Fragmented(); got != want {
			t.Errorf("Fragmented of %#04x = %v, want %v", word, got, want)
		}
	}
}

func TestIPv6Valid(t *testing.T) {
	b := make([]byte, 48)
	ip := ether.IPv6(b)
	ip.SetVersion()
	ip.SetPayloadLen(8)
	if !ip.Valid() {
		t.Error("8 bytes of payload in 48 are not valid")
	}
	if ip[:47].Valid() {
		t.Error("8 bytes of payload in 47 are valid")
	}
	ip.SetPayloadLen(0)
	if ip[:39].Valid() {
		t.Error("39 bytes are valid")
	}
	if !ip[:40].Valid() {
		t.Error("a header without payload is not valid")
	}
	b[0] = 0x40
	if ip.Valid() {
		t.Error("version 4 is valid")
	}
}

// oracle4 writes what gopacket makes of the same fields.
func oracle4(t *testing.T, ip *layers.IPv4, transport gopacket.SerializableLayer, payload []byte) []byte {
	t.Helper()
	return serialize(t, ip, transport, gopacket.Payload(payload))
}

func serialize(t testing.TB, l ...gopacket.SerializableLayer) []byte {
	t.Helper()
	buf := gopacket.NewSerializeBuffer()
	opts := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(buf, opts, l...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(buf.Bytes())
}

func randomBytes(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

// Headers written through the views into dirty memory are the bytes that
// gopacket writes, checksums included.
func TestIPv4TCPEqualsGopacket(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		src, dst, payload := randomBytes(rnd, 4), randomBytes(rnd, 4), randomBytes(rnd, rnd.IntN(100))
		ip := &layers.IPv4{Version: 4, TOS: uint8(rnd.Uint32()), Id: uint16(rnd.Uint32()),
			Flags: layers.IPv4DontFragment, TTL: uint8(rnd.Uint32()), Protocol: layers.IPProtocolTCP, SrcIP: src, DstIP: dst}
		tcp := &layers.TCP{SrcPort: layers.TCPPort(rnd.Uint32()), DstPort: layers.TCPPort(rnd.Uint32()),
			Seq: rnd.Uint32(), Ack: rnd.Uint32(), ACK: true, PSH: true, Window: uint16(rnd.Uint32())}
		if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		want := oracle4(t, ip, tcp, payload)

		got := bytes.Repeat([]byte{0xff}, len(want))
		b := ether.IPv4(got)
		copy(got, []byte{0x45})
		b.SetTOS(ip.TOS)
		b.SetTotalLen(len(got))
		b.SetID(ip.Id)
		b.SetFragment(ether.IPv4DontFragment)
		b.SetTTL(ip.TTL)
		b.SetProtocol(ether.ProtoTCP)
		b.SetSrc(netip.AddrFrom4([4]byte(src)))
		b.SetDst(netip.AddrFrom4([4]byte(dst)))
		b.Finish()
		s := ether.TCP(b.Payload())
		s.SetSrcPort(uint16(tcp.SrcPort))
		s.SetDstPort(uint16(tcp.DstPort))
		s.SetSeq(tcp.Seq)
		s.SetAck(tcp.Ack)
		s[12] = 0
		s.SetHeaderLen(ether.TCPHeaderLen)
		s.SetFlags(ether.TCPAck | ether.TCPPsh)
		s.SetWindow(tcp.Window)
		s.SetChecksum(0)
		copy(s[18:], []byte{0, 0})
		copy(s.Payload(), payload)
		s.SetChecksum(^ether.Fold(ether.Sum(s, ether.PseudoSum4(b, ether.ProtoTCP, len(s)))))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("segment (-want +got):\n%s", diff)
		}
	}
}

func TestIPv6UDPEqualsGopacket(t *testing.T) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for range 300 {
		src, dst, payload := randomBytes(rnd, 16), randomBytes(rnd, 16), randomBytes(rnd, rnd.IntN(100))
		src[0], dst[0] = 0x20, 0xfd // keep them apart from mapped IPv4 addresses
		ip := &layers.IPv6{Version: 6, TrafficClass: uint8(rnd.Uint32()), NextHeader: layers.IPProtocolUDP,
			HopLimit: uint8(rnd.Uint32()), SrcIP: src, DstIP: dst}
		udp := &layers.UDP{SrcPort: layers.UDPPort(rnd.Uint32()), DstPort: layers.UDPPort(rnd.Uint32())}
		if err := udp.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
		want := serialize(t, ip, udp, gopacket.Payload(payload))

		got := bytes.Repeat([]byte{0xff}, len(want))
		b := ether.IPv6(got)
		b.SetVersion()
		b.SetTrafficClass(ip.TrafficClass)
		b.SetPayloadLen(len(got) - ether.IPv6HeaderLen)
		b.SetNextHeader(ether.ProtoUDP)
		b.SetHopLimit(ip.HopLimit)
		b.SetSrc(netip.AddrFrom16([16]byte(src)))
		b.SetDst(netip.AddrFrom16([16]byte(dst)))
		u := ether.UDP(b.Payload())
		u.SetSrcPort(uint16(udp.SrcPort))
		u.SetDstPort(uint16(udp.DstPort))
		u.SetLen(len(u))
		u.SetChecksum(0)
		copy(u.Payload(), payload)
		u.SetChecksum(^ether.Fold(ether.Sum(u, ether.PseudoSum6(b, ether.ProtoUDP, len(u)))))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("datagram (-want +got):\n%s", diff)
		}
	}
}

// Where a view says valid, gopacket decodes the same fields; nothing panics.
func FuzzIPv4(f *testing.F) {
	f.Add(vector4)                                        // options and padding
	f.Add(vector4[:19])                                   // cut off
	f.Add(append([]byte{0x4f, 0, 0, 60}, vector4[4:]...)) // header longer than the bytes
	f.Add(append([]byte{0x46, 0, 0, 24}, vector4[4:]...)) // no room for TCP
	f.Fuzz(func(t *testing.T, b []byte) {
		ip := ether.IPv4(b)
		if !ip.Valid() {
			return
		}
		if tcp := ether.TCP(ip.Payload()); tcp.Valid() {
			_, _, _ = tcp.Options(), tcp.Payload(), tcp.Checksum()
		}
		if udp := ether.UDP(ip.Payload()); udp.Valid() {
			_, _ = udp.Payload(), udp.Checksum()
		}
		var g layers.IPv4
		if err := g.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
			return // gopacket reads options too, and refuses some
		}
		if g.TOS != ip.TOS() || int(g.Length) != ip.TotalLen() || g.Id != ip.ID() || g.TTL != ip.TTL() ||
			uint8(g.Protocol) != ip.Protocol() || g.Checksum != ip.Checksum() ||
			!g.SrcIP.Equal(net.IP(ip.Src().AsSlice())) || !g.DstIP.Equal(net.IP(ip.Dst().AsSlice())) ||
			!bytes.Equal(g.Payload, ip.Payload()) {
			t.Errorf("%x: gopacket sees %+v", b, g)
		}
	})
}

func FuzzIPv6(f *testing.F) {
	f.Add(vector6)                                             // padding
	f.Add(vector6[:39])                                        // cut off
	f.Add(append([]byte{0x60, 0, 0, 0, 0, 3}, vector6[6:]...)) // no room for UDP
	f.Fuzz(func(t *testing.T, b []byte) {
		ip := ether.IPv6(b)
		if !ip.Valid() {
			return
		}
		if udp := ether.UDP(ip.Payload()); udp.Valid() {
			_, _ = udp.Payload(), udp.Checksum()
		}
		var g layers.IPv6
		if err := g.DecodeFromBytes(b, gopacket.NilDecodeFeedback); err != nil {
			return // gopacket reads hop-by-hop options too, and refuses some
		}
		if g.TrafficClass != ip.TrafficClass() || g.FlowLabel != ip.FlowLabel() || int(g.Length) != ip.PayloadLen() ||
			uint8(g.NextHeader) != ip.NextHeader() || g.HopLimit != ip.HopLimit() ||
			!g.SrcIP.Equal(net.IP(ip.Src().AsSlice())) || !g.DstIP.Equal(net.IP(ip.Dst().AsSlice())) {
			t.Errorf("%x: gopacket sees %+v", b, g)
		}
	})
}
