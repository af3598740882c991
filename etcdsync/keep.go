package etcdsync

import (
	"context"
	"errors"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Why a session of Run ended.
var (
	errUpdated   = errors.New("the host's addresses changed")
	errKeyTouch  = errors.New("a key of ours was changed")
	errLeaseLost = errors.New("an etcd lease of ours is gone")
)

// Run keeps the registration: both leases alive, both keys as they should be.
// Whatever is lost is registered again, with the same subnet when that is
// possible. It ends with ctx and returns nil then; nothing is revoked, so that
// a restart finds everything. It returns an ErrOutdated when etcd turns out to
// hold another network than the claim's (Claim.Unconfirmed).
func (r *Registration) Run(ctx context.Context) error {
	var p pacer
	for {
		p.begin()
		err := r.session(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrOutdated):
			return err
		case errors.Is(err, errUpdated):
			continue
		case errors.Is(err, errKeyTouch), errors.Is(err, errLeaseLost), errors.Is(err, errRaced):
			r.log.Warn().Err(err).Msg("looking after the registration")
		case lacksSubnet(err):
			r.alarm.Error().Err(err).Msg("this host has no subnet; asking again")
		default:
			r.store.failed(&p, err)
		}
		if r.copied() {
			p.slow()
		}
		if !p.wait(ctx) {
			return nil
		}
	}
}

// session makes sure of the registration and then watches over it, until
// something about it changes or cannot be told any more.
func (r *Registration) session(ctx context.Context) error {
	before := r.held()
	at, err := r.settle(ctx)
	if after := r.held(); after != before && r.claim.Resubnet != nil {
		r.claim.Resubnet(r)
	}
	if err != nil {
		return err
	}
	r.store.outage.over()
	keys := []string{r.store.prefix + hostKey(r.claim.NodeID)}
	if r.key != "" {
		keys = append(keys, r.store.prefix+r.key)
	}
	w := r.store.watch(ctx, at, keys)
	defer w.stop()
	k, err := r.keepAlive(ctx)
	if err != nil {
		return err
	}
	defer k.close()
	return r.watchOver(ctx, w, k)
}

func (r *Registration) watchOver(ctx context.Context, w *watcher, k *keeper) error {
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-r.updated:
			return errUpdated
		case answer, ok := <-w.C:
			if !ok {
				return w.err
			}
			if r.touched(&answer) {
				return errKeyTouch
			}
		case answer := <-k.subnet:
			if answer == nil {
				return errLeaseLost
			}
			r.tenancy.until = time.Now().Add(time.Duration(answer.TTL) * time.Second)
			r.setExpires()
		case answer := <-k.host:
			if answer == nil {
				return errLeaseLost
			}
			r.livesUntil(time.Now().Add(time.Duration(answer.TTL) * time.Second))
		}
	}
}

// touched reports whether somebody changed a key of ours. Our own writes come
// by here as well.
func (r *Registration) touched(answer *clientv3.WatchResponse) bool {
	for _, e := range answer.Events {
		known := r.hostRev
		if r.store.name(e.Kv) == r.key {
			known = r.keyRev
		}
		if e.Kv.ModRevision > known {
			return true
		}
	}
	return false
}

func (r *Registration) setExpires() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.expires = r.tenancy.until; r.reservation {
		r.expires = time.Time{}
	}
}

// keeper keeps both etcd leases alive, on a stream of its own: after trouble
// the next one goes to another member perhaps.
type keeper struct {
	lessor       clientv3.Lease
	subnet, host <-chan *clientv3.LeaseKeepAliveResponse // closed when the lease is gone; nil: there is none
}

func (r *Registration) keepAlive(ctx context.Context) (*keeper, error) {
	c, err := r.store.dial(ctx)
	if err != nil {
		return nil, err
	}
	k := &keeper{lessor: clientv3.NewLease(c)}
	if k.host, err = k.lessor.KeepAlive(ctx, r.liveness.id); err != nil {
		return nil, errors.Join(err, k.close())
	}
	if r.key == "" || r.reservation {
		return k, nil
	}
	if k.subnet, err = k.lessor.KeepAlive(ctx, r.tenancy.id); err != nil {
		return nil, errors.Join(err, k.close())
	}
	return k, nil
}

func (k *keeper) close() error { return k.lessor.Close() }
