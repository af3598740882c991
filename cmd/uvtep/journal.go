package main

import (
	"slices"
	"time"
)

// journalLen is how many moments a journal remembers one by one.
const journalLen = 2048

// journal remembers when which of etcd's revisions came into force, so that the
// age of a row can be told: rows have revisions and no times. What is long ago
// it remembers with less and less detail.
type journal struct{ moments []moment }

// moment is when a revision came into force.
type moment struct {
	rev int64
	at  time.Time
}

// add notes that a revision is in force. One before the last begins another
// history: etcd was restored, or is another one.
func (j *journal) add(rev int64, at time.Time) {
	n := len(j.moments)
	switch {
	case n > 0 && rev == j.moments[n-1].rev:
		return
	case n > 0 && rev < j.moments[n-1].rev:
		j.moments = j.moments[:0]
	case n == journalLen:
		j.thin()
	}
	j.moments = append(j.moments, moment{rev, at})
}

// thin forgets every second moment of the older half, but not the first.
func (j *journal) thin() {
	kept := j.moments[:0]
	for i, m := range j.moments {
		if i >= journalLen/2 || i%2 == 0 {
			kept = append(kept, m)
		}
	}
	j.moments = kept
}

// since returns since when what has a revision is in force: since then or
// longer if that is the first moment of all.
func (j *journal) since(rev int64) time.Time {
	i, _ := slices.BinarySearchFunc(j.moments, rev, func(m moment, rev int64) int { return int(m.rev - rev) })
	if i == len(j.moments) {
		return time.Time{}
	}
	return j.moments[i].at
}
