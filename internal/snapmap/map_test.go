package snapmap

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// hashings are the two ways a map may be hashed, and one that a hostile world
// would choose.
var hashings = []struct {
	name string
	make func() *Map[int, string]
}{
	{"hashed by the standard library", func() *Map[int, string] { return nil }},
	{"hashed by a function of its own", func() *Map[int, string] { return New[int, string](mixed) }},
	{"hashed so that all keys collide", func() *Map[int, string] {
		return New[int, string](func(int, uint64) uint64 { return 42 })
	}},
}

func mixed(k int, seed uint64) uint64 { return Mix(uint64(k)^0x9e3779b97f4a7c15, seed) }

func TestEmptyMapsAreMaps(t *testing.T) {
	for _, c := range []struct {
		name string
		m    *Map[int, string]
	}{
		{"a nil map", nil},
		{"the zero map", new(Map[int, string])},
		{"a new map", New[int, string](mixed)},
		{"a map of a nil map's edit", (*Map[int, string])(nil).Edit().Map()},
		{"a map that lost its last entry", emptied()},
	} {
		t.Run(c.name, func(t *testing.T) {
			if v, ok := c.m.Get(0); ok || v != "" {
				t.Errorf("Get(0) = %q, %v, want nothing", v, ok)
			}
			if got := c.m.Len(); got != 0 {
				t.Errorf("Len() = %d, want 0", got)
			}
			for k, v := range c.m.All() {
				t.Errorf("All yields %d: %q, want nothing", k, v)
			}
			e := c.m.Edit()
			if e.Delete(7) {
				t.Error("Delete(7) = true, want false")
			}
			e.Set(7, "seven")
			if v, ok := e.Map().Get(7); !ok || v != "seven" {
				t.Errorf("after Set: Get(7) = %q, %v, want \"seven\", true", v, ok)
			}
		})
	}
}

func emptied() *Map[int, string] {
	e := (*Map[int, string])(nil).Edit()
	for i := range 100 {
		e.Set(i, "x")
	}
	for i := range 100 {
		e.Delete(i)
	}
	return e.Map()
}

// TestRandomEditsAgreeWithAPlainMap sets and deletes at random, with phases
// that grow the map beyond a node and phases that shrink it to nothing, and
// compares it with a plain map all along.
func TestRandomEditsAgreeWithAPlainMap(t *testing.T) {
	for _, h := range hashings {
		t.Run(h.name, func(t *testing.T) {
			rounds, keys := 24, 30000
			if h.name == hashings[2].name {
				rounds, keys = 20, 200 // every edit walks over all entries
			}
			r := rand.New(rand.NewPCG(1, 2))
			want := map[int]string{}
			m := h.make()
			for round := range rounds {
				e := m.Edit()
				for range r.IntN(keys) {
					step(r, e, want, keys, round)
				}
				m = e.Map()
				compare(t, m, want)
				wellFormed(t, m)
			}
		})
	}
}

// step changes e and want in the same way.
func step(r *rand.Rand, e *Editor[int, string], want map[int]string, keys, round int) {
	k := r.IntN(keys)
	if shrinking := round%8 >= 4; r.IntN(10) < 2 != shrinking {
		delete(want, k)
		e.Delete(k)
		return
	}
	v := string(rune('a' + r.IntN(26)))
	want[k] = v
	e.Set(k, v)
}

// compare tells where m and want differ.
func compare(t *testing.T, m *Map[int, string], want map[int]string) {
	t.Helper()
	if got := m.Len(); got != len(want) {
		t.Errorf("Len() = %d, want %d", got, len(want))
	}
	if got := maps.Collect(m.All()); !maps.Equal(got, want) {
		t.Fatalf("All differs (-got +want):\n%s", cmp.Diff(got, want))
	}
	for k, v := range want {
		if got, ok := m.Get(k); !ok || got != v {
			t.Fatalf("Get(%d) = %q, %v, want %q, true", k, got, ok, v)
		}
	}
	if v, ok := m.Get(-1); ok {
		t.Fatalf("Get(-1) = %q, true, want false", v)
	}
}

// wellFormed checks what the comments promise of the inside.
func wellFormed(t *testing.T, m *Map[int, string]) {
	t.Helper()
	if n := m.buckets; m.len > n*load || n > 0 && m.len <= (n-1)*load {
		t.Errorf("%d buckets for %d entries, want the fewest that hold %d each", n, m.len, load)
	}
	if got, want := len(m.pages.root), (m.buckets+fan*fan-1)/(fan*fan); got != want {
		t.Errorf("%d nodes for %d buckets, want %d", got, m.buckets, want)
	}
	leaves := len(leaves(m))
	if want := (m.buckets + fan - 1) / fan; leaves != want {
		t.Errorf("%d leaves for %d buckets, want %d", leaves, m.buckets, want)
	}
	for i := range m.buckets {
		for _, s := range *m.pages.at(i) {
			if at := m.index(s.key); at != i {
				t.Errorf("key %d lies in bucket %d, want %d", s.key, i, at)
			}
		}
	}
}

func TestAllStopsWhenAsked(t *testing.T) {
	e := new(Map[int, string]).Edit()
	for i := range 100 {
		e.Set(i, "")
	}
	n := 0
	for range e.Map().All() {
		if n++; n == 3 {
			break
		}
	}
	if n != 3 {
		t.Errorf("loop ran %d times, want 3", n)
	}
}

func TestBucketsAreNumberedByTheLowBitsOfTheHash(t *testing.T) {
	for _, c := range []struct {
		name string
		hash uint64
		n    int
		want int
	}{
		{"one bucket takes all", 0xffff, 1, 0},
		{"a power of two takes the bits it has", 0b1110, 4, 0b10},
		{"a bucket that exists is taken", 0b100, 5, 0b100},
		{"one that does not exist yet is still with its elder", 0b101, 5, 0b001},
		{"so is the last one of the row", 0b111, 7, 0b011},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := bucketOf(c.hash, maskFor(c.n), c.n); got != c.want {
				t.Errorf("bucketOf(%b, %d) = %b, want %b", c.hash, c.n, got, c.want)
			}
		})
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	for _, h := range hashings {
		t.Run(h.name, func(t *testing.T) {
			e := h.make().Edit()
			for i := range 1000 {
				e.Set(i, "x")
			}
			m := e.Map()
			k := 0
			if n := testing.AllocsPerRun(1000, func() { m.Get(k); m.Get(-k); k++ }); n != 0 {
				t.Errorf("Get allocates %v times, want 0", n)
			}
		})
	}
}
