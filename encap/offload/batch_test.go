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

func TestSplitThenMergeGivesTheSuperframeBack(t *testing.T) {
	for name, tt := range map[string]struct {
		s    spec
		size int
	}{
		"TCP over IPv4": {spec{frag: 0x4000, seq: 77, id: 5, flags: "P", opts: timestamps(1), data: stream(0, 60001)}, 1398},
		"TCP over IPv6": {spec{v6: true, opts: timestamps(1), data: stream(0, 60000)}, 1378},
		"UDP over IPv4": {spec{udp: true, id: 5, data: stream(0, 64*60-1)}, 60},
		"UDP over IPv6": {spec{udp: true, v6: true, data: stream(0, 1200*40)}, 1200},
	} {
		t.Run(name, func(t *testing.T) {
			h, f := super(t, tt.s, tt.size)
			lists, fate := offload.NewSplitter(128).Split(nil, h, f)
			if fate != offload.Ready {
				t.Fatal(fate)
			}
			m := offload.NewMerger(offload.MergeConfig{Frames: 128, UDP: true})
			for _, list := range lists {
				m.Add(offload.Arrival{Frame: join(list), MTU: 1450})
			}
			out := m.Finish()
			if len(out) != 1 {
				t.Fatalf("%d outputs, want 1", len(out))
			}
			h.SetHeaderLen(len(f) - len(tt.s.data))
			if diff := cmp.Diff([]byte(h), out[0][0]); diff != "" {
				t.Errorf("virtio header (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]byte(f), join(out[0][1:])); diff != "" {
				t.Errorf("superframe (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMergeUnfinishedFramesAmongThemselvesAndWithOthers(t *testing.T) {
	b := spec{frag: 0x4000}
	frames := build(t, []spec{b.on(0, 100), b.on(100, 100), b.on(200, 100)}, map[int]raw{0: unfinish, 2: unfinish})
	want := []byte(unfinish(b.with(func(s *spec) { s.data = stream(0, 300) }).frame(t)))
	m := offload.NewMerger(offload.MergeConfig{Frames: 8})
	for _, f := range frames {
		m.Add(offload.Arrival{Frame: f, MTU: 1450})
	}
	out := m.Finish()
	if len(out) != 1 {
		t.Fatalf("%d outputs, want 1", len(out))
	}
	if diff := cmp.Diff(want, join(out[0][1:])); diff != "" {
		t.Errorf("superframe (-want +got):\n%s", diff)
	}
}

func TestMergeHandsSuperframesOfAPeerOnAlone(t *testing.T) {
	tcp := func(at int) ether.Frame { return unfinish(spec{seq: uint32(at), data: stream(at, 30000)}.frame(t)) }
	udp := unfinish(spec{udp: true, data: stream(0, 640)}.frame(t))
	m := offload.NewMerger(offload.MergeConfig{Frames: 8, UDP: true})
	m.Add(offload.Arrival{Frame: tcp(0), MTU: 1450})
	m.Add(offload.Arrival{Frame: tcp(30000), MTU: 1450})
	m.Add(offload.Arrival{Frame: bytes.Clone(udp), MTU: 1450, Segment: 64})
	m.Add(offload.Arrival{Frame: bytes.Clone(udp), MTU: 1450, Segment: 64})
	out := m.Finish()
	if len(out) != 4 {
		t.Fatalf("%d outputs, want 4", len(out))
	}
	for i, want := range []struct {
		kind uint8
		size int
	}{{offload.GSOTCPv4, 1410}, {offload.GSOTCPv4, 1410}, {offload.GSOUDPL4, 64}, {offload.GSOUDPL4, 64}} {
		if h := offload.VnetHeader(out[i][0]); h.GSOType() != want.kind || h.GSOSize() != want.size {
			t.Errorf("output %d: kind %d of %d, want %d of %d", i, h.GSOType(), h.GSOSize(), want.kind, want.size)
		}
	}
}

func TestMergeWithoutUDPLeavesDatagramsAlone(t *testing.T) {
	m := offload.NewMerger(offload.MergeConfig{Frames: 8})
	for _, f := range udpRun(t, 3, 64, 0) {
		m.Add(offload.Arrival{Frame: f, MTU: 1450})
	}
	if m.Finish(); m.Len() != 3 {
		t.Errorf("%d outputs, want 3", m.Len())
	}
}

func TestMergeKeepsFramesLongerThanTheMTUAlone(t *testing.T) {
	m := offload.NewMerger(offload.MergeConfig{Frames: 8})
	for _, f := range tcpRun(t, 2, 1399, 0) { // 1451 bytes of IP
		m.Add(offload.Arrival{Frame: f, MTU: 1450})
	}
	if m.Finish(); m.Len() != 2 {
		t.Errorf("%d outputs, want 2", m.Len())
	}
}

func TestMergeTakesWhatWasAskedForAndNoMore(t *testing.T) {
	frames := append(tcpRun(t, 3, 100, 0), tcpRun(t, 2, 100, 1)...)
	m := offload.NewMerger(offload.MergeConfig{Frames: 4})
	for i, f := range frames {
		if got, want := m.Add(offload.Arrival{Frame: f, MTU: 1450}), i < 4; got != want {
			t.Errorf("Add of frame %d = %v, want %v", i, got, want)
		}
	}
	if got := len(m.Finish()); got != 2 {
		t.Errorf("%d outputs, want 2", got)
	}
	m.Reset()
	if !m.Add(offload.Arrival{Frame: frames[4], MTU: 1450}) || len(m.Finish()) != 1 || m.Frames(0) != 1 {
		t.Error("after Reset the last frame is not alone")
	}
	var zero offload.Merger
	if zero.Add(offload.Arrival{Frame: frames[0]}) {
		t.Error("the zero Merger takes a frame")
	}
}

// What comes between two segments that would merge may be of their flow, so
// that they must not close up, or certainly not, so that they may.
func TestMergeClosesUpOnlyOverWhatIsNotOfTheFlow(t *testing.T) {
	v4, v6 := spec{frag: 0x4000}, spec{v6: true}
	proto := func(p uint8) raw {
		return func(f ether.Frame) ether.Frame { ether.IPv4(f[14:]).SetProtocol(p); return f }
	}
	fragment6 := func(p byte) raw {
		return func(f ether.Frame) ether.Frame { // a later fragment: no ports in it
			g := append(bytes.Clone(f[:54]), p, 0, 0, 8, 0, 0, 0, 1)
			ether.IPv6(g[14:]).SetNextHeader(44)
			ether.IPv6(g[14:]).SetPayloadLen(len(f) - 54 + 8)
			return append(g, f[54:]...)
		}
	}
	short := func(f ether.Frame) ether.Frame { ether.IPv4(f[14:]).SetTotalLen(24); return f }
	tests := []struct {
		name    string
		flow    spec
		between spec
		change  raw
		want    []int
	}{
		{"a later UDP fragment", v4, spec{udp: true, frag: 0x0010, port: 77}, nil, []int{1, 1, 1}},
		{"a later ICMP fragment", v4, spec{frag: 0x0010, port: 77}, proto(ether.ProtoICMP), []int{2, 1}},
		{"ICMP", v4, spec{port: 77}, proto(ether.ProtoICMP), []int{2, 1}},
		{"a later IPv6 fragment of UDP, whose data looks like a header", v6, spec{v6: true, udp: true, port: 77}, fragment6(ether.ProtoUDP), []int{1, 1, 1}},
		{"a later IPv6 fragment of ICMP", v6, spec{v6: true, port: 77}, fragment6(ether.ProtoICMPv6), []int{2, 1}},
		{"a UDP header cut off", v4, spec{udp: true, port: 77}, short, []int{1, 1, 1}},
		{"another flow", v4, spec{port: 77, data: stream(0, 9)}, nil, []int{2, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			specs := []spec{tt.flow.on(0, 100), tt.between, tt.flow.on(100, 100)}
			m := offload.NewMerger(offload.MergeConfig{Frames: 8, UDP: true})
			for _, f := range build(t, specs, map[int]raw{1: tt.change}) {
				m.Add(offload.Arrival{Frame: f, MTU: 1450})
			}
			m.Finish()
			var got []int
			for i := range m.Len() {
				got = append(got, m.Frames(i))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("frames in each output (-want +got):\n%s", diff)
			}
		})
	}
}

func TestMergeKeepsTheFlowsOfABatchApartAndWhole(t *testing.T) {
	frames := interleave(tcpRun(t, 5, 100, 0), udpRun(t, 5, 100, 0), tcpRun(t, 5, 100, 1))
	m := offload.NewMerger(offload.MergeConfig{Frames: 64, UDP: true})
	for _, f := range frames {
		m.Add(offload.Arrival{Frame: f, MTU: 1450})
	}
	m.Finish()
	for i := range m.Len() {
		if m.Len() != 3 || m.Frames(i) != 5 {
			t.Errorf("output %d of %d is made of %d frames, want 3 of 5", i, m.Len(), m.Frames(i))
		}
	}
}

// Every batch uses the scratch to the last piece; none leaves some behind.
func TestMergeScratchLastsForAnyNumberOfBatches(t *testing.T) {
	batches := map[string][]ether.Frame{"one flow": tcpRun(t, 16, 10, 0)}
	for i := range uint16(16) {
		batches["unfinished"] = append(batches["unfinished"], unfinish(spec{port: i}.frame(t)))
	}
	for name, frames := range batches {
		saved := make([]ether.Frame, len(frames))
		for i, f := range frames {
			saved[i] = bytes.Clone(f)
		}
		m := offload.NewMerger(offload.MergeConfig{Frames: len(frames)})
		n := testing.AllocsPerRun(50, func() {
			m.Reset()
			for i, f := range frames {
				copy(f, saved[i])
				if !m.Add(offload.Arrival{Frame: f, MTU: 1450}) {
					t.Fatalf("%s: no room for frame %d", name, i)
				}
			}
			m.Finish()
		})
		if n != 0 {
			t.Errorf("%s: a batch allocates %v times, want 0", name, n)
		}
	}
}

func TestMergeForgetsFlowsBetweenBatches(t *testing.T) {
	frames := tcpRun(t, 2, 100, 0)
	m := offload.NewMerger(offload.MergeConfig{Frames: 4})
	m.Add(offload.Arrival{Frame: frames[0], MTU: 1450})
	m.Finish()
	m.Reset()
	m.Add(offload.Arrival{Frame: frames[1], MTU: 1450})
	if m.Finish(); m.Len() != 1 || m.Frames(0) != 1 {
		t.Errorf("%d outputs of %d frames, want 1 of 1", m.Len(), m.Frames(0))
	}
}

func TestRunsAreOfOneGroupEach(t *testing.T) {
	m := offload.NewMerger(offload.MergeConfig{Frames: 8})
	for i, group := range []int{7, 7, 3, 7} {
		m.Add(offload.Arrival{Frame: tcpRun(t, 1, 10, uint16(i))[0], Group: group, MTU: 1450})
	}
	m.Finish()
	var got [][2]int
	for i := 0; i < m.Len(); {
		group, lists := m.Run(i)
		got = append(got, [2]int{group, len(lists)})
		i += len(lists)
	}
	if diff := cmp.Diff([][2]int{{7, 2}, {3, 1}, {7, 1}}, got); diff != "" {
		t.Errorf("groups and their lengths (-want +got):\n%s", diff)
	}
}

// More flows than the table has places: what is not merged is not lost.
func TestMergeOfMoreFlowsThanTheTableHolds(t *testing.T) {
	const flows = 700
	var runs [][]ether.Frame
	for i := range flows {
		runs = append(runs, tcpRun(t, 3, 10, uint16(i)))
	}
	m := offload.NewMerger(offload.MergeConfig{Frames: 3 * flows})
	want := map[string][][]byte{}
	for _, f := range interleave(runs...) {
		name := flowName(0, f)
		want[name] = append(want[name], bytes.Clone(f))
		m.Add(offload.Arrival{Frame: f, MTU: 1450})
	}
	got := map[string][][]byte{}
	for _, list := range m.Finish() {
		for _, f := range slowWire(list[0], join(list[1:])) {
			got[flowName(0, f)] = append(got[flowName(0, f)], f)
		}
	}
	compareFlows(t, want, got)
}
