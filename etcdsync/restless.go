package etcdsync

import "time"

// RFC 7432 §15.1 and RFC 9161 §3.7: what moves more than maxMoves times in
// moveSpan is in two places, and is left alone for holdDown.
const (
	maxMoves = 5
	moveSpan = 180 * time.Second
	holdDown = 540 * time.Second
	// maxRestless bounds how many are remembered.
	maxRestless = 16384
)

// restless remembers what moved of late: MAC addresses, IP addresses.
type restless struct{ of map[any]*moves }

type moves struct {
	at    []time.Time // within moveSpan
	until time.Time   // frozen
}

func newRestless() *restless { return &restless{make(map[any]*moves)} }

// frozen reports whether something is to be left alone.
func (r *restless) frozen(what any, now time.Time) bool {
	m := r.of[what]
	return m != nil && now.Before(m.until)
}

// moved notes a move, and reports whether it is one too many.
func (r *restless) moved(what any, now time.Time) bool {
	m := r.of[what]
	if m == nil {
		if len(r.of) >= maxRestless {
			return false
		}
		m = new(moves)
		r.of[what] = m
	}
	m.forget(now)
	m.at = append(m.at, now)
	if len(m.at) <= maxMoves {
		return false
	}
	m.at, m.until = nil, now.Add(holdDown)
	return true
}

// forget drops moves that are too long ago to count.
func (m *moves) forget(now time.Time) {
	for len(m.at) > 0 && now.Sub(m.at[0]) >= moveSpan {
		m.at = m.at[1:]
	}
}

// age drops what has been quiet.
func (r *restless) age(now time.Time) {
	for what, m := range r.of {
		if m.forget(now); len(m.at) == 0 && !now.Before(m.until) {
			delete(r.of, what)
		}
	}
}
