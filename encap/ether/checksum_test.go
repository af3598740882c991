package ether_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
)

// slowSum is RFC 1071 as its text has it: words one by one, the carry added
// back at once. It is here to judge the fast one.
func slowSum(b []byte, sum uint32) uint32 {
	for i := 0; i < len(b); i += 2 {
		word := uint32(b[i]) << 8
		if i+1 < len(b) {
			word |= uint32(b[i+1])
		}
		sum += word
		for sum > 0xffff {
			sum = sum - 0x10000 + 1
		}
	}
	return sum
}

// sameSum compares two sums as ones-complement numbers, of which zero has two.
func sameSum(a, b uint32) bool {
	return ether.Fold(a)%0xffff == ether.Fold(b)%0xffff
}

func TestSumOfRFC1071Example(t *testing.T) {
	b := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7} // §3
	if got, want := ether.Fold(ether.Sum(b, 0)), uint16(0xddf2); got != want {
		t.Errorf("sum = %#04x, want %#04x", got, want)
	}
	if got, want := ether.Checksum(b), uint16(0x220d); got != want {
		t.Errorf("checksum = %#04x, want %#04x", got, want)
	}
}

func TestFoldAddsTheHalvesUntilOneIsLeft(t *testing.T) {
	rnd := rand.New(rand.NewPCG(11, 12))
	sums := []uint32{0, 1, 0xffff, 0x10000, 0x1ffff, 0xffff0000, 0xffff0001, 0xfffffffe, 0xffffffff}
	for range 10000 {
		sums = append(sums, rnd.Uint32())
	}
	for _, sum := range sums {
		want := sum
		for want > 0xffff {
			want = want>>16 + want&0xffff
		}
		if got := ether.Fold(sum); uint32(got) != want {
			t.Fatalf("Fold(%#x) = %#x, want %#x", sum, got, want)
		}
	}
}

func TestSumAgreesWithTheSlowOneAtEveryLengthAndAlignment(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	buf := make([]byte, 512)
	for i := range buf {
		buf[i] = byte(rnd.Uint32())
	}
	for off := range 64 {
		for n := range 400 {
			b := buf[off : off+n]
			if got, want := ether.Sum(b, 0xabcd), slowSum(b, 0xabcd); got != want {
				t.Fatalf("sum of %d bytes at %d = %#x, want %#x", n, off, got, want)
			}
		}
	}
}

// Long runs of all ones are where a carry gets lost.
func TestSumKeepsEveryCarry(t *testing.T) {
	for _, fill := range []byte{0x00, 0xff, 0xfe, 0x80} {
		for _, n := range []int{0, 1, 7, 8, 9, 63, 64, 65, 1448, 65535, 65536} {
			b := bytes.Repeat([]byte{fill}, n)
			if got, want := ether.Sum(b, 0xffff), slowSum(b, 0xffff); !sameSum(got, want) {
				t.Errorf("sum of %d times %#x = %#x, want %#x", n, fill, got, want)
			}
		}
	}
}

func TestSumsOfPartsAddUpToTheSumOfTheWhole(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		b := make([]byte, rnd.IntN(3000))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		cut := rnd.IntN(len(b)/2+1) * 2
		got := ether.Sum(b[:cut], 0) + ether.Sum(b[cut:], 0)
		if want := slowSum(b, 0); !sameSum(got, want) {
			t.Fatalf("%d bytes cut at %d: %#x, want %#x", len(b), cut, got, want)
		}
	}
}

func TestSumNeverExceeds16Bits(t *testing.T) {
	b := bytes.Repeat([]byte{0xff}, 65536)
	if got := ether.Sum(b, 0xffffffff-0xffff); got > 0xffff {
		t.Errorf("sum = %#x, want at most 0xffff", got)
	}
}

func TestUpdate16EqualsComputingAnew(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 10000 {
		b := make([]byte, 20)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		b[0] = 0x45 // a header's sum is never zero, as RFC 1624 §3 needs
		at := 2 * (1 + rnd.IntN(9))
		old, now := binary.BigEndian.Uint16(b[at:]), uint16(rnd.Uint32())
		sum := ether.Checksum(b)
		binary.BigEndian.PutUint16(b[at:], now)
		if got, want := ether.Update16(sum, old, now), ether.Checksum(b); got != want {
			t.Fatalf("%#04x with %#04x→%#04x = %#04x, want %#04x", sum, old, now, got, want)
		}
	}
}

// RFC 1624 §4 gives this case, which its predecessor RFC 1141 gets wrong.
func TestUpdate16OfRFC1624Example(t *testing.T) {
	if got, want := ether.Update16(0xdd2f, 0x5555, 0x3285), uint16(0x0000); got != want {
		t.Errorf("updated checksum = %#04x, want %#04x", got, want)
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte{}, uint32(0))
	f.Add([]byte{0xff}, uint32(0xffff))                      // odd, all ones
	f.Add(bytes.Repeat([]byte{0xff}, 129), uint32(0xffff))   // carries across steps
	f.Add(bytes.Repeat([]byte{0, 0, 0, 1}, 40), uint32(0x1)) // small words
	f.Add(bytes.Repeat([]byte{0xff}, 1399), uint32(0xffff))  // a segment, odd
	f.Fuzz(func(t *testing.T, b []byte, sum uint32) {
		sum &= 0xffffff
		if got, want := ether.Sum(b, sum), slowSum(b, sum); !sameSum(got, want) {
			t.Errorf("Sum(%x, %#x) = %#x, want %#x", b, sum, got, want)
		}
	})
}

// The lengths are those of a header, of one step, of segments on three MTUs
// and of a superframe.
func BenchmarkSum(b *testing.B) {
	for _, n := range []int{20, 64, 576, 1398, 9000, 65000} {
		b.Run(fmt.Sprintf("%dB", n), func(b *testing.B) {
			buf := make([]byte, n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			var sum uint32
			for b.Loop() {
				sum += ether.Sum(buf, 0)
			}
		})
	}
}
