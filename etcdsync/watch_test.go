package etcdsync

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// answer is what a watch delivers: events up to revision last (0 for none)
// under a header of revision rev.
func answer(cluster uint64, rev, last int64) *clientv3.WatchResponse {
	r := &clientv3.WatchResponse{Header: &etcdserverpb.ResponseHeader{ClusterId: cluster, Revision: rev}}
	if last > 0 {
		r.Events = []*clientv3.Event{{Kv: &mvccpb.KeyValue{ModRevision: last}}}
	}
	return r
}

// The header of a watch that catches up is of the moment, not of the events:
// whoever went on from there lost 1,501 of 2,500 events.
func TestAWatchHasComeAsFarAsItsLastEvent(t *testing.T) {
	tests := []struct {
		name string
		r    *clientv3.WatchResponse
		want int64
	}{
		{"events behind the header", answer(1, 2702, 1201), 1201},
		{"events at the header", answer(1, 1201, 1201), 1201},
		{"a sign of life", answer(1, 2702, 0), 2702},
	}
	for _, tt := range tests {
		if got := reached(tt.r); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestAWatchIsGivenUpWhenHistoryIsNotTheSame(t *testing.T) {
	compacted := answer(7, 100, 0)
	compacted.Canceled, compacted.CompactRevision = true, 90
	tests := []struct {
		name    string
		answers []*clientv3.WatchResponse
		want    error
	}{
		{"all as it should be", []*clientv3.WatchResponse{answer(7, 100, 0), answer(7, 120, 110), answer(7, 120, 0)}, nil},
		{"another cluster", []*clientv3.WatchResponse{answer(8, 100, 0)}, errOtherEtcd},
		{"a member that lags and catches up", []*clientv3.WatchResponse{answer(7, 90, 0), answer(7, 95, 0), answer(7, 101, 0), answer(7, 100, 0), answer(7, 100, 0)}, nil},
		{"an etcd that is back in the past", []*clientv3.WatchResponse{answer(7, 90, 0), answer(7, 90, 0), answer(7, 91, 0)}, errBackwards},
		{"compacted", []*clientv3.WatchResponse{compacted}, rpctypes.ErrCompacted},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := position{header: header{cluster: 7, rev: 100}}
			var err error
			for _, r := range tt.answers {
				if err = p.next(r); err != nil {
					break
				}
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// etcd does not tell a watch from a revision that has not come how far it is,
// so a watch of a quiet etcd was given up every five seconds.
func TestAQuietEtcdGivesSignsOfLife(t *testing.T) {
	e := startEtcd(t)
	e.put("subnets/10.1.1.0-24", "{}")
	s, _ := e.store()
	c, err := s.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	at := header{cluster: got.Header.ClusterId, rev: got.Header.Revision}
	w := s.watch(t.Context(), at, []string{s.prefix}, clientv3.WithPrefix())
	defer w.stop()
	for range 4 { // more than the time after which it is given up
		r, ok := <-w.C
		if !ok {
			t.Fatal(w.err)
		}
		if len(r.Events) > 0 || r.Header.Revision != at.rev {
			t.Errorf("got %d events at revision %d, want none at %d", len(r.Events), r.Header.Revision, at.rev)
		}
	}
}

// etcd's client went on with the next revision where a watch had broken off,
// also in an etcd that was restored from a backup and had grown beyond that
// revision: what it held from before was never noticed.
func TestAWatchEndsWithItsConnection(t *testing.T) {
	e := startEtcd(t)
	rev := e.put("subnets/10.1.1.0-24", "{}")
	s, _ := e.store()
	got, err := e.client.Get(e.ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	w := s.watch(e.ctx, header{cluster: got.Header.ClusterId, rev: rev}, []string{s.prefix}, clientv3.WithPrefix())
	defer w.stop()
	if _, ok := <-w.C; !ok {
		t.Fatalf("a watch of an etcd that is there ended: %v", w.err)
	}
	e.stop()
	e.start()
	e.put("subnets/10.1.2.0-24", "{}")
	for r := range w.C {
		if len(r.Events) > 0 {
			t.Errorf("it went on with revision %d", r.Events[0].Kv.ModRevision)
			break
		}
	}
	if w.stop(); w.err == nil {
		t.Error("it ended for no reason")
	}
}

func TestKnownEventsAreLeftOut(t *testing.T) {
	both := answer(7, 120, 100)
	both.Events = append(both.Events, answer(7, 120, 101).Events...)
	for _, tt := range []struct {
		name   string
		r      *clientv3.WatchResponse
		events int
		rev    int64 // that it tells up to
	}{
		{"nothing known", answer(7, 120, 101), 1, 101},
		{"all known", answer(7, 120, 100), 0, 100},
		{"some known", both, 1, 101},
		{"a sign of life", answer(7, 120, 0), 0, 120},
	} {
		if got := known(*tt.r, 100); len(got.Events) != tt.events || reached(&got) != tt.rev {
			t.Errorf("%s: got %d events up to %d, want %d up to %d", tt.name, len(got.Events), reached(&got), tt.events, tt.rev)
		}
	}
}

// etcd's client does not always end a watch that is cancelled while etcd is
// away. A watch that waited for it held up the stop of an agent, and the next
// attempt, until etcd was back.
func TestAWatchEndsAlsoWhenEtcdsClientDoesNot(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	alive := time.AfterFunc(time.Hour, func() {})
	defer alive.Stop()
	done := make(chan error, 1)
	go func() { done <- new(Store).deliver(ctx, new(watcher), make(clientv3.WatchChan), alive, position{}) }()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want it cancelled", err)
		}
	case <-time.After(patienceOfTests):
		t.Fatal("it does not end")
	}
}
