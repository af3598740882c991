package etcdsync

import "time"

// Heard is how far a Follow has heard etcd.
type Heard struct {
	// Rev is the revision up to which it knows everything. Tables are of the
	// last revision that changed something in them, which may be an earlier one.
	Rev int64
	// At is when etcd said so. While etcd answers that is two seconds ago at
	// most.
	At time.Time
}

// Heard returns how far the Follow of this Store has heard etcd, the zero Heard
// before its first list.
func (s *Store) Heard() Heard {
	if h := s.heard.Load(); h != nil {
		return *h
	}
	return Heard{}
}

// hears notes that etcd told everything up to a moment in its history.
func (f *follower) hears(at header) {
	f.at, f.heard = at, time.Now()
	f.store.heard.Store(&Heard{f.at.rev, f.heard})
}
