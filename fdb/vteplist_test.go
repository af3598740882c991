package fdb

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// listed are the destinations of a list, in its order.
func listed(l VTEPs) (to []netip.AddrPort) {
	for v := range l.All() {
		to = append(to, v.To)
	}
	return to
}

// broken tells what is wrong with the inside of a list.
func broken(l VTEPs) error {
	n := 0
	for i, c := range l.chunks {
		if len(c) == 0 || len(c) > chunkLen {
			return fmt.Errorf("piece %d has %d VTEPs", i, len(c))
		}
		n += len(c)
	}
	if n != l.Len() {
		return fmt.Errorf("%d VTEPs, and Len says %d", n, l.Len())
	}
	if most := 4*n/chunkLen + 2; len(l.chunks) > most {
		return fmt.Errorf("%d VTEPs in %d pieces, want %d at most", n, len(l.chunks), most)
	}
	return nil
}

// A list grows and shrinks, by any VTEP, and every one that there ever was stays as
// it was.
func TestListsOfVTEPsFollowASetAndNeverChange(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var list VTEPs
	want := map[netip.AddrPort]bool{}
	type kept struct {
		list VTEPs
		to   []netip.AddrPort
	}
	var old []kept
	for i := range 20_000 {
		grows := i/2500%2 == 0 // for a while, then it shrinks to next to nothing
		v := &VTEP{To: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(r.IntN(8)), byte(r.IntN(256))}), 4789)}
		if n := list.Len(); !grows && n > 0 {
			v = slices.Collect(list.All())[r.IntN(n)]
		}
		switch {
		case want[v.To] && (!grows || r.IntN(4) == 0):
			list = list.without(v)
			delete(want, v.To)
		case !want[v.To] && (grows || r.IntN(4) == 0):
			list = list.with(v)
			want[v.To] = true
		case !want[v.To]:
			if l := list.without(v); !slices.Equal(listed(l), listed(list)) {
				t.Fatal("a VTEP that is not there was taken out")
			}
		}
		if err := broken(list); err != nil {
			t.Fatalf("after %d changes: %v", i, err)
		}
		if i%500 == 0 {
			to := slices.SortedFunc(maps.Keys(want), netip.AddrPort.Compare)
			if got := listed(list); !slices.Equal(got, to) {
				t.Fatalf("after %d changes: got %v, want %v", i, got, to)
			}
			old = append(old, kept{list, to})
		}
	}
	for i, k := range old {
		if got := listed(k.list); !slices.Equal(got, k.to) {
			t.Errorf("list %d: has become %v, was %v", i, got, k.to)
		}
	}
}

func TestAChangeOfALargeListCopiesLittleOfIt(t *testing.T) {
	var list VTEPs
	for i := range 10_000 {
		list = list.with(&VTEP{To: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 4789)})
	}
	v := &VTEP{To: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 8, 8}), 1)}
	next := list.with(v)
	same := 0
	for _, c := range next.chunks {
		if slices.ContainsFunc(list.chunks, func(o []*VTEP) bool { return &o[0] == &c[0] }) {
			same++
		}
	}
	if len(next.chunks)-same > 2 {
		t.Errorf("%d of %d pieces are new", len(next.chunks)-same, len(next.chunks))
	}
	var n int
	if allocs := testing.AllocsPerRun(10, func() {
		for range next.All() {
			n++
		}
	}); allocs != 0 {
		t.Errorf("%v allocations to go through it", allocs)
	}
}
