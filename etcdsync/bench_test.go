package etcdsync

import (
	"fmt"
	"testing"
)

// A change is one event and the tables that follow from it, as a follower
// makes them: without etcd, JSON included.
func BenchmarkChange(b *testing.B) {
	for _, size := range []struct{ hosts, stations int }{{100, 1000}, {1000, 100000}} {
		w := crowd(b, size.hosts, size.stations)
		b.Run(fmt.Sprintf("station/hosts=%d/stations=%d", size.hosts, size.stations), func(b *testing.B) {
			w.bench(b, fmt.Sprintf("%s%032x/endpoints/1/02:02:00:00:00:00", hostsDir, 1000), func(n int) string {
				return fmt.Sprintf(`{"IPs":["100.64.0.0"],"Seq":%d}`, n)
			})
		})
		b.Run(fmt.Sprintf("lease/hosts=%d/stations=%d", size.hosts, size.stations), func(b *testing.B) {
			w.bench(b, "subnets/10.10.0.0-30", func(n int) string {
				return leaseOf(nodeB, fmt.Sprintf("198.19.0.%d", n%250+1), mac(200))
			})
		})
	}
}

// bench changes one key again and again.
func (w *world) bench(b *testing.B, name string, value func(n int) string) {
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		w.put(name, value(n))
		w.tables()
	}
}

// BenchmarkFirstList makes tables of what a list brings.
func BenchmarkFirstList(b *testing.B) {
	w := crowd(b, 1000, 10000)
	b.ReportAllocs()
	keys := 0
	for b.Loop() {
		in := newIntake(testConfig(), w.in.log)
		in.begin()
		for name, kv := range w.h.keys {
			in.list(name, kv)
		}
		in.sweep()
		in.board.tables(1, in.network)
		keys += len(w.h.keys)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(keys), "ns/key")
}
