package ether_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
)

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

func TestSetTrafficClassLeavesVersionAndFlowLabelAlone(t *testing.T) {
	ip := ether.IPv6(bytes.Clone(vector6))
	for class := range 256 {
		ip.SetTrafficClass(uint8(class))
		if ip[0]>>4 != 6 || ip.TrafficClass() != uint8(class) || ip.FlowLabel() != 0x12345 || !bytes.Equal(ip[4:], vector6[4:]) {
			t.Fatalf("class %#x makes the header %x", class, ip[:8])
		}
	}
}
