package sched

import "time"

const (
	// A crew whose busiest thread takes less than 1/fewFrames of a processor may
	// go first, and one whose busiest takes more than 1/manyFrames may not: batches
	// are worth more then. Nor may one whose process takes more than 1/tooMuch of a
	// processor for other things: what goes first takes from everybody.
	fewFrames  = 12
	manyFrames = 8
	tooMuch    = 2
	// patience is how long a thread that is woken may have to wait for its
	// processor, on average: where nothing else happens it is 4 to 8 µs (the waker
	// has something left to do), and 12 to 30 µs where one frame in a thousand
	// waits for more than a millisecond.
	patience = 10 * time.Microsecond
	// sample is how often threads must have been woken to tell.
	sample = 100
	// A crew that is first does not see how long it would wait, so it goes back
	// after some time to see: shortest at first, and twice as long each time that
	// it had to wait again, up to longest.
	shortest = time.Second
	longest  = time.Minute
)

// look is what threads did since the last look.
type look struct {
	took    time.Duration
	busiest time.Duration // the processor time of the thread that had most
	others  time.Duration // and that of all others of the process together
	waited  time.Duration // that all together were ready and had no processor
	woken   int           // how often all together got one
}

// rule decides when a crew goes first. The zero rule has not yet.
type rule struct {
	first  bool
	since  time.Duration // in this place
	moved  bool          // it came here at the last look: what it did since then tells nothing
	hold   time.Duration // how long it stays first
	trial  bool          // it is back to see whether it still has to wait
	waited time.Duration // with woken: the sample so far, while not first
	woken  int
}

// next takes a look, and decides for the time until the next one.
func (r *rule) next(l look) (first bool) {
	r.since += l.took
	if r.first {
		r.stay(l)
		return r.first
	}
	if r.moved {
		r.moved = false
		return false
	}
	if l.busiest*fewFrames > l.took || l.others*tooMuch > l.took {
		r.waited, r.woken, r.trial = 0, 0, false
		return false
	}
	r.waited += l.waited
	r.woken += l.woken
	if r.woken >= sample {
		r.judge()
	}
	return r.first
}

// stay decides whether a crew that is first remains it. When it is time to see how
// it would be elsewhere, it takes frames to see it by.
func (r *rule) stay(l look) {
	may := l.busiest*manyFrames <= l.took && l.others*tooMuch <= l.took
	if !may || r.since >= r.hold && l.woken >= sample || r.since >= longest {
		*r = rule{hold: r.hold, trial: may, moved: true}
	}
}

// judge decides by a sample that is complete.
func (r *rule) judge() {
	if r.waited <= time.Duration(r.woken)*patience {
		r.waited, r.woken, r.trial = 0, 0, false
		return
	}
	hold := shortest
	if r.trial {
		hold = min(2*r.hold, longest)
	}
	*r = rule{first: true, hold: hold}
}
