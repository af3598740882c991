package vswitch

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

// oneOf returns one of what there is.
func oneOf[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

// anyFrame makes a frame of some kind between addresses that the tables of the
// tests know, or do not.
func anyFrame(r *rand.Rand) ether.Frame {
	dst := oneOf(r, macSelf, macLocal, macB, macC, macHere, macNone, ether.Broadcast, ether.Addr{1, 0, 0x5e, 0, 0, 1}, ether.Addr{0x33, 0x33, 0, 0, 0, 1}, ether.Addr{1, 0x80, 0xc2, 0, 0, byte(r.IntN(20))})
	src := oneOf(r, macSelf, macLocal, macB, macC, macHere, macNone, ether.Broadcast, ether.Addr{})
	ips := []netip.Addr{ipSelf, ipB, ipC, ipNone, netip.IPv4Unspecified(), netip.MustParseAddr("10.10.2.7")}
	var f ether.Frame
	switch r.IntN(5) {
	case 0:
		f = frame(dst, src)
	case 4:
		f = echoFrame(dst, src)
	case 1:
		f = arpRequest(dst, src, oneOf(r, ips...), oneOf(r, ips...))
		binary.BigEndian.PutUint16(f[20:], uint16(r.IntN(3)))
	default:
		f = packet(dst, 28+r.IntN(250))
		f.SetSrc(src)
		p := ether.IPv4(f.Payload())
		p.SetSrc(oneOf(r, ips...))
		p.SetTOS(uint8(r.IntN(256)))
		p.SetChecksum(0)
		p.Finish()
	}
	switch r.IntN(12) {
	case 0:
		f = tagged(f)
	case 1:
		f = f[:r.IntN(len(f))]
	case 2:
		f[r.IntN(len(f))] ^= 1 << r.IntN(8)
	}
	return f
}

// anyTables are tables of some kind.
func anyTables(r *rand.Rand) *Tables {
	t := limited()
	t.Rev = r.Int64N(100)
	t.MTU = 1450
	t.Policy = Policy{Flood: r.IntN(2) == 0, PassTags: r.IntN(4) == 0, StrictReserved: r.IntN(2) == 0, AcceptUnknownVTEP: r.IntN(4) == 0}
	if r.IntN(2) == 0 {
		e := t.Sources.Edit()
		e.Add(netip.MustParsePrefix("10.10.2.0/24"), slices.Collect(t.FDB.VTEPs(vni).All())[0])
		t.Sources = e.Sources()
	}
	return t
}

// moved is the one verdict that was counted between two readings.
func moved(t *testing.T, was, is Stats) (v Verdict) {
	t.Helper()
	n := 0
	for i := range is.Frames {
		if d := int(is.Frames[i] - was.Frames[i]); d > 0 {
			v, n = Verdict(i), n+1
		}
	}
	if n != 1 {
		t.Fatalf("%d verdicts moved, want one", n)
	}
	return v
}

// What Explain says is what then happens, with all tables and over frames of
// every kind.
func TestExplainSaysWhatHappens(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[Verdict]int{}
	for range 40 {
		b, e := listening(t)
		b.net.SetTables(anyTables(r))
		<-b.sw.first
		was := Stats{}
		for range 100 {
			var f []byte
			var w Way
			if r.IntN(2) == 0 {
				f = anyFrame(r)
				w, _ = b.sw.ExplainFrame(vni, f)
				b.in <- [][]byte{f}
			} else {
				f = datagram(oneOf(r, vni, vni, vni, 2), anyFrame(r))
				if r.IntN(8) == 0 {
					f[r.IntN(8)] ^= 1 << r.IntN(8)
				}
				if r.IntN(16) == 0 {
					f = f[:r.IntN(10)]
				}
				src, tos := oneOf(r, outerB, outerC, netip.MustParseAddr("192.0.2.99")), uint8(r.IntN(256))
				w = b.sw.ExplainDatagram(f, src, tos)
				b.wire.in <- []encap.Message{{Peer: netip.AddrPortFrom(src, 50000), TOS: tos, Data: f}}
			}
			is := b.settled(t, was)
			if v := moved(t, was, is); v != w.Verdict {
				t.Fatalf("explained %v, became %v: % x", w.Verdict, v, f)
			}
			if w.Verdict == Echoed {
				<-e.C()
			}
			b.checkOuter(t, w)
			was = is
			seen[w.Verdict]++
		}
		b.stats(t)
	}
	for _, v := range Verdicts() {
		if never := v == DropFloodRate || v == DropOffload; !never && seen[v] == 0 {
			t.Errorf("no frame with %v in the test", v)
		}
	}
}

// settled returns the counters once they differ from was.
func (b *bench) settled(t *testing.T, was Stats) Stats {
	t.Helper()
	for {
		s := b.totals.Stats()
		if s.Frames != was.Frames {
			return s
		}
		if t.Context().Err() != nil {
			t.Fatal("nothing was counted")
		}
		runtime.Gosched()
	}
}

// checkOuter compares what left with what was said to leave.
func (b *bench) checkOuter(t *testing.T, w Way) {
	t.Helper()
	switch w.Verdict {
	case Forward, Replicate:
	case Answer, Deliver, DropTooBig:
		for len(b.out) > 0 {
			<-b.out
		}
		return
	default:
		return
	}
	for _, v := range w.VTEPs {
		d := <-b.wire.out
		if d.Peer != v.To || d.Flow != w.Outer.Flow || d.TOS != w.Outer.TOS || d.TTL != w.Outer.TTL {
			t.Fatalf("sent to %v, flow %x, TOS %x, TTL %d; explained %+v to %v", d.Peer, d.Flow, d.TOS, d.TTL, w.Outer, v.To)
		}
	}
}

// explaining is a switch with one network that is asked, and moves nothing.
func explaining(t *testing.T, floodRate int, tables *Tables) *Switch {
	t.Helper()
	sw := New(Config{Lanes: 1, FloodRate: floodRate}, new(Totals))
	n := networkOn(t, NetworkConfig{Ports: []Port{newFakePort()}, Count: new(Totals)}, tables)
	if err := sw.add(n); err != nil {
		t.Fatal(err)
	}
	return sw
}

func TestExplainNamesTheRowThatDecided(t *testing.T) {
	sw := explaining(t, 0, testTables(Policy{}))
	out := func(f ether.Frame) Way { w, _ := sw.ExplainFrame(vni, f); return w }
	in := func(f ether.Frame) Way { return sw.ExplainDatagram(datagram(vni, f), outerB, 0) }
	for _, c := range []struct {
		name         string
		w            Way
		want         Verdict
		entry, bound string
	}{
		{"forwarded", out(frame(macB, macSelf)), Forward, "1/" + macB.String(), ""},
		{"behind this host", out(frame(macHere, macSelf)), DropLocal, "1/" + macHere.String(), ""},
		{"unknown", out(frame(macNone, macSelf)), DropUnknownUnicast, "", ""},
		{"asked", out(arpRequest(ether.Broadcast, macSelf, ipSelf, ipB)), Answer, "", "1/10.10.2.0"},
		{"asked by a rival", out(arpRequest(ether.Broadcast, macLocal, ipB, ipC)), DropARPConflict, "", "1/10.10.2.0"},
		{"delivered", in(frame(macSelf, macB)), Deliver, "1/" + macB.String(), ""},
		{"another's", in(frame(macSelf, macC)), DropSpoofed, "1/" + macC.String(), ""},
		{"nobody's", in(frame(macSelf, macNone)), Deliver, "", ""},
		{"a runt", in(frame(macSelf, macB)[:5]), DropRuntFrame, "", ""},
	} {
		entry, bound := "", ""
		if c.w.Entry != nil {
			entry = c.w.Entry.Key.String()
		}
		if c.w.Bound != nil {
			bound = c.w.Bound.Key.String()
		}
		if c.w.Verdict != c.want || entry != c.entry || bound != c.bound {
			t.Errorf("%s: got %v by %q and %q, want %v by %q and %q", c.name, c.w.Verdict, entry, bound, c.want, c.entry, c.bound)
		}
	}
	if _, ok := sw.ExplainFrame(77, frame(macB, macSelf)); ok {
		t.Error("a network that there is not was explained")
	}
}

// What is larger than the TAP's MTU and unfinished can only be a superframe.
func TestExplainKnowsASuperframe(t *testing.T) {
	tables := testTables(Policy{})
	tables.MTU, tables.Paths = 100, NewPaths(100, 0, nil)
	sw := explaining(t, 0, tables)
	f := udp(make([]byte, 500))
	f.SetDst(macB)
	f.SetSrc(macSelf)
	u := ether.UDP(ether.IPv4(f.Payload()).Payload())
	sum := u.Checksum()
	u.SetChecksum(sum + 1)
	if w, _ := sw.ExplainFrame(vni, f); w.Verdict != DropTooBig || w.MTU != 100 || !w.Told {
		t.Errorf("finished: got %v, MTU %d, told %t; want DropTooBig, 100, true", w.Verdict, w.MTU, w.Told)
	}
	u.SetChecksum(sum)
	if w, _ := sw.ExplainFrame(vni, f); w.Verdict != Forward || w.Frames != 7 {
		t.Errorf("unfinished: got %v in %d frames, want Forward in 7", w.Verdict, w.Frames)
	}
}

func TestExplainSpendsNothing(t *testing.T) {
	sw := explaining(t, 2, testTables(Policy{Flood: true}))
	f := frame(ether.Broadcast, macSelf)
	for range 10 {
		if w, _ := sw.ExplainFrame(vni, f); w.Verdict != Replicate || len(w.VTEPs) != 2 {
			t.Fatalf("got %v to %d VTEPs, want Replicate to 2", w.Verdict, len(w.VTEPs))
		}
	}
	for sw.floods.take(2) {
	}
	if w, _ := sw.ExplainFrame(vni, f); w.Verdict != DropFloodRate {
		t.Errorf("got %v, want DropFloodRate", w.Verdict)
	}
	if s := sw.network(vni).Count.Stats(); s != (Stats{}) || sw.count.Stats() != s {
		t.Error(fmt.Sprint("explaining counted ", s))
	}
}
