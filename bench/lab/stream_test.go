//go:build linux

package lab

import (
	"context"
	"testing"
	"time"
)

func TestStreamTellsWhatWasLostAndWhen(t *testing.T) {
	l := newLab(t, Config{Hosts: 2, UnderlaySteered: true})
	ctx := patient(t)
	a, b := l.Hosts[0], l.Hosts[1]
	s, err := a.Stream(b.Node, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	arrived := func(i int, atLeast int64) {
		t.Helper()
		w := s.ways[i]
		for w.arrived.Load() < atLeast {
			select {
			case <-w.news:
			case <-ctx.Done():
				t.Fatalf("direction %d: %d arrived", i, w.arrived.Load())
			}
		}
	}
	arrived(0, 20)
	// From a to b nothing gets through, until b has sent some more.
	unblock, err := b.Block(Block{FromPort: s.ways[1].at.Port()}) // what a sends from
	if err != nil {
		t.Fatal(err)
	}
	before := s.ways[1].arrived.Load()
	arrived(1, before+100)
	if err := unblock(); err != nil {
		t.Fatal(err)
	}
	arrived(0, s.ways[0].arrived.Load()+20)
	out, err := s.Stop(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if got := out[0]; got.Lost() == 0 || got.Received < 40 || got.FirstLost <= 0 || got.Hole < 50*time.Millisecond || got.Doubled+got.Reordered+got.Refused > 0 {
		t.Errorf("there: got %v; it was blocked while 100 came back", got)
	}
	if got := out[1]; got.Lost() != 0 || got.FirstLost >= 0 || got.Sent < 100 || got.Doubled+got.Reordered+got.Refused > 0 {
		t.Errorf("back: got %v", got)
	}
	if again, err := s.Stop(context.Background()); again != out || err != nil {
		t.Errorf("second stop: got %v, %v", again, err)
	}
}
