package snapmap

import (
	"hash/maphash"
	"iter"
	"math/bits"
)

// load is the number of entries per bucket that the map keeps to on average.
// A lookup that misses the caches pays for the bucket's header and for the
// lines of its entries: at three entries of 40 bytes that is about two lines,
// and the header's 24 bytes add 8 to each entry.
const load = 3

// A Map holds values by key and never changes; see [Map.Edit] for the next
// one. Both the zero value and a nil *Map are empty maps, ready for use.
type Map[K comparable, V any] struct {
	seed    maphash.Seed // set with the first bucket
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
		for i := range m.size() {
			for _, s := range *m.pages.at(i) {
				if !yield(s.key, s.val) {
					return
				}
			}
		}
	}
}

// size is the number of buckets, also of a nil map.
func (m *Map[K, V]) size() int {
	if m == nil {
		return 0
	}
	return m.buckets
}

// index is the number of the bucket that k belongs to. The map has at least
// one bucket.
func (m *Map[K, V]) index(k K) int {
	return bucketOf(maphash.Comparable(m.seed, k), m.mask, m.buckets)
}

// bucketOf chooses among n buckets by the low bits of a hash: as many bits as
// number n-1 needs (mask), and one bit fewer where that names a bucket which
// does not exist yet, because its elder sibling has not been split.
func bucketOf(hash, mask uint64, n int) int {
	i := int(hash & mask)
	if i >= n {
		i = int(hash & (mask >> 1))
	}
	return i
}

// maskFor is the bit mask that covers the numbers of n buckets.
func maskFor(n int) uint64 {
	return 1<<bits.Len(uint(n-1)) - 1
}
