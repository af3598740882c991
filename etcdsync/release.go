package etcdsync

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Release takes a subnet away from its holder: it deletes the one key that
// leases it, if that is still as it was listed, and returns what it was. One
// of the two may be the zero Prefix, which stands for any; a key with exactly these subnets goes before one
// that has another besides.
//
// Unless force is set, it returns an ErrHeld for a subnet whose holder may be
// up and for a reservation. A holder that comes back meanwhile keeps its
// subnet. One that is up and whose subnet is released all the same leases one
// again at once, the same if it is free.
func (s *Store) Release(ctx context.Context, v4, v6 netip.Prefix, force bool) (SubnetRecord, error) {
	if !v4.IsValid() && !v6.IsValid() {
		return SubnetRecord{}, errNotSubnet
	}
	list, err := s.subnetRecords(ctx)
	if err != nil {
		return SubnetRecord{}, err
	}
	i, err := findSubnet(list, subnets{v4, v6})
	if err != nil {
		return SubnetRecord{}, err
	}
	r := &list[i]
	if !force {
		s.askAbout(ctx, list[i:i+1])
		if err := r.held(); err != nil {
			return *r, err
		}
	}
	return *r, s.deleteSubnet(ctx, r, force)
}

// held returns why the subnet is not to be released, nil when its holder is
// gone as far as etcd knows.
func (r *SubnetRecord) held() error {
	switch {
	case r.Reservation:
		return fmt.Errorf("%w: %s is a reservation (for %s), which is meant to stay", ErrHeld, r.subnets(), r.Holder())
	case r.Unanswered != "":
		return errors.New(r.Unanswered)
	case r.Life == Gone || r.Life == Overdue:
		return nil
	case r.Life == Alive:
		return fmt.Errorf("%w: %s has %s and is alive: its host record is there; stop its agent and wait for the record to run out, which takes its --liveness-ttl (30s by default)",
			ErrHeld, r.Holder(), r.subnets())
	case r.Fault == "" && r.NodeID == "":
		return fmt.Errorf("%w: %s has %s and may be alive: it renewed its lease %s ago, and need not again before an hour is left of it (now %s); make sure that it is down",
			ErrHeld, r.Holder(), r.subnets(), r.Age().Round(time.Second), r.TTL)
	}
	return fmt.Errorf("%w: %s has %s, and nothing tells whether it is alive; see what the key %q says", ErrHeld, r.Holder(), r.subnets(), r.Key)
}

// deleteSubnet deletes a key that is as it was listed. A host that comes back
// may find its key as it should be and leave it alone, so that only its host
// record tells of it.
func (s *Store) deleteSubnet(ctx context.Context, r *SubnetRecord, force bool) error {
	key := s.prefix + subnetsDir + r.Key
	t := txn{
		compare: []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(key), "=", r.Revision)},
		then:    []clientv3.Op{clientv3.OpDelete(key)},
	}
	if !force && r.hasNode() {
		t.compare = append(t.compare, clientv3.Compare(clientv3.CreateRevision(s.prefix+hostKey(r.NodeID)), "=", 0))
	}
	answer, err := s.commit(ctx, t)
	if err != nil {
		return err
	}
	if !answer.Succeeded {
		return fmt.Errorf("%s or its holder changed just now: nothing was released; look again with `uvtep subnets`", r.subnets())
	}
	return nil
}

// findSubnet returns which record leases want.
func findSubnet(list []SubnetRecord, want subnets) (int, error) {
	var hits []int
	var keys []string
	for i := range list {
		have := list[i].subnets()
		if have == want {
			return i, nil
		}
		if have.covers(want) {
			hits, keys = append(hits, i), append(keys, list[i].Key)
		}
	}
	switch len(hits) {
	case 1:
		return hits[0], nil
	case 0:
		return 0, notLeased(list, want)
	}
	return 0, fmt.Errorf("several keys lease %s: say which of %s", want, strings.Join(keys, ", "))
}

// covers reports whether s has the subnets that want names.
func (s subnets) covers(want subnets) bool {
	return (!want.v4.IsValid() || s.v4 == want.v4) && (!want.v6.IsValid() || s.v6 == want.v6)
}

// notLeased says that there is no such lease, and which comes nearest.
func notLeased(list []SubnetRecord, want subnets) error {
	p := want.prefixes()[0]
	var near *SubnetRecord
	var least u128
	for i := range list {
		for _, q := range list[i].subnets().prefixes() {
			if d, ok := distance(p, q); ok && (near == nil || d.compare(least) < 0) {
				near, least = &list[i], d
			}
		}
	}
	if near == nil {
		return fmt.Errorf("nobody has %s, nor any subnet like it", want)
	}
	return fmt.Errorf("nobody has %s; the nearest is %s of %s", want, near.subnets(), near.Holder())
}

// distance is how far apart two ranges of one family begin; those that overlap
// are not apart.
func distance(p, q netip.Prefix) (d u128, ok bool) {
	if p.Addr().Is4() != q.Addr().Is4() {
		return u128{}, false
	}
	if p.Overlaps(q) {
		return u128{}, true
	}
	a, b := addrValue(p.Addr()), addrValue(q.Addr())
	if a.compare(b) < 0 {
		a, b = b, a
	}
	return a.sub(b), true
}

// ParseSubnet reads what a person calls a lease: "10.10.3.0/24", flannel's
// "10.10.3.0-24", either subnet of a dual-stack key, or both with a comma or
// flannel's "&" between them. The one that is not named is the zero Prefix.
func ParseSubnet(text string) (v4, v6 netip.Prefix, err error) {
	first, second, dual := strings.Cut(strings.Replace(text, ",", "&", 1), "&")
	if v4, err = parseRange(first); err != nil {
		return netip.Prefix{}, netip.Prefix{}, err
	}
	if dual {
		v6, err = parseRange(second)
	} else if v4.Addr().Is6() {
		v4, v6 = v6, v4
	}
	if v4 == none4 {
		v4 = netip.Prefix{}
	}
	switch {
	case err != nil:
	case dual && !v6.Addr().Is6(), v4.IsValid() && v4.Addr().Is6(), !v4.IsValid() && !v6.IsValid():
		err = notSubnet(text)
	default:
		return v4, v6, nil
	}
	return netip.Prefix{}, netip.Prefix{}, err
}

// parseRange reads a range with a slash or flannel's dash before its length.
func parseRange(text string) (netip.Prefix, error) {
	slashed := text
	if i := strings.LastIndexByte(text, '-'); i >= 0 {
		slashed = text[:i] + "/" + text[i+1:]
	}
	p, err := netip.ParsePrefix(slashed)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, notSubnet(text)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%s is an address in a subnet; the subnet is %s", text, p.Masked())
	}
	return p, nil
}

func notSubnet(text string) error {
	return fmt.Errorf("%.60q is not a subnet such as 10.10.3.0/24 or 10.10.3.0-24", text)
}
