package etcdsync

import (
	"bytes"
	"testing"
)

// What changes after a snapshot was taken is not in it, also when that is written
// meanwhile.
func TestASnapshotStaysAsItWas(t *testing.T) {
	_, w := sampleCache(t)
	w.put("uvtep/static/1/"+mac(22).String(), `{"IPs":["10.10.2.9"],"VTEP":"192.0.2.2"}`) // which stays
	s := newSnapshot(cacheHead{}, &w.in.board.rows)
	want := written(t, s)
	meanwhile := make(chan []byte)
	go func() { meanwhile <- written(t, s) }()
	w.put(leaseB, leaseOf(nodeB, "192.0.2.22", mac(2))+" ") // the same in other words
	w.put(hostKey(nodeB), hostOf("192.0.2.3"))
	w.put(hostsDir+nodeB+"/endpoints/1/"+mac(20).String(), `{"IPs":[],"Seq":4}`)
	w.del("uvtep/static/1/" + mac(21).String())
	w.in.forget()
	for _, got := range [][]byte{<-meanwhile, written(t, s)} {
		if !bytes.Equal(got, want) {
			t.Errorf("got:\n%swant:\n%s", got, want)
		}
	}
}

// portions are the lengths of what was written at once.
type portions []int

func (p *portions) Write(b []byte) (int, error) {
	*p = append(*p, len(b))
	return len(b), nil
}

func TestACacheIsNeverInMemoryAsAWhole(t *testing.T) {
	w := crowd(t, 10, 5000)
	var p portions
	n, err := newSnapshot(cacheHead{}, &w.in.board.rows).WriteTo(&p)
	if err != nil || n < 5*maxCacheLine {
		t.Fatalf("got %d bytes, %v; want many more than a line may have", n, err)
	}
	for _, got := range p {
		if got > maxCacheLine {
			t.Errorf("wrote %d bytes at once, want %d at most", got, maxCacheLine)
		}
	}
}

// BenchmarkCache is what keeping the tables of 10,000 hosts with 100,000 stations
// takes: of the goroutine that follows etcd, and of the one that writes.
func BenchmarkCache(b *testing.B) {
	w := crowd(b, 10_000, 100_000)
	rows := &w.in.board.rows
	s := newSnapshot(cacheHead{}, rows)
	for _, part := range []struct {
		name string
		do   func() error
	}{
		{"take", func() error { s = newSnapshot(cacheHead{}, rows); return nil }},
		{"write", func() error { _, err := s.WriteTo(new(portions)); return err }},
	} {
		b.Run(part.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := part.do(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*rows.len()), "ns/row")
		})
	}
}
