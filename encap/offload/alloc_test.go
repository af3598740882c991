package offload_test

import (
	"bytes"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

func TestNothingPerFrameAllocates(t *testing.T) {
	h, f := super(t, spec{data: stream(0, 60000)}, 1398)
	sp := offload.NewSplitter(64)
	m := offload.NewMerger(offload.MergeConfig{Frames: 256, UDP: true})
	done, plain, tagged := header(), spec{data: stream(0, 100)}.frame(t), spec{vlan: true}.frame(t)
	frames := append(append(tcpRun(t, 40, 1398, 1), udpRun(t, 64, 64, 2)...), unfinish(spec{v6: true, data: stream(0, 3000)}.frame(t)))
	saved := make([]ether.Frame, len(frames))
	for i, f := range frames {
		saved[i] = bytes.Clone(f)
	}
	for name, run := range map[string]func(){
		"Split": func() {
			sp.Reset()
			if _, fate := sp.Split(vxlan, h, f); fate != offload.Ready {
				t.Fatal(fate)
			}
		},
		"Merge": func() {
			m.Reset()
			for i, f := range frames {
				copy(f, saved[i])
				m.Add(offload.Arrival{Frame: f, MTU: 1450})
			}
			if got := len(m.Finish()); got != 3 {
				t.Fatalf("%d outputs, want 3", got)
			}
		},
		"SegmentLen": func() { _ = offload.SegmentLen(h, f) },
		"Complete":   func() { done.SetFlags(offload.FlagNeedsCsum); done.SetCsum(34, 16); _ = offload.Complete(done, plain) },
		"StripTags":  func() { _ = offload.StripTags(done, tagged) },
		"Unfinished": func() { _ = offload.Unfinished(done, f, 1450, 0) },
		"Undivided":  func() { _ = offload.Undivided(f, 100) },
	} {
		if n := testing.AllocsPerRun(20, run); n != 0 {
			t.Errorf("%s allocates %v times a run, want 0", name, n)
		}
	}
}
