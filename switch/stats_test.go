package vswitch

import "testing"

func TestCountersAreReadByLane(t *testing.T) {
	totals := new(Totals)
	for _, c := range []struct{ lane, frames int }{{1, 3}, {0, 5}, {1, 4}, {noLane, 100}} {
		var one tally
		one.count(Forward, c.frames, 10*c.frames)
		one.publish(totals.counters(c.lane))
	}
	lanes := totals.Lanes()
	if len(lanes) != 2 || lanes[0].Frames[Forward] != 5 || lanes[1].Frames[Forward] != 7 || lanes[1].Bytes[Forward] != 70 {
		t.Errorf("got %d lanes: %+v", len(lanes), lanes)
	}
	if got := totals.Stats().Frames[Forward]; got != 112 {
		t.Errorf("together: got %d frames, want 112", got)
	}
}
