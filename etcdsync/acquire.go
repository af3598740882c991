package etcdsync

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// maxRaceWait bounds the random wait after a race for a subnet was lost. Each
// lost race is somebody else's won one, so that many hosts starting at once
// are all served in the end.
const maxRaceWait = 200 * time.Millisecond

// Acquire registers a host: it takes the subnet that is already its own, else
// the one it had, else a free one, and writes the host record. Every write is
// a compare-and-swap. It waits for etcd as long as ctx lasts, unless the claim
// says otherwise (Claim.Grace); its errors are ErrBadClaim, ErrBadNetwork,
// ErrNoSubnetFree, ErrSubnetTaken, ErrOutdated and the end of ctx.
func (s *Store) Acquire(ctx context.Context, c Claim) (*Registration, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	r := newRegistration(s, c)
	if err := r.first(ctx, newPlanner(&c, subnets{}).assumable()); err != nil {
		return nil, err
	}
	return r, nil
}

// first registers the host. When etcd does not answer within the claim's grace,
// the subnets to go on with are assumed, unless there are none.
func (r *Registration) first(ctx context.Context, assumed subnets) error {
	trial, cancel := ctx, context.CancelFunc(func() {})
	if r.claim.Grace > 0 && (r.claim.NoSubnet || !assumed.isZero()) {
		trial, cancel = context.WithTimeout(ctx, r.claim.Grace)
	}
	defer cancel()
	var p pacer
	for {
		p.begin()
		_, err := r.settle(trial)
		switch {
		case err == nil:
			r.store.outage.over()
			return nil
		case lacksSubnet(err), errors.Is(err, ErrOutdated):
			return err
		}
		if !errors.Is(err, errRaced) && trial.Err() == nil {
			r.store.failed(&p, err)
		}
		if trial.Err() == nil && p.wait(trial) {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.assume(assumed)
		return nil
	}
}

// assumable returns the subnets to go on with while etcd does not answer: those
// the host had, if the network hands out such; none otherwise.
func (p *planner) assumable() subnets {
	s := subnets{p.claim.Previous, p.claim.Previous6}
	if p.claim.NoSubnet || !p.complete(s) {
		return subnets{}
	}
	return s
}

// assume goes on with subnets that etcd has not confirmed yet.
func (r *Registration) assume(s subnets) {
	r.log.Warn().Str("subnet", s.String()).Msg("etcd does not answer; starting as in the last run, to be registered when it does")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subnets = s
}

// acquire takes a subnet: list what is leased, choose, write on the condition
// that nothing changed meanwhile, and again if it did.
func (r *Registration) acquire(ctx context.Context) error {
	claim := r.current()
	p := newPlanner(&claim, r.lost)
	l, err := r.store.listSubnets(ctx)
	if err != nil {
		return err
	}
	fresh := true
	for wait := time.Millisecond; ; wait = min(2*wait, maxRaceWait) {
		todo, err := p.plan(l)
		if errors.Is(err, ErrNoSubnetFree) && !fresh {
			fresh = true // some may have become free since
			if l, err = r.store.listSubnets(ctx); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		done, err := r.carryOut(ctx, &claim, l, todo)
		if err != nil || done {
			return err
		}
		if fresh, err = r.store.listChanges(ctx, l); err != nil {
			return err
		}
		r.log.Debug().Str("subnet", todo.subnets.String()).Msg("another host was faster; choosing again")
		if !pause(ctx, rand.N(wait)) {
			return ctx.Err()
		}
	}
}

// carryOut writes what was planned, and reports whether that was possible.
func (r *Registration) carryOut(ctx context.Context, claim *Claim, l *listing, todo *plan) (done bool, err error) {
	if todo.inPlace() && !todo.reservation() && todo.base.value.node == claim.NodeID && !l.shared(todo.base) {
		if err := r.store.adopt(ctx, &r.tenancy, todo.base.lease); err != nil {
			return false, err
		}
	}
	if !todo.reservation() {
		if err := r.store.renew(ctx, &r.tenancy); err != nil {
			return false, err
		}
	}
	value, err := claim.leaseValue().marshal(todo.subnets)
	if err != nil {
		return false, err
	}
	key := subnetsDir + todo.subnets.name()
	if todo.inPlace() && todo.base.raw == string(value) && (todo.reservation() || todo.base.lease == r.tenancy.id) {
		r.took(todo, key, todo.base.rev)
		return true, nil
	}
	t := r.txn(l, todo, key, string(value))
	answer, err := r.store.commit(ctx, t)
	if err != nil || !answer.Succeeded {
		return false, err
	}
	r.took(todo, key, answer.Header.Revision)
	return true, nil
}

// txn returns the transaction of a plan. A new key is written only if nothing
// under subnets/ is newer than what was listed: whatever came since may
// overlap it, under a name of any other length.
func (r *Registration) txn(l *listing, todo *plan, key, value string) txn {
	s := r.store
	var t txn
	var opts []clientv3.OpOption
	if !todo.reservation() {
		opts = append(opts, clientv3.WithLease(r.tenancy.id))
	}
	if todo.inPlace() {
		t.compare = append(t.compare, clientv3.Compare(clientv3.ModRevision(s.prefix+key), "=", todo.base.rev))
	} else {
		t.compare = append(t.compare,
			clientv3.Compare(clientv3.CreateRevision(s.prefix+key), "=", 0),
			clientv3.Compare(clientv3.ModRevision(s.prefix+subnetsDir).WithPrefix(), "<", l.at.rev+1))
	}
	for _, e := range todo.drop {
		t.compare = append(t.compare, clientv3.Compare(clientv3.ModRevision(s.prefix+e.name), "=", e.rev))
		t.then = append(t.then, clientv3.OpDelete(s.prefix+e.name))
	}
	t.then = append(t.then, clientv3.OpPut(s.prefix+key, value, opts...))
	return t
}

// listSubnets reads what is leased.
func (s *Store) listSubnets(ctx context.Context) (*listing, error) {
	l := newListing()
	at, err := s.list(ctx, subnetsDir, func(_ header, kvs []*mvccpb.KeyValue) {
		for _, kv := range kvs {
			l.add(s.name(kv), kv)
		}
	})
	l.at = at
	return l, err
}

// listChanges brings a listing up to date after a lost race, at the cost of
// what changed and not of all there is. Deleted keys do not show: they count
// as leased until everything is read again. When nothing shows, everything is
// read, and that is what it reports.
func (s *Store) listChanges(ctx context.Context, l *listing) (fresh bool, err error) {
	r, err := s.get(ctx, subnetsDir, clientv3.WithPrefix(), clientv3.WithMinModRev(l.at.rev+1))
	if err != nil {
		return false, err
	}
	if len(r.Kvs) == 0 {
		all, err := s.listSubnets(ctx)
		if err == nil {
			*l = *all
		}
		return true, err
	}
	for _, kv := range r.Kvs {
		l.add(s.name(kv), kv)
	}
	l.at = headerOf(r.Header)
	return false, nil
}

// shared reports whether another key hangs on the same etcd lease as e.
func (l *listing) shared(e *entry) bool {
	return len(l.which(func(o *entry) bool { return o.lease == e.lease })) > 1
}
