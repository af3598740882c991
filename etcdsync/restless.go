package etcdsync

import "time"

// RFC 7432 §15.1 and RFC 9161 §3.7: what moves more than maxMoves times in
// moveSpan is in two places, and is left alone for a while. Three frames with
// another's address are enough for that, so the while is short at first. It
// doubles each time that it happens again: who goes on for long is given up on for
// about as long as that lasted, and for lastHold at most. After lastHold of peace
// all is forgotten.
const (
	maxMoves  = 5
	moveSpan  = 180 * time.Second
	firstHold = 10 * time.Second
	lastHold  = 540 * time.Second
	// maxRestless bounds how many are remembered.
	maxRestless = 16384
)

// restless remembers what moved of late: MAC addresses, IP addresses.
type restless struct{ of map[any]*moves }

type moves struct {
	at    []time.Time   // within moveSpan
	until time.Time     // frozen
	hold  time.Duration // for how long it was frozen last; 0: it was not
}

func newRestless() *restless { return &restless{make(map[any]*moves)} }

// frozen reports whether something is to be left alone.
func (r *restless) frozen(what any, now time.Time) bool {
	m := r.of[what]
	return m != nil && now.Before(m.until)
}

// moved notes a move, and returns for how long to leave alone what has moved once
// too often, 0 if it has not.
func (r *restless) moved(what any, now time.Time) (hold time.Duration) {
	m := r.of[what]
	if m == nil {
		if len(r.of) >= maxRestless {
			return 0
		}
		m = new(moves)
		r.of[what] = m
	}
	m.forget(now)
	m.at = append(m.at, now)
	if len(m.at) <= maxMoves {
		return 0
	}
	m.hold = min(max(firstHold, 2*m.hold), lastHold)
	m.at, m.until = nil, now.Add(m.hold)
	return m.hold
}

// forget drops what is too long ago to count.
func (m *moves) forget(now time.Time) {
	for len(m.at) > 0 && now.Sub(m.at[0]) >= moveSpan {
		m.at = m.at[1:]
	}
	if now.Sub(m.until) >= lastHold {
		m.hold = 0
	}
}

// age drops what has been quiet, and reports whether something need not be left
// alone any more since then.
func (r *restless) age(then, now time.Time) (thawed bool) {
	for what, m := range r.of {
		thawed = thawed || m.until.After(then) && !m.until.After(now)
		if m.forget(now); len(m.at) == 0 && m.hold == 0 {
			delete(r.of, what)
		}
	}
	return thawed
}
