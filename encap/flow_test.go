package encap_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

func TestFlowHashIsTheSameForAllFramesOfAFlow(t *testing.T) {
	base := flow{src: 1000, dst: 2000, data: "first"}
	tests := []struct {
		name string
		a, b ether.Frame
	}{
		{"other data, identification and TOS", base.frame(t), flow{src: 1000, dst: 2000, data: "and another", id: 7, tos: 0xb9}.frame(t)},
		{"IP options", base.frame(t), flow{src: 1000, dst: 2000, options: true}.frame(t)},
		{"a VLAN tag", base.frame(t), tag(base.frame(t))},
		{"padding behind the IP length", base.frame(t), append(base.frame(t), 1, 2, 3)},
		{"IPv6, other data and class", flow{v6: true, src: 1, dst: 2}.frame(t), flow{v6: true, src: 1, dst: 2, tos: 0xff, data: "x"}.frame(t)},
		{"the first and a later IPv4 fragment", flow{src: 1, fragment: 0x2000}.frame(t), flow{src: 0xffff, fragment: 0x00b9}.frame(t)},
		{"IPv4 fragments of different datagrams", flow{id: 1, src: 9, fragment: 0x2000}.frame(t), flow{id: 2, fragment: 0x2001}.frame(t)},
		{"IPv6 fragments, first and later", fragment6(t, 1, "\x00\x01"), fragment6(t, 8, "data")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if a, b := encap.FlowHash(tt.a), encap.FlowHash(tt.b); a != b {
				t.Errorf("hashes %#x and %#x, want the same", a, b)
			}
		})
	}
}

// fragment6 builds an IPv6 fragment; word is offset·8 and the M flag.
func fragment6(t testing.TB, word byte, data string) ether.Frame {
	body := append([]byte{17, 0, 0, word, 0, 0, 0, 1}, data...)
	return serialize(t, eth(layers.EthernetTypeIPv6), &layers.IPv6{
		Version: 6, NextHeader: layers.IPProtocolIPv6Fragment, HopLimit: 64,
		SrcIP: make([]byte, 16), DstIP: make([]byte, 16),
	}, gopacket.Payload(body))
}

func TestFlowHashTellsFlowsApart(t *testing.T) {
	udp4, udp6 := flow{src: 1000, dst: 2000}, flow{v6: true, src: 1000, dst: 2000}
	arp := func(last byte) ether.Frame {
		return append(ether.Frame{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, last, 0x08, 0x06}, make([]byte, 28)...)
	}
	other := func(fl flow, change func(*flow)) ether.Frame {
		change(&fl)
		return fl.frame(t)
	}
	tests := []struct {
		name string
		a, b ether.Frame
	}{
		{"source port", udp4.frame(t), other(udp4, func(f *flow) { f.src++ })},
		{"destination port", udp4.frame(t), other(udp4, func(f *flow) { f.dst++ })},
		{"protocol", udp4.frame(t), other(udp4, func(f *flow) { f.proto = layers.IPProtocolTCP })},
		{"IPv6 protocol", udp6.frame(t), other(udp6, func(f *flow) { f.proto = layers.IPProtocolTCP })},
		{"address", udp4.frame(t), other(udp4, func(f *flow) { f.host++ })},
		{"SCTP ports", flow{proto: 132, src: 1}.frame(t), flow{proto: 132, src: 2}.frame(t)},
		{"IPv6 source port", udp6.frame(t), other(udp6, func(f *flow) { f.src++ })},
		{"IPv6 address", udp6.frame(t), other(udp6, func(f *flow) { f.host++ })},
		{"MAC address where there is no IP", arp(1), arp(2)},
		{"a fragment and a whole datagram", udp4.frame(t), other(udp4, func(f *flow) { f.fragment = 0x2000 })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if a, b := encap.FlowHash(tt.a), encap.FlowHash(tt.b); a == b {
				t.Errorf("both hash to %#x", a)
			}
		})
	}
}

// Every bit of what makes a flow counts, and no other.
func TestFlowHashDependsOnEveryBitOfAFlowAndNoOther(t *testing.T) {
	tests := []struct {
		name string
		in   ether.Frame
		key  [][2]int // ranges of bytes
		skip [][2]int // ranges that make it another kind of frame
	}{
		{"IPv4 addresses and ports", flow{src: 1, dst: 2, data: "data"}.frame(t), [][2]int{{26, 38}}, [][2]int{{12, 15}, {16, 18}, {20, 22}, {23, 24}}},
		{"IPv6 addresses and ports", flow{v6: true, src: 1, dst: 2, data: "data"}.frame(t), [][2]int{{22, 58}}, [][2]int{{12, 15}, {18, 21}}},
		{"IPv6 fragment addresses", fragment6(t, 8, "data"), [][2]int{{22, 54}}, [][2]int{{12, 15}, {18, 21}, {56, 58}}},
		{"MAC addresses and type", append(make(ether.Frame, 12), 0x88, 0xcc, 1, 2, 3), [][2]int{{0, 14}}, nil},
		{"IPv6 cut off", flow{v6: true}.frame(t)[:53], [][2]int{{0, 14}}, nil},
	}
	in := func(i int, ranges [][2]int) bool {
		return slices.ContainsFunc(ranges, func(r [2]int) bool { return i >= r[0] && i < r[1] })
	}
	for _, tt := range tests {
		want := encap.FlowHash(tt.in)
		for bit := range 8 * len(tt.in) {
			f := bytes.Clone(tt.in)
			f[bit/8] ^= 0x80 >> (bit % 8)
			if changed := encap.FlowHash(f) != want; changed != in(bit/8, tt.key) && !in(bit/8, tt.skip) {
				t.Errorf("%s: bit %d of byte %d changes the hash: %v", tt.name, bit%8, bit/8, changed)
			}
		}
	}
}

func TestFlowHashIgnoresWhatIsNoPort(t *testing.T) {
	a := flow{proto: layers.IPProtocolICMPv4, src: 0x0800, data: "a"}.frame(t)
	b := flow{proto: layers.IPProtocolICMPv4, src: 0x0000, data: "b"}.frame(t)
	if encap.FlowHash(a) != encap.FlowHash(b) {
		t.Error("echo request and answer of one direction hash apart")
	}
}

// 64 flows that differ in one port reach each of 8 sockets, by the low bits
// and by the high ones, and none gets more than a quarter.
func TestFlowHashSpreadsPortsOverSockets(t *testing.T) {
	for _, fl := range []flow{{}, {v6: true}, {proto: layers.IPProtocolTCP}, {v6: true, proto: layers.IPProtocolTCP}} {
		for _, shift := range []int{0, 13, 29} {
			var socket [8]int
			for i := range uint16(64) {
				fl.src, fl.dst = 40000+i, 5201
				socket[encap.FlowHash(fl.frame(t))>>shift&7]++
			}
			for _, n := range socket {
				if n == 0 || n > 16 {
					t.Errorf("%+v, bits from %d: sockets take %v, want 1 to 16 each", fl, shift, socket)
					break
				}
			}
		}
	}
}

func TestFlowHashOfTooShortAFrameIsZero(t *testing.T) {
	if got := encap.FlowHash(make(ether.Frame, 13)); got != 0 {
		t.Errorf("FlowHash = %#x, want 0", got)
	}
}

func FuzzFlowHash(f *testing.F) {
	f.Add([]byte(flow{src: 1}.frame(f)))            // whole
	f.Add([]byte(flow{src: 1}.frame(f))[:36])       // ports cut off
	f.Add([]byte(tag(flow{v6: true}.frame(f))))     // tagged
	f.Add([]byte(fragment6(f, 8, "x")))             // fragment
	f.Add([]byte(flow{}.frame(f))[:14])             // type without a header
	f.Add([]byte(bytes.Repeat([]byte{0x81, 0}, 9))) // tags and nothing else
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		if encap.FlowHash(b) != encap.FlowHash(before) {
			t.Error("the same bytes hash apart")
		}
		if !bytes.Equal(b, before) {
			t.Error("hashing changed the frame")
		}
	})
}

func TestNothingPerFrameAllocates(t *testing.T) {
	v4, v6, b := flow{src: 1}.frame(t), flow{v6: true}.frame(t), make([]byte, 8)
	for name, run := range map[string]func(){
		"FlowHash of IPv4": func() { _ = encap.FlowHash(v4) },
		"FlowHash of IPv6": func() { _ = encap.FlowHash(v6) },
		"OuterECN":         func() { _ = encap.OuterECN(v4) + encap.OuterECN(v6) },
		"InnerECN":         func() { _ = encap.InnerECN(v4, 3) && encap.InnerECN(v6, 3) },
		"PutHeader":        func() { encap.PutHeader(b, 7) },
	} {
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s allocates %v times a run, want 0", name, n)
		}
	}
}

func BenchmarkFlowHash(b *testing.B) {
	for name, f := range map[string]ether.Frame{
		"IPv4": flow{src: 1}.frame(b), "IPv6": flow{v6: true}.frame(b), "ARP": append(make(ether.Frame, 12), 8, 6),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var h uint32
			for b.Loop() {
				h ^= encap.FlowHash(f)
			}
		})
	}
}
