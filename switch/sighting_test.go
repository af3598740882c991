package vswitch

import (
	"slices"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
)

// newSpotting is the outbound side of a switch whose sightings are wanted, with
// its tables.
func newSpotting(t testing.TB) (*outbound, *Sightings, *Tables) {
	t.Helper()
	all := NewSightings(1)
	return outboundOf(t, NetworkConfig{Sightings: all}, sink{}, 0), all, testTables(Policy{})
}

// pass sends frames through as one batch and returns what was sighted.
func pass(o *outbound, all *Sightings, t *Tables, frames ...ether.Frame) (seen []Sighting) {
	o.spot.begin()
	for _, f := range frames {
		o.frame(append(make([]byte, VnetLen), f...), t)
	}
	o.flush()
	o.out = o.out[:0]
	all.Drain(func(s Sighting) { seen = append(seen, s) })
	return seen
}

func TestWhichStationsAreSighted(t *testing.T) {
	ip := ipNone
	lying := arpRequest(ether.Broadcast, macLocal, ip, ipB)
	lying[ether.HeaderLen+8] ^= 4 // says that another station asks
	for _, c := range []struct {
		name  string
		frame ether.Frame
		want  []Sighting
	}{
		{"a frame tells of its source", frame(macB, macLocal), []Sighting{{MAC: macLocal}}},
		{"also one that goes nowhere", frame(macNone, macLocal), []Sighting{{MAC: macLocal}}},
		{"a station that etcd knows elsewhere", frame(macB, macC), []Sighting{{MAC: macC}}},
		{"a request that is answered tells of the sender's address", arpRequest(ether.Broadcast, macLocal, ip, ipB), []Sighting{{MAC: macLocal}, {macLocal, ip}}},
		{"a request for what nobody has does too", arpRequest(ether.Broadcast, macLocal, ip, ipSelf), []Sighting{{MAC: macLocal}, {macLocal, ip}}},
		{"an announcement does too", arpRequest(ether.Broadcast, macLocal, ip, ip), []Sighting{{MAC: macLocal}, {macLocal, ip}}},
		{"a sender that is not the frame's source is not believed", lying, []Sighting{{MAC: macLocal}}},
		{"a message that is cut is not read", arpRequest(ether.Broadcast, macLocal, ip, ipB)[:ether.HeaderLen+20], []Sighting{{MAC: macLocal}}},
		{"the TAP itself is no station", arpRequest(ether.Broadcast, macSelf, ip, ipB), nil},
		{"nor is a group", frame(macB, ether.Addr{1, 0, 0x5e, 0, 0, 1}), nil},
		{"nor the zero address", frame(macB, ether.Addr{}), nil},
		{"a bridge's own talk to its neighbours tells nothing", frame(ether.Addr{0x01, 0x80, 0xc2, 0, 0, 0}, macLocal), nil},
		{"nor does what is shorter than its header", frame(macB, macLocal)[:13], nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, all, tables := newSpotting(t)
			if got := pass(o, all, tables, c.frame); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestAStationIsToldOfOnceUntilAskedForAgain(t *testing.T) {
	o, all, tables := newSpotting(t)
	f := arpRequest(ether.Broadcast, macLocal, ipNone, ipB)
	for i, want := range []int{2, 0, 0} {
		if got := pass(o, all, tables, f, f); len(got) != want {
			t.Errorf("batch %d: got %v, want %d sightings", i, got, want)
		}
	}
	all.Again()
	if got := pass(o, all, tables, f, f); len(got) != 2 {
		t.Errorf("after Again: got %v, want 2 sightings", got)
	}
}

func TestWhatFindsNoRoomIsToldLater(t *testing.T) {
	o, all, tables := newSpotting(t)
	o.spot.begin()
	const stations = ringLen + 10
	station := func(i int) ether.Frame { return frame(macNone, ether.Addr{2, 0, 1, 0, byte(i >> 8), byte(i)}) }
	known := make(map[ether.Addr]bool)
	for range 2 {
		for i := range stations {
			o.frame(append(make([]byte, VnetLen), station(i)...), tables)
		}
		all.Drain(func(s Sighting) { known[s.MAC] = true })
	}
	if len(known) != stations {
		t.Errorf("got %d stations, want %d", len(known), stations)
	}
}

func TestSightingsArriveWhileFramesPass(t *testing.T) {
	o, all, tables := newSpotting(t)
	const stations = 10 * ringLen
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range stations {
			o.spot.begin()
			o.frame(append(make([]byte, VnetLen), frame(macNone, ether.Addr{2, 0, 1, byte(i >> 16), byte(i >> 8), byte(i)})...), tables)
		}
	}()
	seen := 0
	see := func(s Sighting) {
		if s.MAC[0] != 2 || s.IP.IsValid() {
			t.Errorf("got %v", s)
		}
		seen++
	}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		all.Drain(see)
	}
	if seen == 0 || seen > stations {
		t.Errorf("got %d sightings of %d stations", seen, stations)
	}
}

func TestSightingDoesNotAllocate(t *testing.T) {
	o, all, tables := newSpotting(t)
	rec := append(make([]byte, VnetLen), arpRequest(ether.Broadcast, macLocal, ipNone, ipB)...)
	see := func(Sighting) {}
	if n := testing.AllocsPerRun(100, func() {
		all.Again()
		o.spot.begin()
		o.frame(rec, tables)
		o.out = o.out[:0]
		all.Drain(see)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSightingOfAKnownStation(b *testing.B) {
	o, _, _ := newSpotting(b)
	f := frame(macB, macLocal)
	b.ReportAllocs()
	o.spot.begin()
	for b.Loop() {
		o.spot.look(f)
	}
}

func BenchmarkSightingOfATalkativeStation(b *testing.B) {
	o, _, _ := newSpotting(b)
	f := arpRequest(ether.Broadcast, macLocal, ipNone, ipB)
	b.ReportAllocs()
	o.spot.begin()
	for b.Loop() {
		o.spot.look(f)
	}
}

func TestAStationIsAskedByAnAddressThatIsNotTheTAPs(t *testing.T) {
	b := start(t, Policy{})
	if err := b.net.Ask(ipNone, macLocal); err != nil {
		t.Fatal(err)
	}
	f := ether.Frame(<-b.out)
	if f.Dst() != macLocal || f.Src() == macSelf {
		t.Errorf("from %s to %s, want to %s and not from the TAP's own address", f.Src(), f.Dst(), macLocal)
	}
	if d := Classify(frame(f.Src(), macLocal), &self, testTables(Policy{})); d.Verdict != DropToSelf {
		t.Errorf("the answer: got %v, want %v", d.Verdict, DropToSelf)
	}
	b.stats(t)
}
