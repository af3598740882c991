package etcdsync

import (
	"iter"
	"math/bits"
)

// index finds things by the hash of something that they have, and keeps nothing
// but hash and pointer: what was hashed is read from the thing itself. It takes
// some 22 bytes a thing, where a map with the keys in it takes 50 to 110, and it
// grows by a fifth, where a map doubles. Whoever knows no better compares what
// it finds. The zero index is empty.
type index[T any] struct {
	slots []indexed[T] // in the order of their hashes, nearly: each at its home or behind it
	n     int
}

// indexed is a slot; one without a thing is empty.
type indexed[T any] struct {
	hash  uint64
	thing *T
}

// at yields the things that were added with a hash.
func (x *index[T]) at(hash uint64) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		if x.n == 0 {
			return
		}
		for i := x.home(hash); x.slots[i].thing != nil; i = x.after(i) {
			if x.slots[i].hash == hash && !yield(x.slots[i].thing) {
				return
			}
		}
	}
}

// all yields every thing as often as it was added. Nothing may be added or
// removed meanwhile.
func (x *index[T]) all() iter.Seq[*T] {
	return func(yield func(*T) bool) {
		for i := range x.slots {
			if t := x.slots[i].thing; t != nil && !yield(t) {
				return
			}
		}
	}
}

// add adds a thing under a hash, also when it is there already.
func (x *index[T]) add(hash uint64, t *T) {
	if x.n++; x.n*5 > len(x.slots)*4 {
		x.resize(x.n + x.n/2 + 1)
	}
	x.place(indexed[T]{hash, t})
}

// remove takes a thing out that was added under a hash, once.
func (x *index[T]) remove(hash uint64, t *T) {
	i := x.find(hash, t)
	if i < 0 {
		return
	}
	for next := x.after(i); x.slots[next].thing != nil; next = x.after(next) {
		if home := x.home(x.slots[next].hash); x.behind(next, home) >= x.behind(next, i) {
			x.slots[i], i = x.slots[next], next
		}
	}
	x.slots[i] = indexed[T]{}
	if x.n--; x.n*4 < len(x.slots) {
		x.resize(x.n + x.n/2 + 1)
	}
}

// replace puts a thing in the place of another one.
func (x *index[T]) replace(hash uint64, old, t *T) {
	if i := x.find(hash, old); i >= 0 {
		x.slots[i].thing = t
	}
}

// find returns the slot of a thing, -1 when it has none.
func (x *index[T]) find(hash uint64, t *T) int {
	if x.n == 0 {
		return -1
	}
	for i := x.home(hash); x.slots[i].thing != nil; i = x.after(i) {
		if x.slots[i].hash == hash && x.slots[i].thing == t {
			return i
		}
	}
	return -1
}

func (x *index[T]) place(s indexed[T]) {
	i := x.home(s.hash)
	for x.slots[i].thing != nil {
		i = x.after(i)
	}
	x.slots[i] = s
}

func (x *index[T]) resize(n int) {
	old := x.slots
	x.slots = make([]indexed[T], max(n, 4))
	for _, s := range old {
		if s.thing != nil {
			x.place(s)
		}
	}
}

// home is where a hash belongs: slots are shared out by its upper bits, so that
// there may be any number of them.
func (x *index[T]) home(hash uint64) int {
	i, _ := bits.Mul64(hash, uint64(len(x.slots)))
	return int(i)
}

// after is the slot behind slot i.
func (x *index[T]) after(i int) int {
	if i++; i == len(x.slots) {
		return 0
	}
	return i
}

// behind is how far slot i is behind slot j.
func (x *index[T]) behind(i, j int) int {
	if i < j {
		i += len(x.slots)
	}
	return i - j
}
