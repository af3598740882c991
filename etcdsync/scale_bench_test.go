package etcdsync

import (
	"fmt"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
)

// tableSizes are numbers of stations; a tenth as many hosts have them, ten
// thousand at most.
var tableSizes = []int{1_000, 10_000, 100_000, 1_000_000}

// BenchmarkScaleChange is one event and the tables that follow from it, by the
// size of these: a station moves, or a lease does.
func BenchmarkScaleChange(b *testing.B) {
	for _, n := range tableSizes {
		w := crowd(b, min(n/10, 10_000), n)
		b.Run(fmt.Sprintf("station/endpoints=%d", n), func(b *testing.B) {
			w.bench(b, fmt.Sprintf("%s%032x/endpoints/1/02:02:00:00:00:00", hostsDir, 1000), func(n int) string {
				return fmt.Sprintf(`{"IPs":["100.64.0.0"],"Seq":%d}`, n)
			})
		})
		b.Run(fmt.Sprintf("lease/endpoints=%d", n), func(b *testing.B) {
			w.bench(b, "subnets/10.10.0.0-30", func(n int) string {
				return leaseOf(nodeB, fmt.Sprintf("198.19.0.%d", n%250+1), mac(200))
			})
		})
	}
}

// BenchmarkScaleLookup finds stations in tables that a follower made, in no order:
// all of them, so that hardly any is in the processor's cache, or a thousand that
// are in use.
func BenchmarkScaleLookup(b *testing.B) {
	for _, n := range tableSizes {
		t := crowd(b, min(n/10, 10_000), n).tables()
		mac := func(i int) ether.Addr { return ether.Addr{2, 2, 0, byte(i >> 16), byte(i >> 8), byte(i)} }
		for _, use := range []struct {
			name  string
			among int
		}{{"busy", 1_000}, {"all", n}} {
			b.Run(fmt.Sprintf("%s/endpoints=%d", use.name, n), func(b *testing.B) {
				b.ReportAllocs()
				macs := make([]ether.Addr, use.among)
				for i := range macs {
					macs[i] = mac(i * 7919 % use.among * (n / use.among)) // a prime
				}
				for b.Loop() {
					for _, m := range macs {
						if _, ok := t.FDB.Lookup(1, m); !ok {
							b.Fatal("an entry is missing")
						}
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(macs)), "ns/op")
			})
		}
	}
}
