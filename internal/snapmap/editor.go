package snapmap

import (
	"math/rand/v2"
	"slices"
)

// An Editor prepares the map that follows another one. It belongs to one
// goroutine; nobody sees its changes before Map.
type Editor[K comparable, V any] struct {
	m     Map[K, V]  // as edited; pages that carry owner are private
	last  *Map[K, V] // what Map returned last, or what Edit began with
	owner *owner     // nil while m is the same as last
}

// Edit begins a new map that starts with the entries of m. m stays as it is.
func (m *Map[K, V]) Edit() *Editor[K, V] {
	e := &Editor[K, V]{last: m}
	if m != nil {
		e.m = *m
	}
	return e
}

// Map returns the map as edited so far: the one that Edit was called on, when
// nothing was changed. The editor may go on; the returned map does not change
// any more.
func (e *Editor[K, V]) Map() *Map[K, V] {
	if e.owner != nil || e.last == nil {
		m := e.m
		e.last, e.owner = &m, nil
	}
	return e.last
}

// Get returns the value under k as the edit has it.
func (e *Editor[K, V]) Get(k K) (V, bool) { return e.m.Get(k) }

// Len is the number of entries as the edit has it.
func (e *Editor[K, V]) Len() int { return e.m.len }

// Set puts v under k, in place of what was there.
func (e *Editor[K, V]) Set(k K, v V) {
	e.own()
	if e.m.buckets == 0 {
		e.begin()
	}
	b := e.m.pages.write(e.owner, e.m.index(k))
	if i := find(*b, k); i >= 0 {
		*b = slices.Clone(*b)
		(*b)[i].val = v
		return
	}
	*b = slices.Concat(*b, []slot[K, V]{{k, v}})
	e.m.len++
	if e.m.len > e.m.buckets*load {
		e.split()
	}
}

// Delete removes what is under k and reports whether there was anything.
func (e *Editor[K, V]) Delete(k K) bool {
	if _, ok := e.m.Get(k); !ok {
		return false
	}
	e.own()
	b := e.m.pages.write(e.owner, e.m.index(k))
	i := find(*b, k)
	*b = slices.Concat((*b)[:i], (*b)[i+1:])
	e.m.len--
	if e.m.len <= (e.m.buckets-1)*load {
		e.join()
	}
	return true
}

// own makes the root the editor's, unless it is already.
func (e *Editor[K, V]) own() {
	if e.owner != nil {
		return
	}
	e.owner = new(owner)
	e.m.pages.root = slices.Clone(e.m.pages.root)
}

// begin makes the first bucket, and with it draws what the hash begins with.
func (e *Editor[K, V]) begin() {
	e.m.seed = rand.Uint64()
	if e.m.hash == nil {
		e.m.hash = standard[K]()
	}
	e.m.resize(1)
	e.m.pages.write(e.owner, 0)
}

// split adds one bucket and gives it those entries of its elder sibling that
// now belong there.
func (e *Editor[K, V]) split() {
	last := e.m.buckets
	e.m.resize(last + 1)
	old := e.m.pages.write(e.owner, elder(last, e.m.mask))
	all, stay := slices.Clone(*old), 0
	for i, s := range all {
		if e.m.index(s.key) != last {
			all[i], all[stay] = all[stay], s
			stay++
		}
	}
	*old = slices.Clone(all[:stay]) // of exact size: buckets live long
	*e.m.pages.write(e.owner, last) = slices.Clone(all[stay:])
}

// join takes the last bucket away and gives its entries back to its elder
// sibling.
func (e *Editor[K, V]) join() {
	last := e.m.buckets - 1
	rest := *e.m.pages.at(last)
	home := elder(last, e.m.mask)
	e.m.pages.drop(e.owner, last)
	e.m.resize(last)
	if len(rest) > 0 {
		b := e.m.pages.write(e.owner, home)
		*b = slices.Concat(*b, rest)
	}
}

// find is the place of k in a bucket, -1 when it is not there.
func find[K comparable, V any](b []slot[K, V], k K) int {
	return slices.IndexFunc(b, func(s slot[K, V]) bool { return s.key == k })
}
