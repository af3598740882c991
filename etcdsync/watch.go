package etcdsync

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/metadata"
)

const (
	// A watch may be dead without anybody noticing: its member may be frozen,
	// or cut off from us. So it is asked every askEvery how far it is, and
	// given up when nothing at all came for stallAfter.
	askEvery   = 2 * time.Second
	stallAfter = 5 * time.Second
	// backwards is how many answers in a row may be older than what we know.
	// A member that lags catches up; an etcd restored from a backup does not.
	backwards = 3
)

var (
	errStalled   = errors.New("watch stalled: no sign of life")
	errEnded     = errors.New("watch ended")
	errBackwards = errors.New("etcd's revision went back")
	errOtherEtcd = errors.New("another etcd cluster answers")
)

// watcher is a watch that either delivers or ends.
type watcher struct {
	// C delivers what etcd sends, signs of life included. It is closed when
	// the watch is over.
	C chan clientv3.WatchResponse

	err    error // why it ended; to be read after C is closed
	cancel context.CancelCauseFunc
	ended  sync.WaitGroup
}

// watch begins a watch of keys (of ranges, with opts), of all that comes after
// the given moment. It ends by itself only when something is wrong: then
// whoever uses it must look at everything afresh. It must be stopped.
func (s *Store) watch(ctx context.Context, after header, keys []string, opts ...clientv3.OpOption) *watcher {
	// With a leader required, a member that is cut off from the others ends
	// the watch. Watches with equal metadata share one stream, also one that
	// hangs; hence the number.
	ctx = clientv3.WithRequireLeader(ctx)
	ctx = metadata.AppendToOutgoingContext(ctx, "uvtep-watch", strconv.FormatUint(s.watches.Add(1), 10))
	ctx, cancel := context.WithCancelCause(inOneStream(ctx))
	w := &watcher{C: make(chan clientv3.WatchResponse), cancel: cancel}
	// Not from the next revision: etcd does not say how far it is to a watch
	// from a revision that has not come yet (mvcc, progressIfSync), so that one
	// on a quiet etcd would show no sign of life. What is known already is left
	// out on arrival.
	opts = append(opts, clientv3.WithRev(after.rev), clientv3.WithProgressNotify())
	w.ended.Go(func() {
		defer close(w.C)
		w.err = s.runWatch(ctx, w, after, keys, opts)
	})
	return w
}

// stop ends the watch and waits until it has ended.
func (w *watcher) stop() {
	w.cancel(context.Canceled)
	w.ended.Wait()
}

// runWatch watches until one of the keys' watches ends, and returns why.
func (s *Store) runWatch(ctx context.Context, w *watcher, after header, keys []string, opts []clientv3.OpOption) error {
	c, err := s.dial(ctx)
	if err != nil {
		w.cancel(err)
		return err
	}
	q := &query{lines: s.lines}
	ctx = q.in(ctx)
	var all sync.WaitGroup
	all.Go(func() { ask(ctx, c) })
	for _, key := range keys {
		all.Go(func() {
			alive := time.AfterFunc(stallAfter, func() {
				q.cutSilent(stallAfter - askEvery)
				w.cancel(errStalled)
			})
			defer alive.Stop()
			w.cancel(s.deliver(ctx, w, c.Watch(ctx, key, opts...), alive, position{header: after}))
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// deliver passes on what one key's watch receives. It ends with ctx, which etcd's
// client may not: when a connection ends before the first answer on a stream,
// grpc waits for the next one with the stream locked, and the client for the lock.
func (s *Store) deliver(ctx context.Context, w *watcher, from clientv3.WatchChan, alive *time.Timer, at position) error {
	after := at.rev
	for {
		r, err := receive(ctx, from)
		if err != nil {
			return err
		}
		alive.Stop() // whoever takes r may take their time
		r = known(r, after)
		if err := at.next(&r); err != nil {
			return err
		}
		s.answered()
		select {
		case w.C <- r:
		case <-ctx.Done():
			return ctx.Err()
		}
		alive.Reset(stallAfter)
	}
}

func receive(ctx context.Context, from clientv3.WatchChan) (clientv3.WatchResponse, error) {
	select {
	case r, ok := <-from:
		if !ok {
			return r, errEnded
		}
		return r, nil
	case <-ctx.Done():
		return clientv3.WatchResponse{}, ctx.Err()
	}
}

// known returns r without the events up to a revision. When that was all, r
// tells of nothing beyond that revision, whatever its header says: see reached.
func known(r clientv3.WatchResponse, rev int64) clientv3.WatchResponse {
	n := 0
	for n < len(r.Events) && r.Events[n].Kv.ModRevision <= rev {
		n++
	}
	if n == 0 {
		return r
	}
	if r.Events = r.Events[n:]; len(r.Events) == 0 {
		r.Header = &etcdserverpb.ResponseHeader{ClusterId: r.Header.ClusterId, Revision: rev}
	}
	return r
}

// ask makes etcd send a sign of life now and then.
func ask(ctx context.Context, c *clientv3.Client) {
	t := time.NewTicker(askEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			_ = c.RequestProgress(ctx) // no answer is noticed where it is missed
		}
	}
}

// position is how far a watch has come.
type position struct {
	header
	older int // answers in a row from before rev
}

// next looks at what a watch delivered: an error of it, or one between the
// lines.
func (p *position) next(r *clientv3.WatchResponse) error {
	if err := r.Err(); err != nil {
		return fmt.Errorf("watch etcd: %w", advised(err))
	}
	if r.Header.ClusterId != p.cluster {
		return errOtherEtcd
	}
	if r.Header.Revision >= p.rev {
		p.older = 0
		p.rev = reached(r)
		return nil
	}
	if p.older++; p.older < backwards {
		return nil
	}
	return errBackwards
}

// reached returns the revision up to which a response tells everything. That
// is not its header's when it carries events: a watch that catches up sends
// them in parts, each with the header of the moment.
func reached(r *clientv3.WatchResponse) int64 {
	if n := len(r.Events); n > 0 {
		return r.Events[n-1].Kv.ModRevision
	}
	return r.Header.Revision
}

// compacted reports whether an error says that history was cut off: no fault,
// but what was missed must be read anew.
func compacted(err error) bool { return errors.Is(err, rpctypes.ErrCompacted) }
