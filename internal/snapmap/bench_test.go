package snapmap

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

// station and place have the size of a forwarding entry.
type station struct {
	mac uint64
	vni uint32
}

type place struct {
	_   *int
	_   uint8
	rev int64
}

func hashStation(k station, seed uint64) uint64 {
	return Mix(k.mac^0x9e3779b97f4a7c15, uint64(k.vni)^seed)
}

var sizes = []int{1_000, 100_000, 1_000_000}

// filled returns a map of n entries and the bytes of memory each takes.
func filled(n int, m *Map[station, place]) (*Map[station, place], float64) {
	before := heap()
	e := m.Edit()
	for i := range n {
		e.Set(station{uint64(i), 1}, place{rev: int64(i)})
	}
	m = e.Map()
	e = nil
	return m, float64(heap()-before) / float64(n)
}

func heap() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// some are 4,096 keys of a map of n entries: what a busy lane has in use.
func some(n int) []station {
	r := rand.New(rand.NewPCG(5, 6))
	keys := make([]station, 4096)
	for i := range keys {
		keys[i] = station{uint64(r.IntN(n)), 1}
	}
	return keys
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range sizes {
		m, bytes := filled(n, New[station, place](hashStation))
		std, _ := filled(n, nil)
		keys := some(n)
		plain := make(map[station]place, n)
		for k, v := range m.All() {
			plain[k] = v
		}
		for _, c := range []struct {
			name string
			get  func(station) (place, bool)
		}{
			{"own-hash", m.Get},
			{"standard-hash", std.Get},
			{"plain-map", func(k station) (place, bool) { v, ok := plain[k]; return v, ok }},
		} {
			b.Run(fmt.Sprintf("%s/entries=%d", c.name, n), func(b *testing.B) {
				i := 0
				for b.Loop() {
					if _, ok := c.get(keys[i%len(keys)]); !ok {
						b.Fatal("an entry is missing")
					}
					i++
				}
				b.ReportMetric(bytes, "B/entry")
			})
		}
	}
}

func BenchmarkEditOne(b *testing.B) {
	for _, n := range sizes {
		m, _ := filled(n, New[station, place](hashStation))
		keys := some(n)
		b.Run(fmt.Sprintf("replace/entries=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				e := m.Edit()
				e.Set(keys[i%len(keys)], place{})
				m = e.Map()
				i++
			}
		})
		b.Run(fmt.Sprintf("add-and-delete/entries=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e := m.Edit()
				e.Set(station{1, 2}, place{})
				m = e.Map()
				e = m.Edit()
				e.Delete(station{1, 2})
				m = e.Map()
			}
		})
	}
}

func BenchmarkFill(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			for b.Loop() {
				e := New[station, place](hashStation).Edit()
				for i := range n {
					e.Set(station{uint64(i), 1}, place{})
				}
				e.Map()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/entry")
		})
	}
}
