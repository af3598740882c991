package ledger

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func vtep(i int) netip.Addr {
	if i%3 == 0 {
		return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 14: byte(i >> 8), 15: byte(i)})
	}
	return netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})
}

// naive counts as one would without a thought for speed or room.
type naive map[netip.Addr]Sum

func (n naive) add(a netip.Addr, frames, bytes int) {
	n[a] = Sum{n[a].Frames + uint64(frames), n[a].Bytes + uint64(bytes)}
}

func TestSumsAreThoseOfANaiveLedger(t *testing.T) {
	w := rand.New(rand.NewPCG(1, 2))
	var l Ledger
	want := naive{}
	for range 4 {
		b := l.Open()
		for range 20000 {
			a, frames := vtep(w.IntN(Room)), 1+w.IntN(64)
			for range 1 + w.IntN(3) {
				b.Add(a, frames, frames*100)
				want.add(a, frames, frames*100)
			}
			if w.IntN(10) == 0 {
				b.Settle()
			}
		}
		b.Settle()
	}
	got, others := l.Sums()
	if d := cmp.Diff(naive(got), want, cmpopts.EquateComparable(netip.Addr{})); d != "" || others != (Sum{}) {
		t.Errorf("others %v, sums (-got +want):\n%s", others, d)
	}
}

func TestVTEPsWithoutRoomShareAPage(t *testing.T) {
	var l Ledger
	b := l.Open()
	for range 2 {
		for i := range Room + 50 {
			b.Add(vtep(i), 1, 10)
		}
	}
	b.Settle()
	got, others := l.Sums()
	if len(got) != Room || others != (Sum{100, 1000}) {
		t.Errorf("got %d VTEPs, others %v; want %d and 2 frames of each of the 50 others", len(got), others, Room)
	}
	for a, s := range got {
		if s != (Sum{2, 20}) {
			t.Errorf("%s: got %v, want 2 frames", a, s)
		}
	}
}

// Books that hear of VTEPs in another order have others apart.
func TestSumsTellAsManyVTEPsAsABook(t *testing.T) {
	var l Ledger
	first, second := l.Open(), l.Open()
	for i := range Room {
		first.Add(vtep(i), 1, 1)
	}
	first.Settle()
	before, _ := l.Sums()
	for i := range Room {
		second.Add(vtep(i+Room/2), 1, 1)
	}
	second.Settle()
	got, others := l.Sums()
	if len(got) != Room || others != (Sum{Room / 2, Room / 2}) {
		t.Errorf("got %d VTEPs, others %v; want %d and the %d that came last", len(got), others, Room, Room/2)
	}
	for a := range before {
		if got[a].Frames < before[a].Frames {
			t.Errorf("%s: %v after %v", a, got[a], before[a])
		}
	}
}

func TestClosedBookGoesOn(t *testing.T) {
	var l Ledger
	for range 100 {
		b := l.Open()
		b.Add(vtep(1), 1, 10)
		l.Close(b)
	}
	if got, _ := l.Sums(); got[vtep(1)] != (Sum{100, 1000}) || len(l.all) != 1 {
		t.Errorf("got %v in %d books, want 100 frames in one", got, len(l.all))
	}
}

func TestBooksThatAreClosedGoToOneEach(t *testing.T) {
	var l Ledger
	first, second := l.Open(), l.Open()
	l.Close(first)
	l.Close(second)
	if a, b, c := l.Open(), l.Open(), l.Open(); a == b || b == c || a == c || len(l.all) != 3 {
		t.Errorf("two goroutines have one book, or there are %d and not 3", len(l.all))
	}
}

func TestNilCountsNothing(t *testing.T) {
	var l *Ledger
	b := l.Open()
	b.Add(vtep(1), 1, 1)
	b.Settle()
	l.Close(b)
	if got, others := l.Sums(); len(got) != 0 || others != (Sum{}) {
		t.Errorf("got %v, %v", got, others)
	}
}

func TestReadersSeeSettledCountsOnly(t *testing.T) {
	var l Ledger
	b := l.Open()
	b.Add(vtep(1), 3, 30)
	if got, _ := l.Sums(); got[vtep(1)] != (Sum{}) {
		t.Errorf("before Settle: got %v", got)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 20000 {
			b.Add(vtep(i%300), 1, 10)
			b.Settle()
		}
	})
	for range 100 {
		by, _ := l.Sums()
		for a, s := range by {
			if !a.IsValid() || a == netip.IPv6Unspecified() {
				t.Fatalf("read a VTEP that is none: %v %v", a, s)
			}
		}
	}
	wg.Wait()
}

func TestClasses(t *testing.T) {
	for _, c := range []struct{ n, want int }{
		{0, 0}, {1, 0}, {2, 1}, {3, 2}, {4, 2}, {5, 3}, {8, 3}, {16, 4}, {17, 5}, {64, 6}, {65, 7}, {128, 7}, {129, 8}, {1 << 30, 8},
	} {
		if got := Class(c.n); got != c.want {
			t.Errorf("Class(%d): got %d, want %d", c.n, got, c.want)
		}
	}
	var s Sizes
	s.Add(1)
	s.Add(3)
	var few Few
	few.Add(500)
	s.AddFew(&few)
	var h Histogram
	h.Add(&s)
	h.Add(&s)
	want := Histogram{Classes: [Classes]uint64{0: 2, 2: 2, 8: 2}, Sum: 1008}
	if h != want || h.Count() != 6 {
		t.Errorf("got %v of %d, want %v of 6", h, h.Count(), want)
	}
	h.Merge(Histogram{Classes: [Classes]uint64{0: 1, 1: 5}, Sum: 11})
	want = Histogram{Classes: [Classes]uint64{0: 3, 1: 5, 2: 2, 8: 2}, Sum: 1019}
	if h != want {
		t.Errorf("merged: got %v, want %v", h, want)
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	var l Ledger
	b := l.Open()
	var s Sizes
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		b.Add(vtep(i), 2, 200)
		b.Add(vtep(i), 2, 200)
		b.Settle()
		s.Add(i)
		i++
	}); n != 0 {
		t.Errorf("got %v allocations", n)
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, vteps := range []int{1, 8, 250, 1000} {
		b.Run(fmt.Sprintf("vteps=%d", vteps), func(b *testing.B) {
			var l Ledger
			book := l.Open()
			all := make([]netip.Addr, vteps)
			for i := range all {
				all[i] = vtep(3*i + 1)
			}
			i := 0
			for b.Loop() {
				book.Add(all[i], 1, 1400)
				if i++; i == vteps {
					i = 0
				}
			}
		})
	}
}
