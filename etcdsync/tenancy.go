package etcdsync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// tenancy is an etcd lease of ours (the word lease is taken: it is a subnet's
// here). The zero id stands for none.
type tenancy struct {
	id    clientv3.LeaseID
	ttl   time.Duration // asked for
	until time.Time     // when etcd may take it back unless it is renewed
}

// renew makes sure that the tenancy exists: it is kept alive, or granted anew
// when it is gone.
func (s *Store) renew(ctx context.Context, t *tenancy) error {
	if t.id != 0 {
		ttl, err := s.keepAlive(ctx, t.id)
		if err == nil {
			t.until = time.Now().Add(ttl)
			return nil
		}
		if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
			return err
		}
		t.id = 0
	}
	return s.grant(ctx, t)
}

// adopt takes over the tenancy that a key of ours already has, if it is of the
// length wanted: after a restart that is the one of the run before.
func (s *Store) adopt(ctx context.Context, t *tenancy, id clientv3.LeaseID) error {
	if t.id != 0 || id == 0 {
		return nil
	}
	ttl, err := s.keepAlive(ctx, id)
	if errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if ttl == time.Duration(seconds(t.ttl))*time.Second {
		t.id, t.until = id, time.Now().Add(ttl)
	}
	return nil
}

// keepAlive renews a tenancy once and returns for how long.
func (s *Store) keepAlive(ctx context.Context, id clientv3.LeaseID) (time.Duration, error) {
	var r *clientv3.LeaseKeepAliveResponse
	err := s.do(ctx, func(ctx context.Context, c *clientv3.Client) (err error) {
		r, err = c.KeepAliveOnce(ctx, id)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("keep etcd lease alive: %w", err)
	}
	return time.Duration(r.TTL) * time.Second, nil
}

// grant asks for a new tenancy. etcd may grant a longer one than asked for. One
// whose answer is lost is nobody's, and runs out.
func (s *Store) grant(ctx context.Context, t *tenancy) error {
	var r *clientv3.LeaseGrantResponse
	err := s.do(ctx, func(ctx context.Context, c *clientv3.Client) (err error) {
		r, err = c.Grant(ctx, seconds(t.ttl))
		return err
	})
	if err != nil {
		return fmt.Errorf("ask for an etcd lease: %w", err)
	}
	t.id, t.until = r.ID, time.Now().Add(time.Duration(r.TTL)*time.Second)
	return nil
}

// seconds rounds up to etcd's unit.
func seconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
