package offload_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

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
