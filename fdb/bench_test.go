package fdb

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
)

func nth(i int) ether.Addr {
	return ether.Addr{0x02, 0, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
}

// BenchmarkLookup walks over 4,096 of the stations of a table, and tells what
// each costs in memory.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		v := vtep("192.0.2.1", "")
		before := heap()
		e := new(Table).Edit()
		for i := range n {
			e.Set(Key{1, nth(i)}, Entry{VTEP: v, Origin: Endpoint, Rev: int64(i)})
		}
		tab := e.Table()
		e = nil
		bytes := float64(heap()-before) / float64(n)
		b.Run(fmt.Sprintf("stations=%d", n), func(b *testing.B) {
			i := 0
			for b.Loop() {
				if _, ok := tab.Lookup(1, nth(i%4096*7919%n)); !ok {
					b.Fatal("a station is missing")
				}
				i++
			}
			b.ReportMetric(bytes, "B/station")
		})
	}
}

func BenchmarkAccepts(b *testing.B) {
	e := new(Table).Edit()
	for i := range 10_000 {
		e.AddVTEP(1, &VTEP{To: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 4789)})
	}
	tab, src := e.Table(), netip.AddrFrom4([4]byte{10, 0, 1, 1})
	for b.Loop() {
		tab.Accepts(1, src)
	}
}

// BenchmarkEditOneVTEP is what one host that comes and goes costs, beside the
// number of hosts there are: a flood list is copied whole.
func BenchmarkEditOneVTEP(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		e := new(Table).Edit()
		for i := range n {
			e.AddVTEP(1, &VTEP{To: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 4789)})
		}
		tab := e.Table()
		one := vtep("192.0.2.1", "2001:db8::1")
		b.Run(fmt.Sprintf("vteps=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e := tab.Edit()
				e.AddVTEP(1, one)
				tab = e.Table()
				e = tab.Edit()
				e.RemoveVTEP(1, one)
				tab = e.Table()
			}
		})
	}
}

func heap() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
