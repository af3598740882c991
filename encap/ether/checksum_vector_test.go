//go:build amd64 || arm64

package ether

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// portableSum is Sum without vector code, which a test against the text of RFC
// 1071 has judged: here it judges the vector code.
func portableSum(b []byte, sum uint32) uint32 {
	defer func(was bool) { hasVector = was }(hasVector)
	hasVector = false
	return Sum(b, sum)
}

// vectorSum is Sum with vector code from the first length that it can do.
func vectorSum(b []byte, sum uint32) uint32 {
	if len(b) < 32 {
		return portableSum(b, sum)
	}
	return fold64(sumVector(b), sum)
}

func needVector(tb testing.TB) {
	tb.Helper()
	if !hasVector {
		tb.Skip("this processor has no vector code")
	}
}

func randomBytes(rnd *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rnd.Uint32())
	}
	return b
}

func TestVectorSumEqualsThePortableOneAtEveryLengthAndAlignment(t *testing.T) {
	needVector(t)
	buf := randomBytes(rand.New(rand.NewPCG(7, 8)), 1024)
	for off := range 64 {
		for n := range 600 {
			b := buf[off : off+n]
			if got, want := vectorSum(b, 0xabcd), portableSum(b, 0xabcd); got != want {
				t.Fatalf("sum of %d bytes at %d = %#x, want %#x", n, off, got, want)
			}
		}
	}
}

func TestVectorSumEqualsThePortableOneAtRandomLengths(t *testing.T) {
	needVector(t)
	rnd := rand.New(rand.NewPCG(9, 10))
	buf := randomBytes(rnd, 70_000+64)
	for range 5000 {
		off, n := rnd.IntN(64), rnd.IntN(70_001)
		b, sum := buf[off:off+n], rnd.Uint32()>>1
		if got, want := vectorSum(b, sum), portableSum(b, sum); got != want {
			t.Fatalf("sum of %d bytes at %d after %#x = %#x, want %#x", n, off, sum, got, want)
		}
	}
}

// All ones carry at every addition. 16 MiB of them carry into the upper half
// of every lane a quarter of a million times.
func TestVectorSumKeepsEveryCarry(t *testing.T) {
	needVector(t)
	ones := bytes.Repeat([]byte{0xff}, 16<<20+31)
	for _, n := range []int{32, 33, 63, 95, 96, 97, 127, 128, 129, 159, 160, 1398, 1399, 9000, 65_000, 65_535, 65_536, len(ones)} {
		if got, want := vectorSum(ones[:n], 0xffff), portableSum(ones[:n], 0xffff); got != want {
			t.Errorf("sum of %d all-ones bytes = %#x, want %#x", n, got, want)
		}
	}
}

// A step that is left out, or added twice, shows where one byte only is set.
func TestVectorSumTakesEachByteOnce(t *testing.T) {
	needVector(t)
	for _, n := range []int{32, 33, 62, 63, 94, 95, 128, 159, 190, 191, 254, 255, 256, 1398} {
		b := make([]byte, n)
		for i := range b {
			b[i] = 0x5a
			if got, want := vectorSum(b, 0), uint32(0x5a)<<(8*(1-i&1)); got != want {
				t.Fatalf("sum of %d bytes with only number %d set = %#x, want %#x", n, i, got, want)
			}
			b[i] = 0
		}
	}
}

func FuzzVectorSum(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0xff}, 32), uint8(0), uint32(0))        // the least it can do
	f.Add(bytes.Repeat([]byte{0xff}, 127), uint8(1), uint32(0xffff))  // all of the short ways, odd
	f.Add(bytes.Repeat([]byte{1, 2, 3}, 466), uint8(13), uint32(1))   // a segment at an odd offset
	f.Add(bytes.Repeat([]byte{0xff, 0}, 600), uint8(31), uint32(0x7)) // words that swap when shifted
	f.Fuzz(func(t *testing.T, b []byte, off uint8, sum uint32) {
		needVector(t)
		b = b[min(int(off), len(b)):]
		sum &= 0xffffff
		if got, want := vectorSum(b, sum), portableSum(b, sum); got != want {
			t.Errorf("sum of %x after %#x = %#x, want %#x", b, sum, got, want)
		}
	})
}
