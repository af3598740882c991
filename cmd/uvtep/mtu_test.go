package main

import (
	"net/netip"
	"testing"

	"github.com/uvtep/uvtep/internal/hostnet"
)

func TestAnIPv6UnderlayCosts70BytesOfMTU(t *testing.T) {
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	tests := []struct {
		name    string
		carrier hostnet.Underlay
		want    int
	}{
		{"IPv4", hostnet.Underlay{MTU: 1500, Addr: v4}, 1450},
		{"IPv6", hostnet.Underlay{MTU: 1500, Addr6: v6}, 1430},
	}
	for _, tt := range tests {
		m := member{agent: &agent{runFlags: new(runFlags)}}
		if got, err := m.overlayMTU(tt.carrier); err != nil || got != tt.want {
			t.Errorf("%s: got %d, %v, want %d", tt.name, got, err, tt.want)
		}
	}
}
