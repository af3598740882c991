package encap_test

import (
	"testing"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

// DSCP and ECN go ways of their own: whatever happens to the one, the other is
// the inner packet's.
func TestOuterHeaderFollowsFromTheInnerOne(t *testing.T) {
	arp := make(ether.Frame, 60)
	ether.PutHeader(arp, ether.Addr{2}, ether.Addr{2, 1}, ether.TypeARP)
	inner4 := flow{tos: innerDSCP | ce}.frame(t)             // TTL 64
	inner6 := flow{v6: true, tos: innerDSCP | ect1}.frame(t) // hop limit 255
	fixed, both := encap.Outer{DSCP: outerDSCP}, encap.Outer{InheritDSCP: true, InheritTTL: true}
	for _, c := range []struct {
		name     string
		outer    encap.Outer
		frame    ether.Frame
		tos, ttl uint8
	}{
		{"nothing asked for, IPv4", encap.Outer{}, inner4, ce, 0},
		{"nothing asked for, IPv6", encap.Outer{}, inner6, ect1, 0},
		{"nothing asked for, ARP", encap.Outer{}, arp, 0, 0},
		{"fixed DSCP, IPv4", fixed, inner4, outerDSCP | ce, 0},
		{"fixed DSCP, IPv6", fixed, inner6, outerDSCP | ect1, 0},
		{"fixed DSCP, ARP", fixed, arp, outerDSCP, 0},
		{"inherited, IPv4", both, inner4, innerDSCP | ce, 64},
		{"inherited, IPv6", both, inner6, innerDSCP | ect1, 255},
		{"inherited, tagged", both, tag(inner6), innerDSCP | ect1, 255},
		{"inherited, ARP", both, arp, 0, 0},
		{"inherited, cut short", both, inner4[:20], 0, 0},
		{"TTL alone", encap.Outer{DSCP: outerDSCP, InheritTTL: true}, inner4, outerDSCP | ce, 64},
		{"DSCP alone", encap.Outer{InheritDSCP: true}, inner6, innerDSCP | ect1, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := c.outer.Datagram(c.frame)
			if d.TOS != c.tos || d.TTL != c.ttl || d.Flow != encap.FlowHash(c.frame) {
				t.Errorf("got TOS %#x TTL %d flow %#x, want %#x, %d, %#x", d.TOS, d.TTL, d.Flow, c.tos, c.ttl, encap.FlowHash(c.frame))
			}
		})
	}
}

func TestOuterHeaderDoesNotAllocate(t *testing.T) {
	f := flow{}.frame(t)
	for _, o := range []encap.Outer{{}, {InheritDSCP: true, InheritTTL: true}} {
		if n := testing.AllocsPerRun(100, func() { _ = o.Datagram(f) }); n != 0 {
			t.Errorf("%+v: %v allocations", o, n)
		}
	}
}
