package etcdsync

import (
	"context"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

// list reads everything. What it lacks is gone, unless there is a doubt: etcd
// can come back empty, or from an old backup, and a host that believed it
// would cut off everybody while they register again.
func (f *follower) list(ctx context.Context) error {
	if !f.until.IsZero() && !time.Now().Before(f.until) {
		f.force = true
		f.in.thaw()
	}
	f.in.begin()
	f.reading = reading{told: time.Now()}
	at, err := f.store.list(ctx, "", f.page)
	if err != nil {
		return err
	}
	f.store.counts.lists.Add(1)
	f.hears(at)
	f.loaded = true
	f.in.dirty = f.in.dirty || f.stale // the same tables are no longer stale
	f.stale = false
	f.remember() // also that nothing has changed
	if f.doubtful() {
		return nil
	}
	f.until, f.force = time.Time{}, false
	f.origins.mu.Lock()
	defer f.origins.mu.Unlock()
	f.in.thaw()
	f.in.sweep()
	return nil
}

// page takes in a part of the list.
func (f *follower) page(at header, kvs []*mvccpb.KeyValue) {
	f.origins.mu.Lock()
	defer f.origins.mu.Unlock()
	f.compare(at)
	for _, kv := range kvs {
		f.in.list(f.store.name(kv), kv)
	}
	f.reading.add(f.log, len(kvs))
}

// tellEvery is how often a list that takes long is told of.
const tellEvery = 2 * time.Second

// reading is how far a list is.
type reading struct {
	keys int
	told time.Time // when that was said last, or the list begun
}

// add counts keys, and says now and then how many there are so far.
func (r *reading) add(log zerolog.Logger, keys int) {
	r.keys += keys
	if now := time.Now(); now.Sub(r.told) >= tellEvery {
		r.told = now
		log.Info().Int("keys", r.keys).Msg("reading the network from etcd")
	}
}

// compare notices that etcd's history is not the one we know. Values of a cache
// give way to those of the new history at once: they may be long out of date.
func (f *follower) compare(at header) {
	if !f.loaded || at.cluster == f.at.cluster && at.rev >= f.at.rev {
		return
	}
	f.log.Error().Int64("rev", at.rev).Int64("was", f.at.rev).Bool("other_cluster", at.cluster != f.at.cluster).
		Msg("etcd's history is another one: restored from a backup, or another cluster")
	f.at = at
	f.in.forget()
	if f.hold > 0 && !f.force && !f.stale {
		f.in.freeze()
	}
}

// doubtful reports whether the list just read is not to be believed in full,
// and sees to it that it is looked at again.
func (f *follower) doubtful() bool {
	missing, of := f.in.missing()
	if f.hold < 0 || f.force || !f.in.frozen && 2*missing <= of {
		return false
	}
	if f.until.IsZero() {
		f.until = time.Now().Add(f.hold)
		f.log.Error().Int("missing", missing).Int("of", of).Dur("hold", f.hold).
			Msg("etcd lacks much of what it had; the tables keep it for a while")
	}
	return true
}

// holdTimer fires when the hold is over; never if there is none.
func (f *follower) holdTimer() *time.Timer {
	if f.until.IsZero() {
		t := time.NewTimer(time.Hour)
		t.Stop()
		return t
	}
	return time.NewTimer(time.Until(f.until))
}
