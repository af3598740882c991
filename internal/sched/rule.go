package sched

import "time"

const (
	// A crew may go first whose busiest thread takes less than 1/littleWork of a
	// processor and is woken less than seldom times a second, and it stays first up to
	// 1/muchWork and often: with more, batches are worth more, and so is to be woken
	// beside who asks for an answer. The rest of its process comes second unless that
	// takes more than 1/tooMuch of a processor, for what is in real time takes from
	// everybody.
	littleWork, seldom = 6, 3000
	muchWork, often    = 4, 4500
	tooMuch            = 2
	// A crew that had many frames stays among the others for calm, so that it is not
	// first whenever a transfer pauses, and so does the rest of a process that had much
	// to do; a crew that has no frames stays first for idle.
	calm = 2 * time.Second
	idle = 10 * time.Second
)

// look is what threads did since the last look.
type look struct {
	took    time.Duration
	busiest time.Duration // the processor time of the thread that had most
	woken   int           // how often the thread that was woken most got a processor
	others  time.Duration // the processor time of all others of the process together
}

// over reports whether a thread did more than 1/work of what a processor can do, or was
// woken more than so many times a second.
func (l look) over(work, woken int) bool {
	return l.busiest*time.Duration(work) > l.took || time.Duration(l.woken)*time.Second > l.took*time.Duration(woken)
}

// rule decides when a crew goes first, and when the rest of its process comes second.
// The zero rule has neither.
type rule struct {
	first, second bool
	wait          time.Duration // until the crew may go first, after many frames
	busy          time.Duration // until the rest may come second, after much work
	still         time.Duration // since there were frames
}

// next takes a look, and returns what holds until the next one.
func (r rule) next(l look) rule {
	r.still += l.took
	if l.woken > 0 {
		r.still = 0
	}
	r.wait = max(r.wait-l.took, 0)
	switch {
	case l.over(muchWork, often):
		r.first, r.wait = false, calm
	case r.first:
		r.first = r.still < idle
	default:
		r.first = r.still == 0 && r.wait == 0 && !l.over(littleWork, seldom)
	}
	if r.busy = max(r.busy-l.took, 0); l.others*tooMuch > l.took {
		r.busy = calm
	}
	r.second = r.first && r.busy == 0
	return r
}
