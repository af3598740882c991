package ether

import (
	"encoding/binary"
	"math/bits"
)

// Sum adds the bytes of b, taken as big-endian 16-bit words with a zero byte
// after an odd last one, to sum in ones-complement arithmetic (RFC 1071). The
// result is at most 0xffff, so that tens of thousands of sums can be added
// with + before Fold. Sums of parts that begin at even offsets add up to the
// sum of the whole.
//
// The work is done in the byte order of the loads, since the ones-complement
// sum is the same in either order but for one swap at the end (RFC 1071 §2
// (B)): eight bytes at a time here, and by sumVector where b is long and the
// processor can.
func Sum(b []byte, sum uint32) uint32 {
	if len(b) >= vectorMin && hasVector {
		return fold64(sumVector(b), sum)
	}
	var acc, carry uint64
	for len(b) >= 32 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[0:8]), 0)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[8:16]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[16:24]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[24:32]), carry)
		acc += carry // cannot overflow: a carry leaves acc below its maximum
		b = b[32:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b), 0)
		acc += carry
		b = b[8:]
	}
	acc, carry = bits.Add64(acc, tail(b), 0)
	acc += carry
	return fold64(acc, sum)
}

// fold64 adds acc, a sum in the byte order of the loads, to sum.
func fold64(acc uint64, sum uint32) uint32 {
	acc += bits.RotateLeft64(acc, 32) // as in Fold
	return uint32(Fold(sum + uint32(bits.ReverseBytes16(Fold(uint32(acc>>32))))))
}

// tail returns the last bytes, fewer than eight, as one little-endian word.
func tail(b []byte) uint64 {
	var v uint64
	if len(b)&1 != 0 {
		v = uint64(b[len(b)-1])
	}
	if len(b)&2 != 0 {
		v = v<<16 | uint64(binary.LittleEndian.Uint16(b[len(b)&4:]))
	}
	if len(b)&4 != 0 {
		v = v<<32 | uint64(binary.LittleEndian.Uint32(b))
	}
	return v
}

// Fold brings a sum to 16 bits by adding the carries back in. It does not
// complement: a header's checksum is ^Fold(sum).
func Fold(sum uint32) uint16 {
	sum += bits.RotateLeft32(sum, 16) // above: both halves, and the carry from below
	return uint16(sum >> 16)
}

// Checksum returns the Internet checksum of b (RFC 1071): what a header field
// must hold when it was zero in b. Over data whose field is filled in rightly
// it is 0.
func Checksum(b []byte) uint16 { return ^Fold(Sum(b, 0)) }

// PseudoSum4 returns the sum of the pseudo header of an upper-layer segment
// of length bytes inside p (RFC 9293 §3.1, RFC 768).
func PseudoSum4(p IPv4, proto uint8, length int) uint32 {
	return Sum(p[12:20], uint32(proto)+uint32(length))
}

// PseudoSum6 returns the sum of the pseudo header of an upper-layer segment
// of length bytes inside p (RFC 8200 §8.1). With a routing header the caller
// must use the final destination instead.
func PseudoSum6(p IPv6, proto uint8, length int) uint32 {
	return Sum(p[8:40], uint32(proto)+uint32(length))
}

// Update16 returns checksum after one 16-bit word under it changed from old
// to new, by RFC 1624 equation 3. A wrong checksum stays wrong by as much.
func Update16(checksum, old, new uint16) uint16 {
	return ^Fold(uint32(^checksum) + uint32(^old) + uint32(new))
}
