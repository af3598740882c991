package offload_test

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

// talker is one flow of a script: it knows what it sends next.
type talker struct {
	spec
	group int
	at    int
}

// talkers are a few flows, some of which differ in one thing only.
func talkers() []*talker {
	return []*talker{
		{spec: spec{frag: 0x4000, opts: timestamps(1)}},
		{spec: spec{frag: 0x4000, opts: timestamps(1), port: 1}},
		{spec: spec{frag: 0x4000, opts: timestamps(1)}, group: 1},
		{spec: spec{v6: true, host: 2}},
		{spec: spec{udp: true}},
		{spec: spec{udp: true, v6: true, host: 3}},
		{spec: spec{udp: true, port: 1}, group: 1},
		{spec: spec{vlan: true, port: 5}},
	}
}

// say returns the talker's next frame. The byte how picks its oddity: nearly
// half of the values pick none.
func (k *talker) say(t testing.TB, how byte) ether.Frame {
	s := k.spec
	size := 60
	change := raw(func(f ether.Frame) ether.Frame { return f })
	switch how % 32 {
	case 0:
		s.flags = "P"
	case 1:
		size = 20
	case 2:
		size = 61
	case 3:
		size = 0
	case 4:
		s.tos = 3
	case 5:
		s.ttl = 9
	case 6:
		s.opts = timestamps(2)
	case 7:
		s.flags = string("SFRUECN"[how/32%7])
	case 8:
		s.window = 1
	case 9:
		k.at += 60 // a gap
	case 10:
		k.id += 5
	case 11:
		change = func(f ether.Frame) ether.Frame { f[len(f)-1] ^= 0x10; return f }
	case 12:
		change = func(f ether.Frame) ether.Frame { f[24] ^= 0x10; return f }
	case 13:
		change = unfinish
	case 14:
		change, size = unfinish, 3000
	case 15:
		s.ipOpts, s.ext = true, true
	case 16:
		s.frag |= 0x2000
	case 17:
		change = func(f ether.Frame) ether.Frame { return append(f, how) }
	case 18:
		change = func(f ether.Frame) ether.Frame { return f[:len(f)-1] }
	}
	s.seq, s.id, s.data = uint32(k.at), k.id, stream(k.at, size)
	k.at += size
	k.id++
	return change(s.frame(t))
}

// flowName tells flows apart as a receiver does; frames of one flow must stay
// in order, whatever the frame.
func flowName(group int, f ether.Frame) string {
	typ, b := f.Network()
	if typ == ether.TypeIPv4 {
		ip := ether.IPv4(b)
		return fmt.Sprint(group, f.Tagged(), ip[9], ip[12:20], ip[ip.HeaderLen():][:4])
	}
	proto, payload, _, _ := ether.IPv6(b).Transport()
	return fmt.Sprint(group, f.Tagged(), proto, b[8:40], payload[:4])
}

// wire returns what has to reach the receiver for an arriving frame: itself,
// or with its checksum finished, or cut to the MTU.
func wire(f ether.Frame) [][]byte {
	h := header()
	offload.Unfinished(h, f, 1450, 0)
	return slowWire(h, f)
}

// checkBatch merges the frames that a script makes and compares flow by flow.
func checkBatch(t *testing.T, script []byte) {
	t.Helper()
	m := offload.NewMerger(offload.MergeConfig{Frames: 300, UDP: true})
	flows := talkers()
	want, got := map[string][][]byte{}, map[string][][]byte{}
	added := 0
	for i := 0; i+1 < len(script) && i < 512; i += 2 {
		k := flows[int(script[i])%len(flows)]
		f := k.say(t, script[i+1])
		name := flowName(k.group, f)
		want[name] = append(want[name], wire(f)...)
		if !m.Add(offload.Arrival{Frame: f, Group: k.group, MTU: 1450}) {
			t.Fatal("no room")
		}
		added++
	}
	lists := m.Finish()
	for i := 0; i < m.Len(); {
		group, run := m.Run(i)
		for _, list := range run {
			frames := slowWire(list[0], join(list[1:]))
			name := flowName(group, frames[0])
			got[name] = append(got[name], frames...)
			added -= m.Frames(i)
			i++
		}
	}
	if added != 0 || len(lists) != m.Len() {
		t.Errorf("%d frames are missing, %d lists for %d outputs", added, len(lists), m.Len())
	}
	compareFlows(t, want, got)
}

// compareFlows compares frames flow by flow; cmp only words the difference, it
// is too slow to look for it.
func compareFlows(t *testing.T, want, got map[string][][]byte) {
	t.Helper()
	same := func(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }
	if !maps.EqualFunc(want, got, same) {
		t.Errorf("frames by flow (-want +got):\n%s", cmp.Diff(want, got))
	}
}

func TestMergeThenSplitIsTheIdentityOnRandomBatches(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		script := make([]byte, rnd.IntN(200)*2)
		for i := range script {
			script[i] = byte(rnd.Uint32())
		}
		if rnd.IntN(2) == 0 { // one flow alone, mostly without oddities
			for i := range script {
				script[i] = script[0]&7*byte(1-i%2) + byte(i%2)*byte(20+rnd.IntN(13))
			}
		}
		checkBatch(t, script)
	}
}

func FuzzMerge(f *testing.F) {
	f.Add([]byte{0, 31, 0, 31, 0, 31})                           // one flow
	f.Add([]byte{0, 31, 3, 31, 0, 31, 3, 31, 4, 31, 5, 31, 4})   // several
	f.Add([]byte{0, 31, 0, 31, 0, 0, 0, 31})                     // PSH
	f.Add([]byte{0, 31, 0, 11, 0, 31})                           // wrong checksum
	f.Add([]byte{0, 31, 0, 13, 0, 14, 0, 31})                    // unfinished, and a superframe
	f.Add([]byte{4, 31, 4, 16, 4, 31, 5, 31})                    // a fragment between
	f.Add([]byte{0, 31, 2, 31, 0, 31, 2, 31, 6, 31, 7, 31})      // groups
	f.Add([]byte{1, 31, 1, 9, 1, 31, 1, 10, 1, 31, 1, 17, 1})    // gaps and padding
	f.Add([]byte{3, 31, 3, 15, 3, 31, 5, 31, 5, 1, 5, 31, 5, 2}) // extension header, sizes
	f.Fuzz(checkBatch)
}

// Any bytes at all: nothing panics, what goes in comes out.
func FuzzMergeBytes(f *testing.F) {
	f.Add([]byte(spec{data: stream(0, 10)}.frame(f)), []byte(spec{seq: 10, id: 1, data: stream(10, 10)}.frame(f)), uint16(1450))
	f.Add([]byte(spec{udp: true, v6: true, data: stream(0, 10)}.frame(f)), []byte{}, uint16(0))
	f.Add([]byte(unfinish(spec{data: stream(0, 99)}.frame(f))), []byte(unfinish(spec{seq: 99, id: 1, data: stream(0, 99)}.frame(f))), uint16(60))
	f.Fuzz(func(t *testing.T, a, b []byte, mtu uint16) {
		m := offload.NewMerger(offload.MergeConfig{Frames: 4, UDP: true})
		whole := len(a) + len(b)
		m.Add(offload.Arrival{Frame: bytes.Clone(a), MTU: int(mtu)})
		m.Add(offload.Arrival{Frame: bytes.Clone(b), MTU: int(mtu)})
		lists := m.Finish()
		if len(lists) == 2 {
			if !bytes.Equal(join(lists[0][1:]), a) || !bytes.Equal(join(lists[1][1:]), b) {
				t.Error("a frame that was not merged changed")
			}
			return
		}
		h := offload.VnetHeader(lists[0][0])
		if got := len(join(lists[0][1:])); got != whole-h.HeaderLen() || !h.Super() || !h.NeedsCsum() {
			t.Errorf("superframe of %d bytes, want %d; header %x", got, whole-h.HeaderLen(), []byte(h))
		}
	})
}
