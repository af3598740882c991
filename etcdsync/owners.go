package etcdsync

import (
	"hash/maphash"
	"math/rand/v2"
	"net/netip"

	"github.com/uvtep/uvtep/fdb"
	"github.com/uvtep/uvtep/internal/snapmap"
)

// owners are who has what.
type owners[K comparable] struct {
	hash func(K) uint64
	has  func(*party, K) bool
	all  index[party]
}

// of returns who has k.
func (o *owners[K]) of(k K) []*party {
	var out []*party
	for p := range o.all.at(o.hash(k)) {
		if o.has(p, k) {
			out = append(out, p)
		}
	}
	return out
}

// count returns how many have k.
func (o *owners[K]) count(k K) (n int) {
	for p := range o.all.at(o.hash(k)) {
		if o.has(p, k) {
			n++
		}
	}
	return n
}

// change lets p have k, or no longer.
func (o *owners[K]) change(k K, p *party, has bool) {
	if has {
		o.all.add(o.hash(k), p)
		return
	}
	o.all.remove(o.hash(k), p)
}

func ownersOfMACs() owners[fdb.Key] {
	seed := rand.Uint64()
	return owners[fdb.Key]{hash: func(k fdb.Key) uint64 { return k.Hash(seed) }, has: (*party).hasMAC}
}

func ownersOfAddrs() owners[netip.AddrPort] {
	seed := rand.Uint64()
	return owners[netip.AddrPort]{
		hash: func(a netip.AddrPort) uint64 { return snapmap.HashAddr(a.Addr(), uint64(a.Port())^seed) },
		has:  (*party).has,
	}
}

func ownersOfSubnets() owners[netip.Prefix] {
	seed := rand.Uint64()
	return owners[netip.Prefix]{
		hash: func(s netip.Prefix) uint64 { return snapmap.HashAddr(s.Addr(), uint64(s.Bits())^seed) },
		has:  (*party).leases,
	}
}

func ownersOfNames(has func(*party, string) bool) owners[string] {
	seed := maphash.MakeSeed()
	return owners[string]{hash: func(s string) uint64 { return maphash.String(seed, s) }, has: has}
}
