//go:build amd64 || arm64

package ether

// sumVector returns the sum of b as little-endian words of 32 bits, a zero
// byte after an odd last one; the upper half of the result holds the carries.
// It needs hasVector and 32 bytes or more, reads nothing outside of b, and is
// exact below 16 GiB.
//
//go:noescape
func sumVector(b []byte) uint64
