package echo

// windowLen is how far behind the latest number a request may come and still be
// taken: what overtakes each other on the way.
const windowLen = 64

// Window knows which numbers came already (the sliding window of RFC 4303
// §3.4.3). The zero Window has seen none, and 0 is no number.
type Window struct {
	last uint64
	seen uint64 // bit i: last-i came
}

// Take reports whether seq comes for the first time, as far as can be told: what
// is too far behind does not.
func (w *Window) Take(seq uint64) bool {
	if seq > w.last {
		w.seen = shifted(w.seen, seq-w.last) | 1
		w.last = seq
		return true
	}
	behind := w.last - seq
	if seq == 0 || behind >= windowLen || w.seen&(1<<behind) != 0 {
		return false
	}
	w.seen |= 1 << behind
	return true
}

func shifted(v, by uint64) uint64 {
	if by >= windowLen {
		return 0
	}
	return v << by
}
