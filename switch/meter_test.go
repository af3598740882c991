package vswitch

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"github.com/uvtep/uvtep/encap/ether"
)

func TestMeterLetsASecondsWorthOutAtOnceAndThenItsRate(t *testing.T) {
	m := newMeter(1000)
	taken := func(now time.Duration, tries, copies int) (n int) {
		for range tries {
			if m.takeAt(now, copies) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		name          string
		now           time.Duration
		tries, copies int
		want          int
	}{
		{"a second's worth", 0, 2000, 1, 1000},
		{"a millisecond's worth", time.Millisecond, 10, 1, 1},
		{"half a second's worth, of five copies each", 501 * time.Millisecond, 1000, 5, 100},
		{"no more is saved up than a second's worth", time.Hour, 5000, 1, 1000},
		{"one frame of more copies than a second has", 2 * time.Hour, 10, 5000, 1},
		{"which is paid for before the next", 2*time.Hour + 4*time.Second, 10, 1, 0},
		{"and is paid for then", 2*time.Hour + 4*time.Second + time.Millisecond, 10, 1, 1},
	} {
		if got := taken(c.now, c.tries, c.copies); got != c.want {
			t.Errorf("%s: %d frames were let out, want %d", c.name, got, c.want)
		}
	}
}

func TestMeterIsOneForAllLanes(t *testing.T) {
	m := newMeter(1000)
	var wg sync.WaitGroup
	var n [4]int
	for lane := range n {
		wg.Go(func() {
			for range 1000 {
				if m.takeAt(0, 1) {
					n[lane]++
				}
			}
		})
	}
	wg.Wait()
	if got := n[0] + n[1] + n[2] + n[3]; got != 1000 {
		t.Errorf("%d frames were let out, want 1000", got)
	}
}

// floodBench is a switch of one lane that floods rate copies a second.
func floodBench(t *testing.T, rate int) (*outbound, *fakeWire, *Totals) {
	t.Helper()
	wire, totals := newFakeWire(), new(Totals)
	return outboundOf(t, NetworkConfig{Count: totals}, wire, rate), wire, totals
}

// What is above the rate is dropped and counted; what is forwarded is not.
func TestFloodingIsBounded(t *testing.T) {
	for _, c := range []struct{ rate, want int }{{1, 1}, {0, 20}} {
		o, wire, totals := floodBench(t, c.rate)
		o.floods.each *= 3600                     // no test takes so long
		tables := testTables(Policy{Flood: true}) // of two VTEPs
		const tries = 20
		for range tries {
			o.frame(append(make([]byte, VnetLen), frame(ether.Broadcast, macLocal)...), tables)
			o.frame(append(make([]byte, VnetLen), frame(macB, macLocal)...), tables)
		}
		o.flush()
		o.tally.publish(o.count)
		flooded := 0
		for range len(wire.out) {
			if d := <-wire.out; bytes.HasPrefix(d.Data[0][8:], ether.Broadcast[:]) {
				flooded++
			}
		}
		if took := time.Duration(o.floods.idle.Load()); took < 2*o.floods.each {
			t.Errorf("rate %d: a frame for two VTEPs cost %v, want two copies of %v", c.rate, took, o.floods.each)
		}
		s := totals.Stats()
		if s.Frames[Replicate] != uint64(c.want) || s.Frames[DropFloodRate] != uint64(tries-c.want) || s.Frames[Forward] != tries || flooded != 2*c.want {
			t.Errorf("rate %d: %d replicated, %d dropped, %d forwarded, %d copies; want %d, %d, %d, %d", c.rate,
				s.Frames[Replicate], s.Frames[DropFloodRate], s.Frames[Forward], flooded, c.want, tries-c.want, tries, 2*c.want)
		}
	}
}
