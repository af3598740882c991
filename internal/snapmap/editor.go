package snapmap

import "hash/maphash"

// An Editor prepares the map that follows another one. It belongs to one
// goroutine; nobody sees its changes before Map.
type Editor[K comparable, V any] struct {
	m     Map[K, V] // pages that carry owner are private, the others shared
	owner *owner
}

// Edit begins a new map that starts with the entries of m. m stays as it is.
func (m *Map[K, V]) Edit() *Editor[K, V] {
	e := &Editor[K, V]{owner: new(owner)}
	if m != nil {
		e.m = *m
		e.m.pages = m.pages.clone()
	}
	return e
}

// Map returns the map as edited so far. The editor may go on; the returned map
// does not change any more.
func (e *Editor[K, V]) Map() *Map[K, V] {
	m := e.m
	m.pages = e.m.pages.clone()
	e.owner = new(owner)
	return &m
}

// Get returns the value under k as the edit has it.
func (e *Editor[K, V]) Get(k K) (V, bool) { return e.m.Get(k) }

// Len is the number of entries as the edit has it.
func (e *Editor[K, V]) Len() int { return e.m.len }

// Set puts v under k, in place of what was there.
func (e *Editor[K, V]) Set(k K, v V) {
	if e.m.buckets == 0 {
		e.begin()
	}
	b := e.m.pages.write(e.owner, e.m.index(k))
	if i := find(*b, k); i >= 0 {
		*b = with(*b, i, slot[K, V]{k, v})
		return
	}
	*b = with(*b, len(*b), slot[K, V]{k, v})
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
	b := e.m.pages.write(e.owner, e.m.index(k))
	*b = without(*b, find(*b, k))
	e.m.len--
	if e.m.len <= (e.m.buckets-1)*load {
		e.join()
	}
	return true
}

// begin makes the first bucket.
func (e *Editor[K, V]) begin() {
	e.m.seed = maphash.MakeSeed()
	e.resize(1)
	e.m.pages.write(e.owner, 0)
}

// resize sets the number of buckets.
func (e *Editor[K, V]) resize(n int) {
	e.m.buckets = n
	e.m.mask = maskFor(max(n, 1))
}

// split adds one bucket and moves to it what its elder sibling, the bucket
// with the same number less its highest bit, holds for it.
func (e *Editor[K, V]) split() {
	last := e.m.buckets
	e.resize(last + 1)
	elder := e.m.pages.write(e.owner, last&int(e.m.mask>>1))
	younger := e.m.pages.write(e.owner, last)
	all := *elder
	*elder, *younger = nil, nil
	moved := 0
	for i := range all {
		if e.m.index(all[i].key) == last {
			moved++
		}
	}
	stay, move := make([]slot[K, V], 0, len(all)-moved), make([]slot[K, V], 0, moved)
	for _, s := range all {
		if e.m.index(s.key) == last {
			move = append(move, s)
		} else {
			stay = append(stay, s)
		}
	}
	*elder, *younger = stay, move
}

// join takes the last bucket away and gives its entries back to its elder
// sibling.
func (e *Editor[K, V]) join() {
	last := e.m.buckets - 1
	rest := *e.m.pages.at(last)
	elder := last & int(e.m.mask>>1)
	e.m.pages.drop(e.owner, last)
	e.resize(last)
	if len(rest) == 0 || last == 0 {
		return
	}
	b := e.m.pages.write(e.owner, elder)
	*b = append((*b)[:len(*b):len(*b)], rest...)
}

// find is the place of k in a bucket, -1 when it is not there.
func find[K comparable, V any](b []slot[K, V], k K) int {
	for i := range b {
		if b[i].key == k {
			return i
		}
	}
	return -1
}

// with is a copy of b with s at place i, which may be the one behind the last.
func with[K comparable, V any](b []slot[K, V], i int, s slot[K, V]) []slot[K, V] {
	c := make([]slot[K, V], max(len(b), i+1))
	copy(c, b)
	c[i] = s
	return c
}

// without is a copy of b that lacks place i.
func without[K comparable, V any](b []slot[K, V], i int) []slot[K, V] {
	if len(b) == 1 {
		return nil
	}
	c := make([]slot[K, V], len(b)-1)
	copy(c, b[:i])
	copy(c[i:], b[i+1:])
	return c
}
