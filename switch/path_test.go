package vswitch

import (
	"net/netip"
	"testing"
	"time"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

func TestPathsKnowTheNarrowOnes(t *testing.T) {
	b6, other := netip.MustParseAddr("2001:db8::2"), netip.MustParseAddr("192.0.2.9")
	for _, c := range []struct {
		name string
		p    Paths
		to   netip.Addr
		want int
	}{
		{"none is limited", Paths{}, outerB, 0},
		{"over IPv4", NewPaths(1450, 1430, nil), outerB, 1450},
		{"over IPv6", NewPaths(1450, 1430, nil), b6, 1430},
		{"a narrow one", NewPaths(1450, 1430, map[netip.Addr]int{outerB: 1350}), outerB, 1350},
		{"beside a narrow one", NewPaths(1450, 1430, map[netip.Addr]int{outerB: 1350}), other, 1450},
		{"narrower than it was learned", NewPaths(1300, 0, map[netip.Addr]int{outerB: 1350}), outerB, 1300},
		{"only the narrow one is limited", NewPaths(0, 0, map[netip.Addr]int{outerB: 1350}), outerB, 1350},
	} {
		if got := c.p.To(c.to); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}

// limited is the tables of the tests with the path to host B of 100 bytes, that
// to host C of 200.
func limited() *Tables {
	t := testTables(Policy{})
	t.Paths = NewPaths(200, 0, map[netip.Addr]int{outerB: 100})
	return t
}

// packet is an IPv4 frame of n bytes of IP, from the TAP to a station.
func packet(dst ether.Addr, n int) ether.Frame {
	f := make(ether.Frame, ether.HeaderLen+n)
	ether.PutHeader(f, dst, macSelf, ether.TypeIPv4)
	p := ether.IPv4(f.Payload())
	p[0] = 0x45
	p.SetTotalLen(n)
	p.SetFragment(ether.IPv4DontFragment)
	p.SetProtocol(ether.ProtoUDP)
	p.SetSrc(ipSelf)
	p.SetDst(ipC)
	p.Finish()
	return f
}

func TestWhatItsPathDoesNotTakeIsDroppedAndTheSenderTold(t *testing.T) {
	b := start(t, Policy{})
	b.net.SetTables(limited())
	b.in <- [][]byte{packet(macB, 101), packet(macB, 100), packet(macC, 201), packet(macC, 200), frame(macNone, macSelf)}
	for _, want := range []int{100, 200} {
		if d := <-b.wire.out; len(d.Data[0]) != 8+ether.HeaderLen+want {
			t.Errorf("sent %d bytes, want what carries %d", len(d.Data[0]), want)
		}
	}
	for _, want := range []int{100, 200} {
		f := ether.Frame(<-b.out)
		p := ether.IPv4(f.Payload())
		if f.Dst() != macSelf || p.Src() != ipC || p.Dst() != ipSelf || p.Protocol() != ether.ProtoICMP {
			t.Fatalf("told by % x", f)
		}
		if m := p.Payload(); m[0] != 3 || m[1] != 4 || int(m[6])<<8|int(m[7]) != want {
			t.Errorf("told % x, want that %d bytes fit", m[:8], want)
		}
	}
	s := b.stats(t)
	if s.Frames[DropTooBig] != 2 || s.Frames[Forward] != 2 || s.Extra[ToldFit] != 2 || s.Extra[Written] != 2 || s.Frames[DropUnknownUnicast] != 1 {
		t.Errorf("counted %d too big, %d forwarded, %d told, %d written", s.Frames[DropTooBig], s.Frames[Forward], s.Extra[ToldFit], s.Extra[Written])
	}
}

// What is no IP is dropped as well; nobody can be told.
func TestALargeFrameOfAnotherKindIsDroppedInSilence(t *testing.T) {
	b := start(t, Policy{})
	b.net.SetTables(limited())
	f := append(frame(macB, macSelf), make([]byte, 100)...)
	b.in <- [][]byte{f}
	b.in <- [][]byte{frame(macB, macSelf)}
	<-b.wire.out
	if s := b.stats(t); s.Frames[DropTooBig] != 1 || s.Extra[ToldFit] != 0 || s.Extra[Written] != 0 {
		t.Errorf("counted %d too big, %d told, %d written; want 1, none, none", s.Frames[DropTooBig], s.Extra[ToldFit], s.Extra[Written])
	}
}

// What is for all is dropped when there is nobody whose path takes it; nobody is
// told, as for anything that was for many.
func TestWhatIsFloodedIsDroppedWhenNoPathTakesIt(t *testing.T) {
	b := start(t, Policy{Flood: true})
	tables := limited()
	tables.Policy.Flood = true
	b.net.SetTables(tables)
	b.in <- [][]byte{packet(ether.Broadcast, 201), packet(ether.Broadcast, 200)}
	for range tables.FDB.VTEPs(vni).All() {
		if d := <-b.wire.out; len(d.Data[0]) != 8+ether.HeaderLen+200 {
			t.Errorf("sent %d bytes, want what carries 200", len(d.Data[0]))
		}
	}
	s := b.stats(t)
	if s.Frames[DropTooBig] != 1 || s.Frames[Replicate] != 1 || s.Extra[ToldFit] != 0 {
		t.Errorf("counted %d too big, %d replicated, %d told; want 1, 1, none", s.Frames[DropTooBig], s.Frames[Replicate], s.Extra[ToldFit])
	}
}

// It is the segments of a superframe that have to fit.
func TestASuperframeIsAsLargeAsItsSegments(t *testing.T) {
	f := udp(make([]byte, 500))
	f.SetDst(macB)
	h := make(offload.VnetHeader, VnetLen)
	h.SetFlags(offload.FlagNeedsCsum)
	h.SetCsum(34, 6)
	for size, want := range map[int]Verdict{72: Forward, 73: DropTooBig} { // 20 and 8 bytes of headers
		h.SetGSO(offload.GSOUDPL4, size)
		if d := Classify(f, &self, limited()).Fit(packetLen(h, f), limited()); d.Verdict != want {
			t.Errorf("segments of %d bytes: got %v, want %v", size, d.Verdict, want)
		}
	}
}

func TestSendersAreToldSoOftenAndNotMore(t *testing.T) {
	c, now := newCurb(), time.Unix(1, 0)
	told := func(tries int) (n int) {
		for range tries {
			if c.take(now) != nil {
				c.spend()
				n++
			}
		}
		c.used = 0 // the batch is written
		return n
	}
	if n := told(100); n != fitBurst {
		t.Errorf("at once: %d, want %d", n, fitBurst)
	}
	now = now.Add(10 * time.Millisecond)
	if n := told(100); n != 10 {
		t.Errorf("10 ms later: %d, want 10", n)
	}
	now = now.Add(time.Hour)
	if n := told(100); n != fitBurst {
		t.Errorf("an hour later: %d, want %d", n, fitBurst)
	}
}

func TestTellingWhatFitsDoesNotAllocate(t *testing.T) {
	o, tables, rec := outboundOf(t, NetworkConfig{}, newFakeWire(), 0), limited(), append(make([]byte, VnetLen), packet(macB, 101)...)
	if n := testing.AllocsPerRun(20, func() { o.frame(rec, tables); o.out, o.curb.used = o.out[:0], 0 }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if o.tally.extra[ToldFit] != 21 {
		t.Errorf("told %d times, want 21", o.tally.extra[ToldFit])
	}
}
