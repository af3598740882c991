package sched

import (
	"testing"
	"time"
)

// looks as they follow each other.
var (
	nothing = look{took: lookEvery}
	few     = look{took: lookEvery, busiest: time.Millisecond, woken: 100}
	more    = look{took: lookEvery, busiest: lookEvery / 10, woken: 900}
	work    = look{took: lookEvery, busiest: lookEvery / 7, woken: 100}
	waking  = look{took: lookEvery, busiest: time.Millisecond, woken: 2000}
	oftener = look{took: lookEvery, busiest: time.Millisecond, woken: 900}
	other   = look{took: lookEvery, busiest: time.Millisecond, woken: 100, others: lookEvery * 3 / 4}
)

// during repeats a look for a while.
func during(l look, d time.Duration) (ls []look) {
	for range d / lookEvery {
		ls = append(ls, l)
	}
	return ls
}

func TestCrewGoesFirstForFewFrames(t *testing.T) {
	for _, tt := range []struct {
		name  string
		looks [][]look
		want  bool
	}{
		{"no frames", [][]look{{nothing}}, false},
		{"few frames", [][]look{{few}}, true},
		{"few frames after none", [][]look{{nothing, nothing, few}}, true},
		{"much work", [][]look{{work}}, false},
		{"many wake-ups", [][]look{{waking}}, false},
		{"rather much work", [][]look{{more}}, false},
		{"rather many wake-ups", [][]look{{oftener}}, false},
		{"the rest of the process is busy", [][]look{{other}}, false},
		{"first, then rather much work", [][]look{{few, more}}, true},
		{"first, then rather many wake-ups", [][]look{{few, oftener}}, true},
		{"first, then much work", [][]look{{few, work}}, false},
		{"first, then many wake-ups", [][]look{{few, waking}}, false},
		{"first, then the rest of the process is busy", [][]look{{few, other}}, false},
		{"many frames a moment ago", [][]look{{work}, during(few, calm-lookEvery)}, false},
		{"many frames some time ago", [][]look{{work}, during(few, calm)}, true},
		{"many frames twice", [][]look{{work}, during(few, calm-lookEvery), {work}, during(few, calm-lookEvery)}, false},
		{"first, and no more frames", [][]look{{few}, during(nothing, idle-lookEvery)}, true},
		{"first, and no more frames for long", [][]look{{few}, during(nothing, idle)}, false},
		{"first, and a frame now and then", [][]look{{few}, during(nothing, idle-lookEvery), {few}, during(nothing, idle-lookEvery)}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r rule
			got := false
			for _, ls := range tt.looks {
				for _, l := range ls {
					got = r.next(l)
				}
			}
			if got != tt.want {
				t.Errorf("got first %v, want %v", got, tt.want)
			}
		})
	}
}
