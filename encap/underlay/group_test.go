package underlay

import (
	"net/netip"
	"testing"

	"github.com/uvtep/uvtep/encap"
)

// As many groups as there can be make their slots collide: each datagram must
// still land in the group of its own source and VTEP.
func TestGroupsKeepSourcesAndVTEPsApart(t *testing.T) {
	var ds []encap.Datagram
	for i := range 2 * maxGroups {
		peer := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i / 8 % 8)}), encap.Port)
		ds = append(ds, encap.Datagram{Peer: peer, Flow: uint32(i % 8)})
	}
	g := &groups{next: make([]int32, len(ds))}
	g.reset()
	for i := range ds {
		if !g.add(int32(i), &ds[i], 0, uint16(ds[i].Flow)) {
			t.Fatalf("datagram %d found no group", i)
		}
	}
	seen := 0
	for _, e := range g.list[:g.n] {
		for i := e.head; i != none; i = g.next[i] {
			seen++
			if d := ds[i]; uint16(d.Flow) != e.source || d.Peer != e.peer {
				t.Errorf("datagram %d of source %d to %v is in the group of source %d to %v", i, d.Flow, d.Peer, e.source, e.peer)
			}
		}
	}
	if g.n != maxGroups || seen != len(ds) {
		t.Errorf("got %d groups of %d datagrams, want %d of %d", g.n, seen, maxGroups, len(ds))
	}
	if g.add(0, &encap.Datagram{Peer: netip.MustParseAddrPort("192.0.2.99:1")}, 0, 0) {
		t.Error("one group too many was taken")
	}
}
