package arpproxy

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

func BenchmarkDecide(b *testing.B) {
	tab := testTable()
	data := changed(solicit(hostIP6), ether.HeaderLen+6, 6)
	for _, c := range []struct {
		name  string
		frame ether.Frame
	}{
		{"ipv4", changed(request(hostIP), 13, 0)},
		{"ipv6", data},
		{"arp-answer", request(hostIP)},
		{"arp-unknown", request(freeIP)},
		{"nd-answer", solicit(hostIP6)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Decide(c.frame, vni, tab, testOwn)
			}
		})
	}
}

func BenchmarkReply(b *testing.B) {
	dst := make([]byte, MaxLen)
	for name, req := range map[string]ether.Frame{"arp": request(hostIP), "nd": solicit(hostIP6)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Reply(dst, req, hostMAC)
			}
		})
	}
}

// BenchmarkLookup walks over 4,096 of the addresses of a table, and tells what
// each binding costs in memory.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		before := heap()
		e := new(Table).Edit()
		for i := range n {
			e.Set(Key{vni, host(i)}, Binding{MAC: podMAC, Origin: fdb.Endpoint, Rev: int64(i)})
		}
		tab := e.Table()
		e = nil
		bytes := float64(heap()-before) / float64(n)
		b.Run(fmt.Sprintf("bindings=%d", n), func(b *testing.B) {
			i := 0
			for b.Loop() {
				if _, ok := tab.Lookup(vni, host(i%4096*7919%n)); !ok {
					b.Fatal("a binding is missing")
				}
				i++
			}
			b.ReportMetric(bytes, "B/binding")
		})
	}
}

func host(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
}

func heap() uint64 {
	var s runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}
