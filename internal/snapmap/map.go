package snapmap

import (
	"iter"
	"math/bits"
)

// load is the number of entries per bucket that the map keeps to on average.
// A lookup that misses the caches pays for the bucket's header and for the
// lines of its entries: four entries of 40 bytes are two or three lines next
// to each other, and the header's 24 bytes add 6 to each entry.
const load = 4

// A Map holds values by key and never changes; see [Map.Edit] for the next
// one. Both the zero value and a nil *Map are empty maps, ready for use.
type Map[K comparable, V any] struct {
	hash    Hash[K]
	seed    uint64
	pages   pages[K, V]
	buckets int // n with (n-1)*load < len <= n*load
	mask    uint64
	len     int
}

// slot is one entry.
type slot[K comparable, V any] struct {
	key K
	val V
}

// New returns an empty map whose keys are hashed by hash, which all maps that
// are edited from it share. It is for keys that are looked up per frame; a map
// that begins as the zero value is hashed by the standard library, which takes
// any key, and more time.
func New[K comparable, V any](hash Hash[K]) *Map[K, V] { return &Map[K, V]{hash: hash} }

// Get returns the value under k. It does not allocate.
func (m *Map[K, V]) Get(k K) (v V, ok bool) {
	if m == nil || m.buckets == 0 {
		return v, false
	}
	b := *m.pages.at(m.index(k))
	for i := range b {
		if b[i].key == k {
			return b[i].val, true
		}
	}
	return v, false
}

// Len is the number of entries.
func (m *Map[K, V]) Len() int {
	if m == nil {
		return 0
	}
	return m.len
}

// All yields every entry once, in no particular order.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if m == nil {
			return
		}
		for i := range m.buckets {
			for _, s := range *m.pages.at(i) {
				if !yield(s.key, s.val) {
					return
				}
			}
		}
	}
}

// index is the number of the bucket that k belongs to. The map has at least
// one bucket.
func (m *Map[K, V]) index(k K) int { return bucketOf(m.hash(k, m.seed), m.mask, m.buckets) }

// resize sets the number of buckets that keys are distributed over.
func (m *Map[K, V]) resize(n int) { m.buckets, m.mask = n, maskFor(n) }

// bucketOf chooses among n buckets by the low bits of a hash: as many bits as
// the number n-1 has (mask), and one bit fewer where that names a bucket which
// does not exist yet, because its elder sibling has not been split.
func bucketOf(hash, mask uint64, n int) int {
	i := int(hash & mask)
	if i >= n {
		i = elder(i, mask)
	}
	return i
}

// elder is the bucket that bucket i, one of the upper half, was split from.
func elder(i int, mask uint64) int { return i & int(mask>>1) }

// maskFor covers the numbers below n with as few bits as possible.
func maskFor(n int) uint64 { return 1<<bits.Len(uint(max(n, 1)-1)) - 1 }
