package etcdsync

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/uvtep/uvtep/internal/state"
)

// listing is what is leased, at one revision. A key whose name is no subnet is
// left out: it leases nothing.
type listing struct {
	at      header
	entries map[string]*entry // by key below the prefix
}

// entry is one key under subnets/.
type entry struct {
	name         string
	subnets      subnets
	value        leaseValue
	fault        error // of the value; the subnet is taken nevertheless
	raw          string
	created, rev int64
	lease        clientv3.LeaseID // 0: a reservation
}

func newListing() *listing { return &listing{entries: make(map[string]*entry)} }

// add takes in a key, or a new value of one.
func (l *listing) add(name string, kv *mvccpb.KeyValue) {
	k, err := parseKey(name)
	if err != nil || k.kind != lease {
		return
	}
	e := &entry{
		name: name, subnets: k.subnets, raw: string(kv.Value),
		created: kv.CreateRevision, rev: kv.ModRevision, lease: clientv3.LeaseID(kv.Lease),
	}
	e.value, e.fault = parseLease(kv.Value)
	l.entries[name] = e
}

// of returns the entries of a node, the oldest first.
func (l *listing) of(node string) []*entry {
	return l.which(func(e *entry) bool { return node != "" && e.value.node == node })
}

// which returns the entries that a condition holds for, the oldest first.
func (l *listing) which(holds func(*entry) bool) []*entry {
	out := slices.Collect(maps.Values(l.entries))
	out = slices.DeleteFunc(out, func(e *entry) bool { return !holds(e) })
	slices.SortFunc(out, func(a, b *entry) int {
		return cmp.Or(cmp.Compare(a.created, b.created), cmp.Compare(a.name, b.name))
	})
	return out
}

// overlapping returns the oldest entry that has an address in common with s,
// nil when there is none.
func (l *listing) overlapping(s subnets) *entry {
	for _, e := range l.which(func(e *entry) bool { return e.subnets.overlap(s) }) {
		return e
	}
	return nil
}

// taken returns all subnets that are leased, but for those of the entries in
// except.
func (l *listing) taken(except []*entry) []netip.Prefix {
	var out []netip.Prefix
	for _, e := range l.entries {
		if !slices.Contains(except, e) {
			out = append(out, e.subnets.prefixes()...)
		}
	}
	return out
}

// holder names who has a lease, for people.
func (e *entry) holder() string {
	if e.fault != nil {
		return "somebody whose entry cannot be read"
	}
	return holderName(e.value.node, e.value.publicIP, e.value.publicIPv6)
}

// holderName names a host for people.
func holderName(node string, v4, v6 netip.Addr) string {
	at := v4
	if !at.IsValid() {
		at = v6
	}
	switch {
	case node == "":
		return "flannel at " + at.String()
	case !state.ValidNodeID(node):
		return fmt.Sprintf("node %.60q at %s", node, at)
	}
	return "node " + node + " at " + at.String()
}
