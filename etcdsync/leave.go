package etcdsync

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Leaving says what a host takes along when it leaves the network.
type Leaving struct {
	// NodeID is the host's identity.
	NodeID string
	// KeepSubnet leaves its subnet keys to their leases, for whatever takes the
	// host's place, flannel perhaps.
	KeepSubnet bool
}

// Leave takes a host out of etcd: its subnet keys, reservations apart, then its
// record and its endpoints, and the etcd leases that they hung on. It returns
// the subnets that were given back, in words. Only what is as it was listed is
// deleted. The host's agent must have stopped.
func (s *Store) Leave(ctx context.Context, l Leaving) (released []string, err error) {
	var keys []*mvccpb.KeyValue
	if !l.KeepSubnet {
		list, err := s.listSubnets(ctx)
		if err != nil {
			return nil, err
		}
		for _, e := range list.of(l.NodeID) {
			if e.lease != 0 {
				keys = append(keys, asListed(s, e)...)
				released = append(released, e.subnets.String())
			}
		}
	}
	_, err = s.list(ctx, hostsDir+l.NodeID+"/", func(_ header, kvs []*mvccpb.KeyValue) { keys = append(keys, kvs...) })
	if err != nil {
		return nil, err
	}
	for part := range slices.Chunk(keys, leaveAtOnce) {
		if err := s.deleteAll(ctx, part); err != nil {
			return nil, err
		}
	}
	return released, s.endLeases(ctx, keys)
}

// asListed is an entry as the key that it was listed as.
func asListed(s *Store, e *entry) []*mvccpb.KeyValue {
	return []*mvccpb.KeyValue{{Key: []byte(s.prefix + e.name), ModRevision: e.rev, Lease: int64(e.lease)}}
}

// leaveAtOnce is how many keys one transaction deletes; etcd takes 128
// operations (--max-txn-ops).
const leaveAtOnce = 60

// deleteAll deletes keys that are as they were listed.
func (s *Store) deleteAll(ctx context.Context, keys []*mvccpb.KeyValue) error {
	var t txn
	for _, kv := range keys {
		t.compare = append(t.compare, clientv3.Compare(clientv3.ModRevision(string(kv.Key)), "=", kv.ModRevision))
		t.then = append(t.then, clientv3.OpDelete(string(kv.Key)))
	}
	answer, err := s.commit(ctx, t)
	if err != nil {
		return err
	}
	if !answer.Succeeded {
		return errors.New("keys of this host changed just now: is its agent running? Stop it and try again")
	}
	return nil
}

// endLeases ends the etcd leases that deleted keys hung on. One with other keys
// on it is left alone.
func (s *Store) endLeases(ctx context.Context, keys []*mvccpb.KeyValue) error {
	done := map[int64]bool{0: true}
	for _, kv := range keys {
		if done[kv.Lease] {
			continue
		}
		done[kv.Lease] = true
		id := clientv3.LeaseID(kv.Lease)
		err := s.do(ctx, func(ctx context.Context, c *clientv3.Client) error {
			left, err := c.TimeToLive(ctx, id, clientv3.WithAttachedKeys())
			if err != nil || left.TTL <= 0 || len(left.Keys) > 0 {
				return err
			}
			_, err = c.Revoke(ctx, id)
			return err
		})
		if err != nil {
			return fmt.Errorf("end an etcd lease: %w", err)
		}
	}
	return nil
}
