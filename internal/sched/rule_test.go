package sched

import (
	"testing"
	"time"
)

// looks as they follow each other.
var (
	quiet   = look{took: lookEvery, busiest: time.Millisecond, woken: sample, waited: sample * 5 * time.Microsecond}
	waiting = look{took: lookEvery, busiest: time.Millisecond, woken: sample, waited: sample * 20 * time.Microsecond}
	busy    = look{took: lookEvery, busiest: lookEvery / 4, woken: sample, waited: sample * 20 * time.Microsecond}
	between = look{took: lookEvery, busiest: lookEvery / 10, woken: sample, waited: sample * 20 * time.Microsecond}
	taxing  = look{took: lookEvery, busiest: time.Millisecond, others: lookEvery * 3 / 4, woken: sample, waited: sample * 20 * time.Microsecond}
	idle    = look{took: lookEvery}
	few     = look{took: lookEvery, woken: sample / 2, waited: sample / 2 * 20 * time.Microsecond}
)

func TestCrewGoesFirstForFewFramesThatWait(t *testing.T) {
	for _, tt := range []struct {
		name  string
		looks []look
		want  bool
	}{
		{"nothing happens", []look{idle, idle, idle}, false},
		{"frames that hardly wait", []look{quiet, quiet, quiet}, false},
		{"frames that wait", []look{quiet, waiting}, true},
		{"too few to tell", []look{few}, false},
		{"enough after a while", []look{few, idle, few}, true},
		{"many frames", []look{busy, busy}, false},
		{"rather many frames", []look{between, between}, false},
		{"what waited among many frames tells nothing", []look{few, busy, few}, false},
		{"the rest of the process is busy", []look{taxing}, false},
		{"first, then many frames", []look{waiting, busy}, false},
		{"first, then rather many frames", []look{waiting, between}, true},
		{"first, and the rest of the process becomes busy", []look{waiting, taxing}, false},
		{"first, then no frames", []look{waiting, idle, idle}, true},
		{"many frames, then few that wait", []look{waiting, busy, waiting, waiting}, true},
		{"what it did while it moved tells nothing", []look{waiting, busy, waiting}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r rule
			got := false
			for _, l := range tt.looks {
				got = r.next(l)
			}
			if got != tt.want {
				t.Errorf("got first %v, want %v", got, tt.want)
			}
		})
	}
}

// repeat takes the same look until the answer is another one, and returns for how
// long it was the same.
func repeat(t *testing.T, r *rule, l look) (after time.Duration) {
	t.Helper()
	was := r.first
	for after < 2*longest {
		after += l.took
		if r.next(l) != was {
			return after
		}
	}
	t.Fatalf("first %v for more than %v", was, after)
	return 0
}

func TestCrewLooksWhetherItWouldStillWait(t *testing.T) {
	var r rule
	repeat(t, &r, waiting)
	for want := shortest; want < 2*longest; want *= 2 {
		if got := repeat(t, &r, waiting); got != min(want, longest) {
			t.Errorf("went back after %v, want %v", got, min(want, longest))
		}
		if !r.trial {
			t.Error("it is not on trial")
		}
		if got := repeat(t, &r, waiting); got != 2*lookEvery {
			t.Errorf("tried for %v, want two looks", got)
		}
	}
	repeat(t, &r, waiting)
	if r.hold != longest {
		t.Errorf("it would have stayed for %v, want %v", r.hold, longest)
	}
	r.next(quiet)
	r.next(quiet)
	if r.first || r.trial {
		t.Errorf("nothing waits any more: got first %v, on trial %v", r.first, r.trial)
	}
	repeat(t, &r, waiting)
	if got := repeat(t, &r, waiting); got != shortest {
		t.Errorf("after a time without waiting it stayed first for %v, want %v", got, shortest)
	}
}

func TestCrewWithoutFramesGoesBackAtLast(t *testing.T) {
	var r rule
	repeat(t, &r, waiting)
	if got := repeat(t, &r, idle); got != longest {
		t.Errorf("went back after %v, want %v", got, longest)
	}
}
