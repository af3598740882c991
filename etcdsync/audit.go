package etcdsync

import (
	"context"
	"io"
	"net/netip"
	"slices"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

// Audit is what etcd, or a cache of it, says at one revision, made into tables
// as Follow makes them, to be compared with what a host has.
type Audit struct {
	*Tables
	// Own are the leases of the host itself, Record whether its host record is
	// there.
	Own    []OwnLease
	Record bool
	// Unusable are the keys whose values cannot be used, by name. Follow goes
	// by their last good values, which a list cannot know.
	Unusable []string

	board *board
}

// OwnLease is a subnet key of the host that asks.
type OwnLease struct {
	Key             string
	Rev             int64
	Subnet, Subnet6 netip.Prefix
	Public          []netip.Addr // one of a family, sorted
	Port            uint16
	MAC             ether.Addr
}

// Audit lists everything and makes tables of it for the host that c describes,
// of which Network, NodeID, Own and MAC matter. It leaves nothing running.
func (s *Store) Audit(ctx context.Context, c FollowConfig) (*Audit, error) {
	in := newIntake(&c, zerolog.Nop())
	in.begin()
	at, err := s.list(ctx, "", func(_ header, kvs []*mvccpb.KeyValue) {
		for _, kv := range kvs {
			in.list(s.name(kv), kv)
		}
	})
	if err != nil {
		return nil, err
	}
	return in.audit(at.rev), nil
}

// AuditCache is Audit for what Follow handed to FollowConfig.Save.
func AuditCache(text io.ReadSeeker, c FollowConfig) (*Audit, error) {
	kept, err := parseCache(text)
	if err != nil {
		return nil, err
	}
	in := newIntake(&c, zerolog.Nop())
	if err := kept.keys(func(k *cachedKey) { in.put(k.Key, k.kv()) }); err != nil {
		return nil, err
	}
	a := in.audit(kept.Rev)
	a.StaleSince = kept.Heard
	return a, nil
}

func (in *intake) audit(rev int64) *Audit {
	in.board.stale = true // nobody is to be told of conflicts
	a := &Audit{Tables: in.board.tables(rev, in.network), board: in.board}
	a.Latest = in.latest
	in.board.census.settle()
	a.Conflicts, a.ConflictCount = in.board.census.list, len(in.board.census.present)
	for name := range in.bad {
		a.Unusable = append(a.Unusable, name)
	}
	slices.Sort(a.Unusable)
	for r := range in.board.rows.all() {
		switch {
		case r.self() && r.kind == lease:
			a.Own = append(a.Own, r.own())
		case r.self() && r.kind == host:
			a.Record = true
		}
	}
	slices.SortFunc(a.Own, func(x, y OwnLease) int { return x.Subnet.Compare(y.Subnet) })
	return a
}

func (r *row) own() OwnLease {
	p, vtep := r.peer(), r.vtep()
	mac := p.MAC
	if mac.IsZero() {
		mac = p.MAC6
	}
	o := OwnLease{Key: p.Key, Rev: r.rev, Subnet: p.Subnet, Subnet6: p.Subnet6, Port: vtep.To.Port(), MAC: mac}
	for _, a := range []netip.Addr{vtep.To.Addr(), vtep.Alt} {
		if a.IsValid() {
			o.Public = append(o.Public, a)
		}
	}
	slices.SortFunc(o.Public, netip.Addr.Compare)
	return o
}

// StationKey names the key that an FDB entry comes from, empty when there is no
// such entry.
func (a *Audit) StationKey(k fdb.Key) string { return nameOf(a.board.macs.holder(k)) }

// BindingKey names the key that an ARP or ND binding comes from.
func (a *Audit) BindingKey(k arpproxy.Key) string { return nameOf(a.board.ips.holder(k)) }

func nameOf(r *row) string {
	if r == nil {
		return ""
	}
	return r.name()
}
