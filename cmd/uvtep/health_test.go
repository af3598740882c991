package main

import (
	"strings"
	"testing"
	"time"

	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/switch/tap"
)

// hearts are the beats of a switch, as a test sets them.
type hearts []uint64

func (h hearts) Beats() []uint64 { return append([]uint64(nil), h...) }

func lookTimes(v *vitals, n int) {
	for range n {
		v.look()
	}
}

// noPlanes are those of an agent that waits for its network.
func noPlanes() []*plane { return nil }

func TestAGoroutineThatStaysInOneBatchHangs(t *testing.T) {
	h := hearts{4, 7, 2}
	v := &vitals{planes: noPlanes, beats: h}
	lookTimes(v, hangsAfter)
	if err := v.sick(); err != nil {
		t.Errorf("%d looks: %v", hangsAfter, err)
	}
	v.look()
	if err := v.sick(); err == nil || !strings.Contains(err.Error(), "goroutine 1 of the data path hangs") {
		t.Errorf("one look more: got %v, want goroutine 1, which is within a batch", err)
	}
	h[1] = 9 // it goes on, and is in another batch
	v.look()
	if err := v.sick(); err != nil {
		t.Errorf("in the next batch: %v", err)
	}
	for range 3 * hangsAfter { // busy all the time, and never in the same
		h[1] += 2
		v.look()
	}
	if err := v.sick(); err != nil {
		t.Errorf("busy: %v", err)
	}
	h[1] = 10
	lookTimes(v, 3*hangsAfter) // idle
	if err := v.sick(); err != nil {
		t.Errorf("idle: %v", err)
	}
	h[1] = 11
	lookTimes(v, hangsAfter)
	v.beats = hearts{11, 11} // others, of which nothing is known yet
	lookTimes(v, hangsAfter)
	if err := v.sick(); err != nil {
		t.Errorf("other goroutines: %v", err)
	}
}

func TestADataPathThatDoesNotRunIsNotWell(t *testing.T) {
	v := &vitals{planes: noPlanes, beats: hearts{}}
	if err := v.sick(); err != nil {
		t.Errorf("before there is a TAP: %v", err)
	}
	v.begins("uvtep.1")
	v.ends("uvtep.1", "it is being opened anew")
	v.begins("uvtep.2")
	if err := v.sick(); err != nil {
		t.Errorf("a moment later: %v", err)
	}
	v.taps["uvtep.1"] = service{why: v.taps["uvtep.1"].why, ended: time.Now().Add(-idleGrace)}
	if err := v.lost(); err != nil {
		t.Errorf("another is served: %v", err)
	}
	if err := v.sick(); err == nil || !strings.Contains(err.Error(), "uvtep.1 does not run: it is being opened anew") {
		t.Errorf("got %v", err)
	}
	v.taps["uvtep.2"] = v.taps["uvtep.1"]
	if err := v.lost(); err == nil {
		t.Error("none is served: no error")
	}
	v.begins("uvtep.1")
	v.begins("uvtep.2")
	if err := v.sick(); err != nil {
		t.Errorf("running again: %v", err)
	}
	v.hanged = "goroutine 1 hangs"
	if err := v.lost(); err == nil {
		t.Error("one hangs: no error")
	}
}

func TestReadyIsWhoHasPlaceTAPAndTables(t *testing.T) {
	var planes []*plane
	v := &vitals{planes: func() []*plane { return planes }, networks: 1}
	wants := func(parts ...string) {
		t.Helper()
		err := v.unready()
		if len(parts) == 0 && err != nil {
			t.Errorf("got %v, want ready", err)
		}
		for _, p := range parts {
			if err == nil || !strings.Contains(err.Error(), p) {
				t.Errorf("got %v, want it to say %q", err, p)
			}
		}
	}
	wants("configuration is not known")
	place := make(chan struct{})
	p := &plane{name: "uvtep.7", place: place}
	planes = append(planes, p)
	wants("uvtep.7: no place in the network", "uvtep.7: the TAP is not open", "uvtep.7: no tables")
	close(place)
	p.dev = &tap.Device{}
	wants("no tables")
	p.tables = &etcdsync.Tables{}
	wants()
	p.offloads.closed()
	wants("TAP is not open")
	p.renewed()
	wants()
	planes = nil
	wants("configuration is not known")
}
