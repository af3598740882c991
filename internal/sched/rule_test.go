package sched

import (
	"testing"
	"time"
)

// looks as they follow each other.
var (
	nothing = look{took: lookEvery}
	few     = look{took: lookEvery, busiest: time.Millisecond, woken: 100}
	more    = look{took: lookEvery, busiest: lookEvery / 5, woken: 100}
	work    = look{took: lookEvery, busiest: lookEvery / 3, woken: 100}
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
		want  bool // first, and the rest second
	}{
		{"no frames", [][]look{{nothing}}, false},
		{"few frames", [][]look{{few}}, true},
		{"few frames after none", [][]look{{nothing, nothing, few}}, true},
		{"much work", [][]look{{work}}, false},
		{"many wake-ups", [][]look{{waking}}, false},
		{"rather much work", [][]look{{more}}, false},
		{"rather many wake-ups", [][]look{{oftener}}, false},
		{"first, then rather much work", [][]look{{few, more}}, true},
		{"first, then rather many wake-ups", [][]look{{few, oftener}}, true},
		{"first, then much work", [][]look{{few, work}}, false},
		{"first, then many wake-ups", [][]look{{few, waking}}, false},
		{"many frames a moment ago", [][]look{{work}, during(few, calm-lookEvery)}, false},
		{"many frames some time ago", [][]look{{work}, during(few, calm)}, true},
		{"many frames twice", [][]look{{work}, during(few, calm-lookEvery), {work}, during(few, calm-lookEvery)}, false},
		{"first, and no more frames", [][]look{{few}, during(nothing, idle-lookEvery)}, true},
		{"first, and no more frames for long", [][]look{{few}, during(nothing, idle)}, false},
		{"first, and a frame now and then", [][]look{{few}, during(nothing, idle-lookEvery), {few}, during(nothing, idle-lookEvery)}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := after(tt.looks...)
			if r.first != tt.want || r.second != tt.want {
				t.Errorf("got first %v, second %v; want both %v", r.first, r.second, tt.want)
			}
		})
	}
}

func after(looks ...[]look) (r rule) {
	for _, ls := range looks {
		for _, l := range ls {
			r = r.next(l)
		}
	}
	return r
}

func TestABusyProcessIsNotSecondToItsCrew(t *testing.T) {
	for _, tt := range []struct {
		name          string
		looks         []look
		first, second bool
	}{
		{"busy from the start", []look{other}, true, false},
		{"busy later", []look{few, other}, true, false},
		{"busy a moment ago", append([]look{other}, during(few, calm-lookEvery)...), true, false},
		{"busy now and then", append(append([]look{other}, during(few, calm-lookEvery)...), other, few), true, false},
		{"busy some time ago", append([]look{other}, during(few, calm)...), true, true},
		{"busy, with many frames", []look{{took: lookEvery, busiest: work.busiest, woken: 100, others: other.others}}, false, false},
		{"busy, without frames", []look{{took: lookEvery, others: other.others}}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if r := after(tt.looks); r.first != tt.first || r.second != tt.second {
				t.Errorf("got first %v, second %v; want %v, %v", r.first, r.second, tt.first, tt.second)
			}
		})
	}
}
