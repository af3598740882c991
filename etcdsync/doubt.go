package etcdsync

import "time"

// Doubt is a list of etcd's that is not believed in full, and until when. A host
// that begins to follow afresh, since its own addresses changed, has no more
// reason to believe it than before, and none to doubt it for longer.
type Doubt struct {
	until  time.Time // see follower
	frozen bool      // see intake.freeze
}

// resume goes on doubting what an earlier Follow did. Without that one's tables
// there is nothing to keep.
func (f *follower) resume(d *Doubt) {
	if d == nil || d.until.IsZero() || !f.loaded {
		return
	}
	f.until = d.until
	if d.frozen {
		f.in.freeze()
	}
}

// leave leaves what is doubted to the next Follow.
func (f *follower) leave(d *Doubt) {
	if d != nil {
		*d = Doubt{until: f.until, frozen: f.in.frozen}
	}
}
