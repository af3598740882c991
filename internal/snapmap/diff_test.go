package snapmap

import (
	"maps"
	"math/rand/v2"
	"testing"
)

// TestRandomEditsDifferAsPlainMapsDo applies what Diff tells to a plain map, of
// maps a few edits apart, of maps far apart and of strangers.
func TestRandomEditsDifferAsPlainMapsDo(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	want := map[int]string{}
	m := (*Map[int, string])(nil)
	old, was := m, maps.Clone(want)
	for round := range 400 {
		e := m.Edit()
		for range 1 + r.IntN(1+round%5*200) {
			step(r, e, want, 20000, round/10)
		}
		m = e.Map()
		differ(t, old, m, was, want)
		differ(t, m, old, want, was)
		if round%3 == 0 {
			old, was = m, maps.Clone(want)
		}
	}
	stranger := New[int, string](mixed).Edit()
	stranger.Set(1, "x")
	differ(t, m, stranger.Map(), want, map[int]string{1: "x"})
	differ(t, m, nil, want, nil)
	differ(t, nil, m, nil, want)
}

// differ fails unless Diff tells exactly how to come from was to is.
func differ(t *testing.T, before, after *Map[int, string], was, is map[int]string) {
	t.Helper()
	got, n := maps.Clone(was), 0
	if got == nil {
		got = map[int]string{}
	}
	Diff(before, after, func(k int) {
		if _, ok := got[k]; !ok {
			t.Fatalf("%d is gone, and was not there, or told twice", k)
		}
		delete(got, k)
	}, func(k int, v string) {
		if old, ok := got[k]; ok && old == v {
			t.Fatalf("%d is %q as before, or told twice", k, v)
		}
		got[k] = v
		n++
	})
	if !maps.Equal(got, is) {
		t.Fatalf("after %d changes: not the same", n)
	}
}

// TestADifferenceCostsWhatWasChanged counts the entries that are looked at.
func TestADifferenceCostsWhatWasChanged(t *testing.T) {
	e := New[int, string](mixed).Edit()
	for i := range 200_000 {
		e.Set(i, "x")
	}
	m := e.Map()
	e = m.Edit()
	e.Set(7, "y")
	n := 0
	for range e.Map().unlike(m) {
		n++
	}
	if n == 0 || n > 12 {
		t.Errorf("looked at %d entries for one change, want those of a bucket", n)
	}
}
