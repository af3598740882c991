package etcdsync

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/rs/zerolog"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/uvtep/uvtep/encap/ether"
)

const (
	defaultHold = 60 * time.Second
	// gather is how long a change waits for company, publishEvery the least
	// time between two tables: at most 50 a second however many the changes.
	gather       = 2 * time.Millisecond
	publishEvery = 20 * time.Millisecond
	// refreshEvery is after how long everything is read again, in case a watch
	// lost something (etcd has had such faults). Larger networks do it less
	// often: refreshRows more rows double the time.
	refreshEvery = 7 * time.Minute
	refreshRows  = 20000
)

// FollowConfig says what Follow needs to know of the host.
type FollowConfig struct {
	// Network is the configuration the agent runs with.
	Network Network
	// NodeID is the host's identity; what carries it is not a peer.
	NodeID string
	// Own are the host's underlay addresses, public ones included. They tell
	// which address of a peer to send to, and that none of them is a peer's.
	Own []netip.Addr
	// MAC is the host's VTEP address; no peer can have it.
	MAC ether.Addr
	// Last is what Save was given by an earlier run, nil for nothing: tables
	// to begin with until etcd answers. Follow closes it when it has them.
	Last io.ReadSeekCloser
	// Resumed says that Last is of this very process, which begins afresh since
	// its addresses changed: it is not out of date.
	Resumed bool
	// Save, when not nil, is given what a later run can begin with: some time
	// after a change, and at the end. Calls come one after another. It writes
	// itself in small pieces, as often and as late as Save likes.
	Save func(io.WriterTo)
	// MassDeleteHold is how long a fresh list that lacks more than half of
	// the rows is doubted, 0 means 60 seconds, negative not at all.
	MassDeleteHold time.Duration
	// Doubt, when not nil, is what the last Follow doubted when it ended, which
	// goes on being doubted, and receives what this one does. The zero Doubt is
	// none.
	Doubt *Doubt
	// Origins, when not nil, tells where rows come from while Follow runs, and
	// after it.
	Origins *Origins
	// Publish receives the tables, first those of the last run if there are
	// any, then when the first list is complete and after each change. Calls come one after another; while one lasts,
	// changes gather.
	Publish func(*Tables)
}

// Follow keeps tables that say what etcd says: it lists everything under the
// prefix, watches from the next revision, and lists again whenever there is a
// doubt. Tables are never emptied by an error. It ends with ctx and returns
// nil then; nothing else ends it.
func (s *Store) Follow(ctx context.Context, c FollowConfig) error {
	if c.MassDeleteHold == 0 {
		c.MassDeleteHold = defaultHold
	}
	if c.Origins == nil {
		c.Origins = new(Origins)
	}
	f := &follower{store: s, hold: c.MassDeleteHold, in: newIntake(&c, s.log), log: s.log, due: newTimer(), keep: newTimer(), origins: c.Origins}
	f.origins.follow(f.in.board)
	var helpers sync.WaitGroup
	defer helpers.Wait()
	p := newPublisher(c.Publish)
	f.publish = p.put
	helpers.Go(func() { p.run(ctx) })
	if c.Save != nil {
		f.keeper = newCacheKeeper(c.Save)
		helpers.Go(f.keeper.run)
		defer close(f.keeper.next)
	}
	f.in.counts = &s.counts
	f.recall(c.Last, c.Resumed)
	f.resume(c.Doubt)
	f.run(ctx)
	f.cache()
	f.leave(c.Doubt)
	return nil
}

// follower is one Follow. Its methods run in one goroutine.
type follower struct {
	store   *Store
	log     zerolog.Logger
	in      *intake
	publish func(*Tables)
	origins *Origins // its mu is held while rows change

	at      header       // how far the tables are
	loaded  bool         // the first list is complete, or there are tables of the last run
	stale   bool         // there was no list yet: these are the tables of the last run
	heard   time.Time    // when etcd last told something, or that there is nothing to tell
	reading reading      // how far the list is
	due     *timer       // when to publish what has changed
	sent    time.Time    // when that was done last
	since   time.Time    // when the first change came that was not published; zero: there is none
	keep    *timer       // when to keep it on disk
	keeper  *cacheKeeper // nil: nobody wants it kept

	hold  time.Duration
	until time.Time // lists are not believed in full before; zero: they are
	force bool      // the hold is over: the next list is believed
}

// Why a session ended without anything being wrong.
var (
	errRefresh  = errors.New("time to look at everything again")
	errHoldOver = errors.New("the hold is over")
)

func (f *follower) run(ctx context.Context) {
	var p pacer
	for {
		p.begin()
		err := f.session(ctx)
		f.flush()
		if f.keep.running { // its timer is heard in a session only
			f.cache()
		}
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errRefresh), errors.Is(err, errHoldOver):
			continue
		case compacted(err), errors.Is(err, errBackwards), errors.Is(err, errOtherEtcd):
			f.log.Warn().Err(err).Int64("rev", f.at.rev).Msg("reading everything from etcd again")
		default:
			f.store.failed(&p, err)
		}
		if !p.wait(ctx) {
			return
		}
	}
}

// session reads everything and then hears of every change, until that cannot
// be relied on any more.
func (f *follower) session(ctx context.Context) error {
	if err := f.list(ctx); err != nil {
		return err
	}
	f.store.outage.over()
	f.changed()
	w := f.store.watch(ctx, f.at, []string{f.store.prefix}, clientv3.WithPrefix())
	defer w.stop()
	refresh := time.NewTimer(f.refreshAfter())
	defer refresh.Stop()
	over := f.holdTimer()
	defer over.Stop()
	for {
		select {
		case r, ok := <-w.C:
			if !ok {
				f.store.counts.watchFailures.Add(1)
				return w.err
			}
			f.apply(&r)
		case <-f.due.C:
			f.flush()
		case <-f.keep.C:
			f.cache()
		case <-refresh.C:
			return errRefresh
		case <-over.C:
			return errHoldOver
		}
	}
}

// refreshAfter returns how long a session lasts at most.
func (f *follower) refreshAfter() time.Duration {
	rows := time.Duration(f.in.board.rows.len())
	return jittered(refreshEvery + refreshEvery*rows/refreshRows)
}

// apply takes in what the watch delivered. Events of one revision come
// together, and tables are made between deliveries only.
func (f *follower) apply(r *clientv3.WatchResponse) {
	f.origins.mu.Lock()
	defer f.origins.mu.Unlock()
	for _, e := range r.Events {
		name := f.store.name(e.Kv)
		if e.Type == clientv3.EventTypeDelete {
			f.in.drop(name, e.Kv.ModRevision)
		} else {
			f.in.put(name, e.Kv)
		}
	}
	f.hears(header{f.at.cluster, max(f.at.rev, reached(r))})
	f.changed()
}

// changed sees to it that changes are published soon.
func (f *follower) changed() {
	if f.in.dirty && f.loaded && !f.due.running {
		f.since = time.Now()
		f.due.start(max(gather, publishEvery-time.Since(f.sent)))
	}
}

// flush publishes what has changed.
func (f *follower) flush() {
	f.due.stop()
	if !f.in.dirty || !f.loaded {
		return
	}
	f.in.dirty = false
	f.sent = time.Now()
	f.in.board.stale = f.stale
	t := f.in.board.tables(f.at.rev, f.in.network)
	t.Skipped, t.Latest = len(f.in.bad), f.in.latest
	if f.stale {
		t.StaleSince = f.heard
	}
	t.Since, f.since = f.since, time.Time{}
	f.publish(t)
	f.remember()
}
