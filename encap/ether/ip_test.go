package ether_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
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
