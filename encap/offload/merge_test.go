package offload_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

// The tests of this file follow the families of Linux's own GRO selftest
// (tools/testing/selftests/net/gro.c): data, ack, flags, tcp, ip, large.

// on returns s with another payload: n bytes at offset at of the stream, with
// sequence number and id to match, as the at/100th frame.
func (s spec) on(at, n int) spec {
	s.seq += uint32(at)
	s.id += uint16(at / 100)
	s.data = stream(at, n)
	return s
}

// with returns s changed.
func (s spec) with(change func(*spec)) spec {
	change(&s)
	return s
}

// raw changes a frame after its checksums were computed.
type raw func(f ether.Frame) ether.Frame

func build(t testing.TB, specs []spec, raws map[int]raw) []ether.Frame {
	t.Helper()
	frames := make([]ether.Frame, 0, len(specs))
	for i, s := range specs {
		f := s.frame(t)
		if change := raws[i]; change != nil {
			f = change(f)
		}
		frames = append(frames, f)
	}
	return frames
}

// merge adds the frames of one group to a Merger and checks what must hold for
// any input: that the outputs stand for exactly these frames, in order. It
// returns how many frames each output is made of.
func merge(t *testing.T, frames []ether.Frame) []int {
	t.Helper()
	m := offload.NewMerger(offload.MergeConfig{Frames: 512, UDP: true})
	var want [][]byte
	for _, f := range frames {
		want = append(want, bytes.Clone(f))
		if !m.Add(offload.Arrival{Frame: f, MTU: 4096}) {
			t.Fatal("no room")
		}
	}
	var got [][]byte
	var counts []int
	for i, list := range m.Finish() {
		got = append(got, slowWire(list[0], join(list[1:]))...)
		counts = append(counts, m.Frames(i))
	}
	if !slices.EqualFunc(want, got, bytes.Equal) {
		t.Errorf("the outputs split again (-want +got):\n%s", cmp.Diff(want, got))
	}
	return counts
}

type mergeCase struct {
	name   string
	frames []spec
	raws   map[int]raw
	want   []int // frames in each output
}

func runMergeCases(t *testing.T, tests []mergeCase) {
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := merge(t, build(t, tt.frames, tt.raws))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("frames in each output (-want +got):\n%s", diff)
			}
		})
	}
}

// both runs the cases for IPv4 and for IPv6.
func both(cases func(base spec) []mergeCase) []mergeCase {
	out := cases(spec{frag: 0x4000, seq: 100, ack: 100, window: 0xffff})
	for _, c := range cases(spec{v6: true, seq: 100, ack: 100, window: 0xffff, label: 0x12345}) {
		c.name += " (IPv6)"
		out = append(out, c)
	}
	return out
}

func TestMergeData(t *testing.T) {
	runMergeCases(t, both(func(b spec) []mergeCase {
		return []mergeCase{
			{"equal segments in sequence merge", []spec{b.on(0, 100), b.on(100, 100), b.on(200, 100)}, nil, []int{3}},
			{"a shorter segment merges and is the last", []spec{b.on(0, 100), b.on(100, 100), b.on(200, 50), b.on(250, 100).with(func(s *spec) { s.id = 3 })}, nil, []int{3, 1}},
			{"a longer segment does not merge", []spec{b.on(0, 50), b.on(50, 100).with(func(s *spec) { s.id = 1 })}, nil, []int{1, 1}},
			{"a longer segment begins anew", []spec{b.on(0, 50), b.on(50, 100), b.on(150, 100)}, nil, []int{1, 2}},
			{"one segment stays alone", []spec{b.on(0, 100)}, nil, []int{1}},
			{"one byte merges with one byte", []spec{b.on(0, 1), b.on(1, 1).with(func(s *spec) { s.id = 1 })}, nil, []int{2}},
			{"the sequence number may wrap", []spec{
				b.on(0, 100).with(func(s *spec) { s.seq = 0xffffffce }), b.on(100, 100).with(func(s *spec) { s.seq = 50 }),
			}, nil, []int{2}},
			{"a gap of one byte does not merge", []spec{b.on(0, 100), b.on(100, 100).with(func(s *spec) { s.seq++ })}, nil, []int{1, 1}},
			{"a gap does not merge", []spec{b.on(0, 100), b.on(200, 100).with(func(s *spec) { s.id = 1 })}, nil, []int{1, 1}},
			{"a doubled segment does not merge", []spec{b.on(0, 100), b.on(0, 100).with(func(s *spec) { s.id = 1 })}, nil, []int{1, 1}},
			{"segments out of order do not merge", []spec{b.on(100, 100), b.on(0, 100), b.on(200, 100)}, nil, []int{1, 1, 1}},
			{"after a gap merging begins anew", []spec{b.on(0, 100), b.on(200, 100), b.on(300, 100)}, nil, []int{1, 2}},
			{"two flows merge each by itself", []spec{
				b.on(0, 100), b.on(0, 100).with(func(s *spec) { s.port = 1 }),
			}, nil, []int{1, 1}},
		}
	}))
}

func TestMergeAck(t *testing.T) {
	runMergeCases(t, both(func(b spec) []mergeCase {
		return []mergeCase{
			{"pure ACKs do not merge", []spec{b, b.with(func(s *spec) { s.id = 1 }), b.with(func(s *spec) { s.ack++; s.id = 2 })}, nil, []int{1, 1, 1}},
			{"a pure ACK ends what was merged", []spec{b.on(0, 100), b.on(100, 100), b.on(200, 0), b.on(200, 100)}, nil, []int{2, 1, 1}},
			{"another ACK number does not merge", []spec{b.on(0, 100), b.on(100, 100).with(func(s *spec) { s.ack++ })}, nil, []int{1, 1}},
			{"another window does not merge", []spec{b.on(0, 100), b.on(100, 100).with(func(s *spec) { s.window-- })}, nil, []int{1, 1}},
		}
	}))
}

func TestMergeFlags(t *testing.T) {
	runMergeCases(t, both(func(b spec) []mergeCase {
		// As the selftest has it: the flag on the third of five.
		five := func(flags string, n int) []spec {
			odd := b.on(200, n).with(func(s *spec) { s.flags = flags })
			return []spec{b.on(0, 100), b.on(100, 100), odd, b.on(200+n, 100).with(func(s *spec) { s.id = 3 }), b.on(300+n, 100).with(func(s *spec) { s.id = 4 })}
		}
		cases := []mergeCase{
			{"PSH merges and ends", five("P", 100), nil, []int{3, 2}},
			{"PSH on the first stays alone", []spec{b.on(0, 100).with(func(s *spec) { s.flags = "P" }), b.on(100, 100)}, nil, []int{1, 1}},
			{"no ACK flag", []spec{b.on(0, 100).with(func(s *spec) { s.flags = "a" }), b.on(100, 100).with(func(s *spec) { s.flags = "a" })}, nil, []int{1, 1}},
			{"an urgent pointer that differs", []spec{b.on(0, 100), b.on(100, 100).with(func(s *spec) { s.urgent = 1 })}, nil, []int{1, 1}},
		}
		for _, flag := range []string{"S", "F", "R", "U", "C", "E", "N"} {
			cases = append(cases,
				mergeCase{flag + " in the middle stays alone", five(flag, 100), nil, []int{2, 1, 2}},
				mergeCase{flag + " without data stays alone", five(flag, 0), nil, []int{2, 1, 2}},
				mergeCase{flag + " on both stays alone", []spec{
					b.on(0, 100).with(func(s *spec) { s.flags = flag }), b.on(100, 100).with(func(s *spec) { s.flags = flag }),
				}, nil, []int{1, 1}})
		}
		// Old kernels let CWR begin a superframe, newer ones want it on all.
		cases = append(cases, mergeCase{"CWR on the second and third of five stays alone twice", []spec{
			b.on(0, 100), b.on(100, 100).with(func(s *spec) { s.flags = "C" }), b.on(200, 100).with(func(s *spec) { s.flags = "C" }), b.on(300, 100), b.on(400, 100),
		}, nil, []int{1, 1, 1, 2}})
		return cases
	}))
}

func TestMergeTCP(t *testing.T) {
	flip := func(at int) raw { return func(f ether.Frame) ether.Frame { f[len(f)-at] ^= 1; return f } }
	runMergeCases(t, both(func(b spec) []mergeCase {
		ts := func(v byte) func(*spec) { return func(s *spec) { s.opts = timestamps(v) } }
		ordered := func(order ...int) func(*spec) { // the three options of timestamps(2)
			return func(s *spec) {
				for _, i := range order {
					s.opts = append(s.opts, timestamps(2)[i])
				}
			}
		}
		scale := []layers.TCPOption{
			{OptionType: layers.TCPOptionKindNop}, {OptionType: layers.TCPOptionKindWindowScale, OptionLength: 3, OptionData: []byte{0}},
		}
		return []mergeCase{
			{"a wrong checksum stays alone and wrong", []spec{b.on(0, 100), b.on(100, 100), b.on(200, 100)}, map[int]raw{1: flip(1)}, []int{1, 1, 1}},
			{"a wrong checksum on the first", []spec{b.on(0, 100), b.on(100, 100), b.on(200, 100)}, map[int]raw{0: flip(1)}, []int{1, 2}},
			{"a wrong checksum on the third", []spec{b.on(0, 100), b.on(100, 100), b.on(200, 100), b.on(300, 100)}, map[int]raw{2: flip(1)}, []int{2, 1, 1}},
			{"equal timestamps merge", []spec{b.on(0, 100).with(ts(1)), b.on(100, 100).with(ts(1))}, nil, []int{2}},
			{"other timestamps do not", []spec{b.on(0, 100).with(ts(1)), b.on(100, 100).with(ts(2)), b.on(200, 100).with(ts(2))}, nil, []int{1, 2}},
			{"options in another order do not", []spec{
				b.on(0, 100).with(ts(1)), b.on(100, 100).with(ts(1)), b.on(200, 100).with(ordered(0, 1, 2)), b.on(300, 100).with(ordered(0, 2, 1)), b.on(400, 100).with(ordered(2, 0, 1)),
			}, nil, []int{2, 1, 1, 1}},
			{"another option does not", []spec{
				b.on(0, 100).with(ts(1)), b.on(100, 100).with(ts(1)), b.on(200, 100).with(func(s *spec) { s.opts = scale }),
			}, nil, []int{2, 1}},
			{"options on one of two do not", []spec{b.on(0, 100), b.on(100, 100).with(ts(1)), b.on(200, 100)}, nil, []int{1, 1, 1}},
		}
	}))
}

func TestMergeLarge(t *testing.T) {
	for _, b := range []spec{{frag: 0x4000}, {v6: true}} {
		headers := 40
		if b.v6 {
			headers = 60
		}
		const size = 4096 - 60
		full := (65535 - headers) / size
		rest := 65535 - headers - full*size
		for name, tt := range map[string]struct {
			last int
			want []int
		}{
			"exactly 65535 bytes merge":    {rest, []int{full + 1, 1}},
			"one byte more begins another": {rest + 1, []int{full, 1, 1}},
		} {
			var specs []spec
			for i := range full {
				specs = append(specs, b.with(func(s *spec) { s.seq, s.id, s.data = uint32(i*size), uint16(i), stream(i*size, size) }))
			}
			for i := range 2 { // the second does not follow
				at := (full + i) * size
				specs = append(specs, b.with(func(s *spec) { s.seq, s.id, s.data = uint32(at), uint16(full+i), stream(at, tt.last) }))
			}
			if diff := cmp.Diff(tt.want, merge(t, build(t, specs, nil))); diff != "" {
				t.Errorf("%s, v6 %v: frames in each output (-want +got):\n%s", name, b.v6, diff)
			}
		}
	}
}

func TestMergeCapsTheNumberOfFrames(t *testing.T) {
	var tcp, udp []spec
	for i := range 130 {
		tcp = append(tcp, spec{seq: uint32(i), id: uint16(i), data: stream(i, 1)})
		udp = append(udp, spec{udp: true, id: uint16(i), data: stream(i, 1)})
	}
	if diff := cmp.Diff([]int{128, 2}, merge(t, build(t, tcp, nil))); diff != "" {
		t.Errorf("TCP (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{64, 64, 2}, merge(t, build(t, udp, nil))); diff != "" {
		t.Errorf("UDP (-want +got):\n%s", diff)
	}
}

func TestMergeUDP(t *testing.T) {
	noSum := func(f ether.Frame) ether.Frame { ether.UDP(f[34:]).SetChecksum(0); return f }
	flip := func(f ether.Frame) ether.Frame { f[len(f)-1] ^= 1; return f }
	short := func(f ether.Frame) ether.Frame { // the length of UDP below that of IP
		l4 := len(f) - 108
		ether.UDP(f[l4:]).SetLen(107)
		return f
	}
	runMergeCases(t, both(func(b spec) []mergeCase {
		b.udp = true
		pair := func(change func(*spec)) []spec {
			return []spec{b.on(0, 100), b.on(100, 100).with(change), b.on(200, 100)}
		}
		return []mergeCase{
			{"equal datagrams merge", pair(func(*spec) {}), nil, []int{3}},
			{"a shorter one merges and is the last", []spec{b.on(0, 100), b.on(100, 99), b.on(200, 100)}, nil, []int{2, 1}},
			{"a longer one begins anew", []spec{b.on(0, 99), b.on(100, 100), b.on(200, 100)}, nil, []int{1, 2}},
			{"an empty one stays alone", pair(func(s *spec) { s.data = nil }), nil, []int{1, 1, 1}},
			{"another class", pair(func(s *spec) { s.tos = 3 }), nil, []int{1, 1, 1}},
			{"another TTL", pair(func(s *spec) { s.ttl = 9 }), nil, []int{1, 1, 1}},
			{"a wrong checksum", pair(func(*spec) {}), map[int]raw{1: flip}, []int{1, 1, 1}},
			{"a length that is not that of IP", pair(func(*spec) {}), map[int]raw{1: short}, []int{1, 1, 1}},
		}
	}))
	b := spec{udp: true, frag: 0x4000}
	runMergeCases(t, []mergeCase{
		{"no checksum", []spec{b.on(0, 100), b.on(100, 100), b.on(200, 100)}, map[int]raw{0: noSum, 1: noSum, 2: noSum}, []int{1, 1, 1}},
		{"no checksum on one", []spec{b.on(0, 100), b.on(100, 100), b.on(200, 100)}, map[int]raw{1: noSum}, []int{1, 1, 1}},
		{"TCP and UDP of the same ports", []spec{b.on(0, 100), {frag: 0x4000, id: 1, data: stream(0, 100)}}, nil, []int{1, 1}},
	})
}
