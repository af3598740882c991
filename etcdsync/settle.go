package etcdsync

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

var errRaced = errors.New("a key of ours changed while it was written")

// settle makes etcd say about the host what it should: it looks, and writes
// what is not so. It may be called at any time; that there is nothing to do is
// the rule. What happens after the moment that it returns is to be watched.
func (r *Registration) settle(ctx context.Context) (header, error) {
	if err := r.confirmNetwork(ctx); err != nil {
		return header{}, err
	}
	at, own, record, err := r.look(ctx)
	if err != nil {
		return at, err
	}
	if !r.claim.NoSubnet {
		err = r.settleSubnet(ctx, own)
	}
	if err != nil && (r.hostRev == 0 || !lacksSubnet(err)) {
		return at, err
	}
	return at, errors.Join(err, r.settleHost(ctx, record)) // a host that lost its subnet is there still
}

// lacksSubnet reports whether an error says that there is no subnet for the
// host.
func lacksSubnet(err error) bool {
	return errors.Is(err, ErrNoSubnetFree) || errors.Is(err, ErrSubnetTaken)
}

// confirmNetwork sees to it that nothing is written for a network that is not
// etcd's any more. A configuration that is missing or cannot be used changes
// nothing.
func (r *Registration) confirmNetwork(ctx context.Context) error {
	if !r.unconfirmed {
		return nil
	}
	n, _, err := r.store.readNetwork(ctx)
	switch {
	case errors.Is(err, ErrNoNetwork), errors.Is(err, ErrBadNetwork):
	case err != nil:
		return err
	default:
		if fields := n.needsRestart(&r.claim.Network); len(fields) > 0 {
			return fmt.Errorf("%w: %s", ErrOutdated, strings.Join(fields, ", "))
		}
	}
	r.unconfirmed = false
	return nil
}

// look reads our own keys, both at one revision; nil for one that is missing.
func (r *Registration) look(ctx context.Context) (at header, own, record *mvccpb.KeyValue, err error) {
	s := r.store
	t := txn{then: []clientv3.Op{clientv3.OpGet(s.prefix + hostKey(r.claim.NodeID))}}
	if r.key != "" {
		t.then = append(t.then, clientv3.OpGet(s.prefix+r.key))
	}
	answer, err := s.commit(ctx, t)
	if err != nil {
		return header{}, nil, nil, err
	}
	found := make([]*mvccpb.KeyValue, 2)
	for i, one := range answer.Responses {
		if kvs := one.GetResponseRange().Kvs; len(kvs) > 0 {
			found[i] = kvs[0]
		}
	}
	return headerOf(answer.Header), found[1], found[0], nil
}

// settleSubnet makes sure of the subnet. own is its key as it stands.
func (r *Registration) settleSubnet(ctx context.Context, own *mvccpb.KeyValue) error {
	switch {
	case r.key == "":
		return r.acquire(ctx)
	case own == nil:
		r.log.Warn().Str("key", r.key).Msg("own subnet key is gone; registering again")
		return r.acquire(ctx)
	case r.isStolen(own):
		r.lost = r.held()
		return r.acquire(ctx)
	}
	return r.confirm(ctx, own)
}

// isStolen reports whether somebody else wrote our key. There is nothing to
// fight about: flannel overwrites without looking, and it would again.
func (r *Registration) isStolen(own *mvccpb.KeyValue) bool {
	v, err := parseLease(own.Value)
	ours := own.ModRevision == r.keyRev || err == nil && v.node == r.claim.NodeID && r.wasOurs(v.publicIP, v.publicIPv6)
	if !ours && r.stolen != own.ModRevision {
		r.stolen = own.ModRevision
		r.log.Error().Str("key", r.key).Int64("rev", own.ModRevision).Str("by_node", v.node).Str("by_address", text4(v.publicIP)).
			Msg("own subnet key was overwritten by another host; taking another subnet")
		if v.node == r.claim.NodeID {
			r.tellOfCopy(v.publicIP, v.publicIPv6)
		}
	}
	return !ours
}

// confirm writes our key again if it does not say what it should, or hangs on
// a tenancy that is not ours any more.
func (r *Registration) confirm(ctx context.Context, own *mvccpb.KeyValue) error {
	claim, held := r.current(), r.held()
	todo := &plan{subnets: held, base: &entry{
		name: r.key, subnets: held, raw: string(own.Value), rev: own.ModRevision, lease: clientv3.LeaseID(own.Lease),
	}}
	if !todo.reservation() {
		if err := r.store.renew(ctx, &r.tenancy); err != nil {
			return err
		}
	}
	value, err := claim.leaseValue().marshal(held)
	if err != nil {
		return err
	}
	if todo.base.raw == string(value) && (todo.reservation() || todo.base.lease == r.tenancy.id) {
		r.keyRev, r.reservation = own.ModRevision, todo.reservation()
		r.setExpires()
		return nil
	}
	answer, err := r.store.commit(ctx, r.txn(nil, todo, r.key, string(value)))
	if err != nil {
		return err
	}
	if !answer.Succeeded {
		return errRaced
	}
	r.took(todo, r.key, answer.Header.Revision)
	return nil
}

// settleHost makes sure of the host record.
func (r *Registration) settleHost(ctx context.Context, record *mvccpb.KeyValue) error {
	s := r.store
	if record == nil {
		record = new(mvccpb.KeyValue)
	}
	if err := s.adopt(ctx, &r.liveness, clientv3.LeaseID(record.Lease)); err != nil {
		return err
	}
	if err := s.renew(ctx, &r.liveness); err != nil {
		return err
	}
	r.living.set(r.liveness.id)
	r.livesUntil(r.liveness.until)
	claim := r.current()
	value, err := claim.hostValue(r.held()).marshal()
	if err != nil {
		return err
	}
	if string(record.Value) == string(value) && clientv3.LeaseID(record.Lease) == r.liveness.id {
		r.hostRev = record.ModRevision
		return nil
	}
	r.warnOfCopy(record)
	return r.putHost(ctx, record.ModRevision, string(value))
}

// copyEvery is how often a host that runs with our node id is told of: it puts
// its record in the place of ours again and again, as we do with its.
const copyEvery = time.Minute

// warnOfCopy tells of a host record that a host with our node id wrote.
func (r *Registration) warnOfCopy(record *mvccpb.KeyValue) {
	was, err := parseHost(record.Value)
	if err == nil && r.hostRev != 0 && !r.wasOurs(was.publicIP, was.publicIPv6) {
		r.tellOfCopy(was.publicIP, was.publicIPv6)
	}
}

// tellOfCopy tells of a host that runs with our node id.
func (r *Registration) tellOfCopy(v4, v6 netip.Addr) {
	if r.copied() {
		return
	}
	r.copySaid = time.Now()
	c := r.current()
	hosts := []string{holderName(c.NodeID, c.PublicIP, c.PublicIPv6) + " (this host)", holderName(c.NodeID, v4, v6)}
	r.log.Error().Str(string(SameNode), c.NodeID).Strs("hosts", hosts).Str("do", SameNode.advice()).Msg(SameNode.message())
}

// copied reports whether there was a host with our node id a short while ago.
func (r *Registration) copied() bool { return time.Since(r.copySaid) < copyEvery }

// putHost writes the host record in the place of the one of revision was, 0
// for none.
func (r *Registration) putHost(ctx context.Context, was int64, value string) error {
	key := r.store.prefix + hostKey(r.claim.NodeID)
	answer, err := r.store.commit(ctx, txn{
		compare: []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", was)},
		then:    []clientv3.Op{clientv3.OpPut(key, value, clientv3.WithLease(r.liveness.id))},
	})
	if err != nil {
		return err
	}
	if !answer.Succeeded {
		return errRaced
	}
	r.hostRev = answer.Header.Revision
	return nil
}
