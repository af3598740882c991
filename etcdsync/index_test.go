package etcdsync

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// An index is compared with a plain map of lists, while it grows and shrinks, with
// hashes that are even, clustered and all the same.
func TestAnIndexAgreesWithAPlainMap(t *testing.T) {
	for name, hash := range map[string]func(n int) uint64{
		"even":      func(n int) uint64 { return uint64(n) * 0x9e3779b97f4a7c15 },
		"clustered": func(n int) uint64 { return uint64(n%7)<<61 | uint64(n/2) },
		"at an end": func(n int) uint64 { return ^uint64(0) - uint64(n%3) },
		"all one":   func(int) uint64 { return 42 },
	} {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(1, 2))
			things := make([]int, 300)
			for i := range things {
				things[i] = i
			}
			var x index[int]
			want := make(map[uint64][]int)
			count := 0
			for step := range 20_000 {
				i := rng.IntN(len(things))
				h := hash(i)
				if grow := step/2000%2 == 0; rng.IntN(10) < 7 == grow && count < 400 {
					x.add(h, &things[i])
					want[h] = append(want[h], i)
					count++
				} else {
					x.remove(h, &things[i])
					if at := slices.Index(want[h], i); at >= 0 {
						want[h] = slices.Delete(want[h], at, at+1)
						count--
					}
				}
				if x.n != count {
					t.Fatalf("step %d: %d things, want %d", step, x.n, count)
				}
				if step%50 != 0 {
					continue
				}
				for i := range things {
					var got []int
					for p := range x.at(hash(i)) {
						got = append(got, *p)
					}
					slices.Sort(got)
					if w := slices.Sorted(slices.Values(want[hash(i)])); !slices.Equal(got, w) {
						t.Fatalf("step %d: got %v, want %v", step, got, w)
					}
				}
			}
			all := 0
			for range x.all() {
				all++
			}
			if x.n != count || all != count || len(x.slots) > 4*count+4 {
				t.Errorf("%d things, %d of them found, in %d slots; want %d", x.n, all, len(x.slots), count)
			}
		})
	}
}
