package etcdsync

import "sync/atomic"

// Counts are what Follow has made of etcd's keys so far, and how often it had to
// look again.
type Counts struct {
	Added, Changed, Removed uint64 // keys
	Refused                 uint64 // values that cannot be used
	Lists                   uint64 // everything was read
	WatchFailures           uint64 // watches that ended or stalled
}

// counts is Counts as it is counted.
type counts struct {
	added, changed, removed, refused, lists, watchFailures atomic.Uint64
}

// Counts returns a reading.
func (s *Store) Counts() Counts {
	c := &s.counts
	return Counts{
		Added: c.added.Load(), Changed: c.changed.Load(), Removed: c.removed.Load(), Refused: c.refused.Load(),
		Lists: c.lists.Load(), WatchFailures: c.watchFailures.Load(),
	}
}

// took counts a key that was taken in: old says whether it had a row before, now
// whether it has one.
func (c *counts) took(old, now bool) {
	switch {
	case old && now:
		c.changed.Add(1)
	case now:
		c.added.Add(1)
	case old:
		c.removed.Add(1)
	}
}
