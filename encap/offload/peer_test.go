package offload_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

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
