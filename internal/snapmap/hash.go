package snapmap

import (
	"hash/maphash"
	"math/bits"
)

// Hash is a hash function over keys. Its low bits choose the bucket. The seed
// is drawn at random for each map, so that the buckets of known keys are not
// known.
type Hash[K comparable] func(k K, seed uint64) uint64

// Mix is what to build a Hash for two words from: it multiplies them and folds
// the 128 bits of the product, so that every bit of the result depends on all
// bits of both. One of them should be the seed or a key combined with it.
func Mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

// standard is the hash of maps for which nobody gave one.
func standard[K comparable]() Hash[K] {
	seed := maphash.MakeSeed()
	return func(k K, _ uint64) uint64 { return maphash.Comparable(seed, k) }
}
