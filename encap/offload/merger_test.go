package offload_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

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
