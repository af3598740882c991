package arpproxy

import (
	"net/netip"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
)

func TestReadTellsWhoAsksAboutWhom(t *testing.T) {
	asker, to := ether.Addr{2, 0, 0, 0, 0, 1}, ether.Addr{2, 0, 0, 0, 0, 2}
	for _, c := range []struct {
		name string
		f    ether.Frame
		want Message
		ok   bool
	}{
		{"an ARP probe", Ask(make([]byte, MaxLen), netip.MustParseAddr("10.10.2.7"), to, asker), Message{netip.IPv4Unspecified(), netip.MustParseAddr("10.10.2.7")}, true},
		{"a solicitation", Ask(make([]byte, MaxLen), netip.MustParseAddr("fd00::7"), to, asker), Message{netip.MustParseAddr("fe80::ff:fe00:1"), netip.MustParseAddr("fd00::7")}, true},
		{"an announcement", Announce(make([]byte, MaxLen), netip.MustParseAddr("10.10.2.7"), asker), Message{netip.MustParseAddr("10.10.2.7"), netip.MustParseAddr("10.10.2.7")}, true},
		{"something else", make(ether.Frame, 60), Message{}, false},
		{"a runt", make(ether.Frame, 3), Message{}, false},
	} {
		if got, ok := Read(c.f); ok != c.ok || ok && got != c.want {
			t.Errorf("%s: got %v, %t; want %v, %t", c.name, got, ok, c.want, c.ok)
		}
	}
}
