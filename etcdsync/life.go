package etcdsync

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Life is what etcd knows of a subnet's holder being up.
type Life uint8

const (
	// LifeUnknown: nothing tells. So it is with a flannel host that need not
	// have renewed its lease yet, for it writes no host record.
	LifeUnknown Life = iota
	// Alive: the holder's host record is there.
	Alive
	// Gone: the holder's host record is not there. A host that is cut off from
	// etcd loses it too after its liveness TTL, and goes on forwarding.
	Gone
	// Overdue: a flannel host should have renewed its lease and has not.
	Overdue
)

// String returns the answer to "is it alive".
func (l Life) String() string {
	return [...]string{LifeUnknown: "unknown", Alive: "yes", Gone: "no", Overdue: "overdue"}[l]
}

const (
	// ttlRequests is how many leases are asked about at the same time.
	ttlRequests = 8
	// recordsPerTxn is how many host records are asked for at once; etcd takes
	// 128 operations in a transaction (--max-txn-ops).
	recordsPerTxn = 100
	// flannelShare is the part of its lease that a flannel host never comes
	// to, as a divisor: it renews when an hour is left of 24
	// (--subnet-lease-renew-margin), and has five minutes' grace here.
	flannelShare = 26
)

// askAbout fills in what the records' keys do not say themselves.
func (s *Store) askAbout(ctx context.Context, list []SubnetRecord) {
	addTenures(list, func(id int64) tenure { return s.tenure(ctx, id) })
	s.askForHosts(ctx, list)
}

// askForHosts fills in whether the records' holders are up.
func (s *Store) askForHosts(ctx context.Context, list []SubnetRecord) {
	there, err := s.hostRecords(ctx, list)
	for i := range list {
		r := &list[i]
		r.Life = r.life(there)
		if _, known := there[r.NodeID]; r.hasNode() && !known && r.Unanswered == "" {
			r.Unanswered = err.Error()
		}
	}
}

// tenure is what etcd says about a lease of its own.
type tenure struct {
	left, granted time.Duration
	err           error
}

// addTenures fills in the time that leases have left. Each lease is asked
// about once, however many keys hang on it.
func addTenures(list []SubnetRecord, ask func(id int64) tenure) {
	records := make(map[int64][]*SubnetRecord)
	for i := range list {
		if r := &list[i]; !r.Reservation {
			records[r.Lease] = append(records[r.Lease], r)
		}
	}
	ids := slices.Collect(maps.Keys(records))
	for i, t := range tenures(ids, ask) {
		for _, r := range records[ids[i]] {
			r.TTL, r.Granted = t.left, t.granted
			if t.err != nil {
				r.Unanswered = t.err.Error()
			}
		}
	}
}

// tenures asks about leases, ttlRequests at a time.
func tenures(ids []int64, ask func(id int64) tenure) []tenure {
	out := make([]tenure, len(ids))
	next := make(chan int)
	var all sync.WaitGroup
	for range min(ttlRequests, len(ids)) {
		all.Go(func() {
			for i := range next {
				out[i] = ask(ids[i])
			}
		})
	}
	for i := range ids {
		next <- i
	}
	close(next)
	all.Wait()
	return out
}

// tenure asks about one lease. Nothing is left of one that etcd does not know.
func (s *Store) tenure(ctx context.Context, id int64) tenure {
	var r *clientv3.LeaseTimeToLiveResponse
	err := s.do(ctx, func(ctx context.Context, c *clientv3.Client) (err error) {
		r, err = c.TimeToLive(ctx, clientv3.LeaseID(id))
		return err
	})
	if err != nil {
		return tenure{err: fmt.Errorf("ask for the time left of an etcd lease: %w", err)}
	}
	return tenure{left: time.Duration(max(r.TTL, 0)) * time.Second, granted: time.Duration(r.GrantedTTL) * time.Second}
}

// hostRecords tells of the holders whether their host records are there. After
// an error those that it had asked about are told of.
func (s *Store) hostRecords(ctx context.Context, list []SubnetRecord) (there map[string]bool, err error) {
	nodes := make(map[string]struct{})
	for i := range list {
		if list[i].hasNode() {
			nodes[list[i].NodeID] = struct{}{}
		}
	}
	there = make(map[string]bool, len(nodes))
	for part := range slices.Chunk(slices.Sorted(maps.Keys(nodes)), recordsPerTxn) {
		var t txn
		for _, node := range part {
			t.then = append(t.then, clientv3.OpGet(s.prefix+hostKey(node), clientv3.WithCountOnly()))
		}
		answer, e := s.commit(ctx, t)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("ask for host records: %w", e))
			continue
		}
		for i, one := range answer.Responses {
			there[part[i]] = one.GetResponseRange().Count > 0
		}
	}
	return there, err
}

// life tells whether the holder is up, by its host record or, for want of
// such, by its lease.
func (r *SubnetRecord) life(there map[string]bool) Life {
	up, known := there[r.NodeID]
	switch {
	case known && up:
		return Alive
	case known:
		return Gone
	case r.NodeID == "" && r.Fault == "" && r.TTL < r.Granted/flannelShare:
		return Overdue
	}
	return LifeUnknown
}
