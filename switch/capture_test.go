package vswitch

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

// drained waits for so many samples and returns them as text.
func drained(t *testing.T, k *Capture, n int) (out []string) {
	t.Helper()
	for len(out) < n {
		k.Drain(func(s *Sample) {
			f, length := s.Inner()
			out = append(out, fmt.Sprintf("%v %v %d/%d", s.Verdict, s.Peer, len(f), length))
		})
		if t.Context().Err() != nil {
			t.Fatalf("got only %q", out)
		}
	}
	slices.Sort(out) // goroutines are not of one time
	return out
}

func TestCapturesSeeWhatTheyWant(t *testing.T) {
	b := start(t, Policy{})
	all, err := b.captures.Start(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	drops := VerdictSet(0)
	for _, v := range Verdicts() {
		if v.Drop() {
			drops = drops.Add(v)
		}
	}
	dropped, err := b.captures.Start(Filter{Verdicts: drops, SnapLen: 20})
	if err != nil {
		t.Fatal(err)
	}
	from := netip.MustParseAddrPort("192.0.2.2:50000")
	b.in <- [][]byte{frame(macB, macSelf), frame(macNone, macSelf), tagged(arpRequest(ether.Broadcast, macSelf, ipSelf, ipB)), frame(macB, macSelf)[:10]}
	b.wire.in <- []encap.Message{{Peer: from, Data: datagram(vni, frame(macSelf, macB))}, {Peer: from, Data: datagram(vni, frame(macSelf, macC))}, {Peer: from, Data: []byte{8}}}
	want := []string{
		"Answer invalid AddrPort 42/42", "Deliver 192.0.2.2:50000 64/64", "DropRuntDatagram 192.0.2.2:50000 0/0", "DropShort invalid AddrPort 10/10",
		"DropSpoofed 192.0.2.2:50000 64/64", "DropUnknownUnicast invalid AddrPort 64/64", "Forward 192.0.2.2:4789 64/64",
	}
	if diff := cmp.Diff(want, drained(t, all, len(want))); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	want = []string{"DropRuntDatagram 192.0.2.2:50000 0/0", "DropShort invalid AddrPort 10/10", "DropSpoofed 192.0.2.2:50000 12/64", "DropUnknownUnicast invalid AddrPort 20/64"}
	if diff := cmp.Diff(want, drained(t, dropped, len(want))); diff != "" {
		t.Errorf("drops (-want +got):\n%s", diff)
	}
	dropped.Stop()
	b.in <- [][]byte{frame(macNone, macSelf)}
	b.in <- [][]byte{frame(macNone, macSelf)}
	drained(t, all, 2)
	if n := dropped.Drain(func(*Sample) {}); n != 0 {
		t.Errorf("%d samples after the end", n)
	}
	all.Stop()
	if all.Lost() != 0 || dropped.Lost() != 0 {
		t.Error("samples were lost that there was room for")
	}
	b.stats(t)
	if n := len(b.captures.samplers); n != 0 {
		t.Errorf("%d goroutines have not left", n)
	}
}

func TestSampleOfASuperframeAndOfAFlood(t *testing.T) {
	b := start(t, Policy{Flood: true})
	k, err := b.captures.Start(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	b.in <- [][]byte{frame(ether.Broadcast, macSelf)}
	for n := 0; n == 0; {
		n = k.Drain(func(s *Sample) {
			if s.Verdict != Replicate || s.VTEPs != 2 || s.Peer.IsValid() || s.Outer.Flow != encap.FlowHash(frame(ether.Broadcast, macSelf)) {
				t.Errorf("got %+v, want a flood to two", s)
			}
		})
	}
	k.Stop()
	b.stats(t)
}

func TestFiltersOfCaptures(t *testing.T) {
	peer := netip.AddrPortFrom(outerB, 4789)
	in := Sample{Verdict: Deliver, VNI: 1, Peer: peer, Data: datagram(1, packet(macB, 40))}
	out := Sample{Verdict: Forward, VNI: 1, Peer: peer, Data: packet(macB, 40)}
	asks := Sample{Verdict: Answer, VNI: 2, Data: arpRequest(ether.Broadcast, macSelf, ipSelf, ipB)}
	runt := Sample{Verdict: DropRuntDatagram, Peer: peer, Data: []byte{1, 2}}
	for _, c := range []struct {
		name string
		f    Filter
		want [4]bool // in, out, asks, runt
	}{
		{"all", Filter{}, [4]bool{true, true, true, true}},
		{"a verdict", Filter{Verdicts: VerdictSet(0).Add(Forward).Add(Answer)}, [4]bool{false, true, true, false}},
		{"a VNI", Filter{VNI: 2, HasVNI: true}, [4]bool{false, false, true, false}},
		{"no network", Filter{HasVNI: true}, [4]bool{false, false, false, true}},
		{"a destination", Filter{MAC: macB}, [4]bool{true, true, false, false}},
		{"a source", Filter{MAC: macSelf}, [4]bool{true, true, true, false}},
		{"a stranger", Filter{MAC: macNone}, [4]bool{}},
		{"an address of a packet", Filter{IP: ipC}, [4]bool{true, true, false, false}},
		{"an address that is asked for", Filter{IP: ipB}, [4]bool{false, false, true, false}},
		{"both ends", Filter{IP: ipSelf}, [4]bool{true, true, true, false}},
		{"a VTEP", Filter{VTEP: outerB}, [4]bool{true, true, false, true}},
		{"another VTEP", Filter{VTEP: outerC}, [4]bool{}},
	} {
		got := [4]bool{c.f.wants(&in), c.f.wants(&out), c.f.wants(&asks), c.f.wants(&runt)}
		if got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// A ring that nobody drains loses samples, and never mixes them up.
func TestARingKeepsWhatFitsAndCountsTheRest(t *testing.T) {
	for _, size := range []int{0, 1, 1000, 65000, 300000} {
		r, data := newSampleRing(&Capture{}), make([]byte, size)
		next, seen := 0, 0
		for round := range 40 {
			for range []int{1, 3, 50, 2500}[round%4] {
				if size > 0 {
					data[0], data[size-1] = byte(next), byte(next)
				}
				before := r.lost.Load()
				if r.push(&Sample{Data: data, Segment: next}); r.lost.Load() == before {
					next++
				}
			}
			for s := r.next(); s != nil; s = r.next() {
				if s.Segment != seen || len(s.Data) != size || size > 0 && (s.Data[0] != byte(seen) || s.Data[size-1] != byte(seen)) {
					t.Fatalf("size %d: got sample %d, want %d", size, s.Segment, seen)
				}
				seen++
				r.release()
			}
			if seen != next {
				t.Fatalf("size %d: %d samples are missing", size, next-seen)
			}
		}
		if r.lost.Load() == 0 {
			t.Errorf("size %d: nothing was lost", size)
		}
	}
}

func TestThereAreNotAnyNumberOfCaptures(t *testing.T) {
	c := new(Captures)
	var all []*Capture
	for range maxCaptures {
		k, err := c.Start(Filter{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, k)
	}
	if _, err := c.Start(Filter{}); !errors.Is(err, ErrCaptures) {
		t.Errorf("got %v, want ErrCaptures", err)
	}
	all[0].Stop()
	if _, err := c.Start(Filter{}); err != nil {
		t.Errorf("after one has ended: %v", err)
	}
}

// What is captured when goroutines of the data path come and go is not lost.
func TestRingsOutliveTheirGoroutines(t *testing.T) {
	c := new(Captures)
	k, err := c.Start(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		s := c.join()
		s.begin()
		s.take(&Sample{Verdict: Forward, Data: frame(macB, macSelf)})
		s.leave()
		if i%2 == 1 {
			if n := k.Drain(func(*Sample) {}); n != 2 || len(k.rings) != 0 {
				t.Errorf("got %d samples and %d rings left, want 2 and none", n, len(k.rings))
			}
		}
	}
	k.Stop()
	if n := k.Drain(func(*Sample) {}); n != 1 {
		t.Errorf("got %d samples after the end, want the last one", n)
	}
}

// Samples of several goroutines come in the order of their times.
func TestSamplesComeInOrder(t *testing.T) {
	c := new(Captures)
	k, err := c.Start(Filter{})
	if err != nil {
		t.Fatal(err)
	}
	at := func(s *sampler, n int) {
		s.begin()
		s.time = time.Unix(int64(n), 0)
		s.take(&Sample{})
	}
	a, b := c.join(), c.join()
	at(a, 1)
	at(b, 2)
	at(b, 3)
	at(a, 4)
	at(b, 5)
	var got []int64
	k.Drain(func(s *Sample) { got = append(got, s.Time.Unix()) })
	if !slices.Equal(got, []int64{1, 2, 3, 4, 5}) {
		t.Errorf("got %v", got)
	}
}

// The hook allocates nothing, whether anybody captures or not.
func TestTakingSamplesDoesNotAllocate(t *testing.T) {
	c := new(Captures)
	s := c.join()
	f := datagram(1, packet(macB, 1000))
	m := encap.Message{Peer: netip.AddrPortFrom(outerB, 4789)}
	hook := func() {
		s.begin()
		for range 10 {
			if s.wanted() {
				s.take(&Sample{Verdict: Deliver, VNI: 1, Peer: m.Peer, Outer: encap.Datagram{TOS: m.TOS}, Data: f})
			}
		}
	}
	if n := testing.AllocsPerRun(100, hook); n != 0 {
		t.Errorf("off: %v allocations", n)
	}
	k, err := c.Start(Filter{IP: ipC, MAC: macB, VTEP: outerB, SnapLen: 200})
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, hook); n != 0 {
		t.Errorf("on: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { hook(); k.Drain(func(*Sample) {}) }); n > 2 { // of the drain, not of the hook
		t.Errorf("drained: %v allocations", n)
	}
	hook()
	if n := k.Drain(func(*Sample) {}); n != 10 {
		t.Errorf("took %d samples, want 10", n)
	}
}

// What captures cost a frame: nothing wanted, and one or two who want all.
func BenchmarkCapture(b *testing.B) {
	for n := range 3 {
		b.Run(fmt.Sprintf("captures=%d", n), func(b *testing.B) {
			c := new(Captures)
			s := c.join()
			var all []*Capture
			for range n {
				k, err := c.Start(Filter{})
				if err != nil {
					b.Fatal(err)
				}
				all = append(all, k)
			}
			f := frame(macB, macSelf)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i%64 == 0 {
					s.begin()
				}
				if s.wanted() {
					s.take(&Sample{Verdict: Deliver, Data: f})
				}
				if i++; i%1024 == 0 {
					for _, k := range all {
						k.Drain(func(*Sample) {})
					}
				}
			}
		})
	}
}
