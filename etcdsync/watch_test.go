package etcdsync

import (
	"errors"
	"testing"

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
