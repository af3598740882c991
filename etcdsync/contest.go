package etcdsync

import (
	"math/rand/v2"
	"slices"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/fdb"
)

// contest decides which of the rows that claim a key has it. Nearly always
// there is one claim to a key, and then it costs a slot of an index: that two keys
// of one row have the same hash of 64 bits, which is seeded, is not to be expected.
type contest[K comparable] struct {
	hash    func(K) uint64
	claimed func(*row, K) bool // by a row
	better  func(a, b *row) bool
	holders index[row]
	rivals  map[K][]*row // all claims to a key, where there are several
}

// holder returns the row that has k, nil when nobody claims it.
func (c *contest[K]) holder(k K) *row {
	for r := range c.holders.at(c.hash(k)) {
		if c.claimed(r, k) {
			return r
		}
	}
	return nil
}

// claims returns all rows that claim k. The slice is the contest's own.
func (c *contest[K]) claims(k K) []*row {
	if all := c.rivals[k]; all != nil {
		return all
	}
	if r := c.holder(k); r != nil {
		return []*row{r}
	}
	return nil
}

// add enters a claim, which r must not have yet.
func (c *contest[K]) add(k K, r *row) {
	holder := c.holder(k)
	if holder == nil {
		c.holders.add(c.hash(k), r)
		return
	}
	if c.rivals[k] == nil {
		c.rivals[k] = []*row{holder}
	}
	c.rivals[k] = append(c.rivals[k], r)
	if c.better(r, holder) {
		c.holders.replace(c.hash(k), holder, r)
	}
}

// remove takes a claim back; one that does not exist is none to take back.
func (c *contest[K]) remove(k K, r *row) {
	all := c.rivals[k]
	if all == nil {
		c.holders.remove(c.hash(k), r)
		return
	}
	holder := c.holder(k)
	all = slices.DeleteFunc(all, func(x *row) bool { return x == r })
	best := all[0]
	for _, x := range all[1:] {
		if c.better(x, best) {
			best = x
		}
	}
	if best != holder {
		c.holders.replace(c.hash(k), holder, best)
	}
	if c.rivals[k] = all; len(all) == 1 {
		delete(c.rivals, k)
	}
}

func newMACContest() contest[fdb.Key] {
	seed := rand.Uint64()
	return contest[fdb.Key]{
		hash: func(k fdb.Key) uint64 { return k.Hash(seed) },
		claimed: func(r *row, k fdb.Key) bool {
			_, ok := r.station(k.MAC)
			return ok && r.vni == k.VNI
		},
		better: betterMAC, rivals: make(map[fdb.Key][]*row),
	}
}

func newIPContest() contest[arpproxy.Key] {
	seed := rand.Uint64()
	return contest[arpproxy.Key]{
		hash: func(k arpproxy.Key) uint64 { return k.Hash(seed) },
		claimed: func(r *row, k arpproxy.Key) bool {
			_, ok := r.macOf(k.IP)
			return ok && r.vni == k.VNI
		},
		better: betterIP, rivals: make(map[arpproxy.Key][]*row),
	}
}

// betterMAC is who has a MAC address: a lease before a static entry before an
// endpoint; of two endpoints the one that moved last, for a station can have
// moved and its old host not know yet (RFC 7432 §15); else who came first.
func betterMAC(a, b *row) bool {
	if a.origin() != b.origin() {
		return a.origin() < b.origin()
	}
	if a.kind == endpoint {
		if a.seq != b.seq {
			return a.seq > b.seq
		}
		if a.rev != b.rev {
			return a.rev > b.rev
		}
	}
	return elder(a, b)
}

// betterIP is who has an IP address: a lease before a static entry before an
// endpoint, else who came first. A later one that takes it over is a mistake
// or an attack.
func betterIP(a, b *row) bool {
	if a.origin() != b.origin() {
		return a.origin() < b.origin()
	}
	return elder(a, b)
}

// elder reports whether a's key was there before b's. Keys of one transaction
// are of one revision; their names tell them apart.
func elder(a, b *row) bool {
	if a.created != b.created {
		return a.created < b.created
	}
	return a.name() < b.name()
}
