package snapmap

import (
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOldMapsAnswerAsBefore keeps a map at every stage of ten thousand edits
// and asks all of them again at the end.
func TestOldMapsAnswerAsBefore(t *testing.T) {
	type snapshot struct {
		m    *Map[int, string]
		want map[int]string
	}
	r := rand.New(rand.NewPCG(3, 4))
	want := map[int]string{}
	var kept []snapshot
	m := New[int, string](mixed)
	for i := range 10_000 {
		e := m.Edit()
		for range 1 + r.IntN(3) {
			step(r, e, want, 2000, i/1000)
		}
		m = e.Map()
		if i%250 == 0 {
			kept = append(kept, snapshot{m, maps.Clone(want)})
		}
	}
	for _, s := range kept {
		compare(t, s.m, s.want)
		wellFormed(t, s.m)
	}
}

func TestAnEditorMayGoOn(t *testing.T) {
	e := new(Map[int, string]).Edit()
	e.Set(1, "one")
	first := e.Map()
	e.Set(1, "uno")
	e.Set(2, "due")
	second := e.Map()
	e.Delete(1)
	third := e.Map()
	for _, c := range []struct {
		name string
		m    *Map[int, string]
		want map[int]string
	}{
		{"the first map", first, map[int]string{1: "one"}},
		{"the second map", second, map[int]string{1: "uno", 2: "due"}},
		{"the third map", third, map[int]string{2: "due"}},
	} {
		if got := maps.Collect(c.m.All()); !cmp.Equal(got, c.want) {
			t.Errorf("%s is %v, want %v", c.name, got, c.want)
		}
	}
}

func TestTwoEditsOfOneMapDoNotMeet(t *testing.T) {
	e := new(Map[int, string]).Edit()
	for i := range 1000 {
		e.Set(i, "old")
	}
	m := e.Map()
	a, b := m.Edit(), m.Edit()
	for i := range 1000 {
		a.Set(i, "a")
		b.Set(i, "b")
	}
	for i := range 1000 {
		for want, m := range map[string]*Map[int, string]{"old": m, "a": a.Map(), "b": b.Map()} {
			if got, _ := m.Get(i); got != want {
				t.Fatalf("Get(%d) = %q, want %q", i, got, want)
			}
		}
	}
}

func TestAnEditThatChangesNothingReturnsTheSameMap(t *testing.T) {
	e := new(Map[int, string]).Edit()
	e.Set(1, "one")
	m := e.Map()
	e = m.Edit()
	e.Delete(2)
	if got := e.Map(); got != m {
		t.Errorf("Map() = %p, want %p", got, m)
	}
}

func TestAnEditSeesItself(t *testing.T) {
	e := new(Map[int, string]).Edit()
	e.Set(1, "one")
	if v, ok := e.Get(1); !ok || v != "one" || e.Len() != 1 {
		t.Errorf("Get(1) = %q, %v and Len() = %d, want \"one\", true and 1", v, ok, e.Len())
	}
	if !e.Delete(1) || e.Delete(1) || e.Len() != 0 {
		t.Error("the first Delete(1) must find the entry, the second must not")
	}
}

// TestReadersNeedNoLock lets readers walk and look up in every map that an
// editor publishes. It is for the race detector; it also sees a map that is
// not all of one edit, since each edit gives all entries the same value.
func TestReadersNeedNoLock(t *testing.T) {
	const keys = 500
	var current atomic.Pointer[Map[int, int]]
	var done atomic.Bool
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for !done.Load() {
				m := current.Load()
				want, _ := m.Get(0)
				for k, v := range m.All() {
					if got, _ := m.Get(k); got != want || v != want {
						t.Errorf("key %d has %d and %d, want %d", k, got, v, want)
					}
				}
			}
		})
	}
	e := new(Map[int, int]).Edit()
	for round := range 200 {
		for k := range keys + round%7*100 {
			e.Set(k, round)
		}
		for k := keys + round%7*100; k < keys+600; k++ {
			e.Delete(k)
		}
		current.Store(e.Map())
	}
	done.Store(true)
	readers.Wait()
}

// TestOneEntryCostsAFewPages pins what the package is for: what an edit of one
// entry copies does not grow with the map, but for eight bytes of root per
// 16,384 entries.
func TestOneEntryCostsAFewPages(t *testing.T) {
	e := New[int, string](mixed).Edit()
	for i := range 200_000 {
		e.Set(i, "x")
	}
	m := e.Map()
	for _, c := range []struct {
		name   string
		edit   func(e *Editor[int, string])
		leaves int
	}{
		{"replacing copies the leaf of the entry", func(e *Editor[int, string]) { e.Set(7, "y") }, 1},
		{"adding may split: the entry's leaf, the elder's, the new one", func(e *Editor[int, string]) { e.Set(-1, "y") }, 3},
		{"deleting may join: the entry's leaf, the last, the elder's", func(e *Editor[int, string]) { e.Delete(7) }, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := m.Edit()
			c.edit(e)
			if n := len(leaves(m)) - shared(m, e.Map()); n > c.leaves {
				t.Errorf("%d leaves of %d are not shared, want at most %d", n, len(leaves(m)), c.leaves)
			}
		})
	}
	k := 0
	n := testing.AllocsPerRun(1000, func() {
		e := m.Edit()
		e.Set(k, "y")
		m = e.Map()
		k++
	})
	if n > 7 { // editor, owner, root, node, leaf, bucket, map
		t.Errorf("an edit of one entry allocates %v times, want at most 7", n)
	}
}

// leaves is every leaf of m.
func leaves(m *Map[int, string]) map[*leaf[int, string]]bool {
	all := map[*leaf[int, string]]bool{}
	for _, n := range m.pages.root {
		for _, l := range n.leaves {
			if l != nil {
				all[l] = true
			}
		}
	}
	return all
}

// shared counts the leaves that two maps have in common.
func shared(a, b *Map[int, string]) int {
	n, other := 0, leaves(b)
	for l := range leaves(a) {
		if other[l] {
			n++
		}
	}
	return n
}
