package snapmap

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
)

// odd is 2^64 divided by the golden ratio: bits without a pattern, which keep
// a factor from being zero where a key is.
const odd = 0x9e3779b97f4a7c15

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

// HashAddr hashes an IP address. seed may have further parts of a key in it.
// A zone is not looked at, nor is the family: ::ffff:192.0.2.1 and 192.0.2.1
// are different keys in one bucket.
func HashAddr(a netip.Addr, seed uint64) uint64 {
	b := a.As16()
	return HashWords(binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), seed)
}

// HashWords is HashAddr for the two halves of an address.
func HashWords(high, low, seed uint64) uint64 {
	return Mix(Mix(high^odd, seed)^low, seed^odd)
}
