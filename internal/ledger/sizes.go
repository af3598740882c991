package ledger

import (
	"math/bits"
	"sync/atomic"
)

// Classes is how many classes sizes are counted in: 1, 2, up to 4, 8, 16, 32, 64
// and 128, and more.
const Classes = 9

// Class returns the class of a size: the least i with n ≤ 2^i, or the last one.
func Class(n int) int { return min(bits.Len(uint(max(n, 1)-1)), Classes-1) }

// Sizes counts sizes. One goroutine adds, any may read.
type Sizes struct {
	classes [Classes]atomic.Uint64
	sum     atomic.Uint64
}

// Add counts one of size n.
func (s *Sizes) Add(n int) {
	s.classes[Class(n)].Add(1)
	s.sum.Add(uint64(n))
}

// Few is what one batch adds, counted by the goroutine for itself.
type Few struct {
	classes [Classes]uint32
	sum     uint32
}

// Add counts one of size n.
func (f *Few) Add(n int) {
	f.classes[Class(n)]++
	f.sum += uint32(n)
}

// AddFew adds what a batch counted.
func (s *Sizes) AddFew(f *Few) {
	if f.sum == 0 {
		return
	}
	for i, n := range f.classes {
		if n != 0 {
			s.classes[i].Add(uint64(n))
		}
	}
	s.sum.Add(uint64(f.sum))
}

// Histogram is a reading of Sizes, or several added up.
type Histogram struct {
	Classes [Classes]uint64 // how many, by Class
	Sum     uint64          // of the sizes
}

// Add adds what was counted.
func (h *Histogram) Add(s *Sizes) {
	for i := range h.Classes {
		h.Classes[i] += s.classes[i].Load()
	}
	h.Sum += s.sum.Load()
}

// Merge adds another reading.
func (h *Histogram) Merge(o Histogram) {
	for i := range h.Classes {
		h.Classes[i] += o.Classes[i]
	}
	h.Sum += o.Sum
}

// Count is how many sizes there are.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Classes {
		n += c
	}
	return n
}
