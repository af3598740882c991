package fdb

import (
	"iter"
	"net/netip"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/snapmap"
)

// Table is the forwarding database at one revision. It never changes; Edit
// begins the next one. The zero Table and a nil *Table are empty: they know no
// station and accept no sender.
type Table struct {
	stations *snapmap.Map[station, Entry]
	members  *snapmap.Map[member, int]      // how often each VTEP was added
	targets  *snapmap.Map[target, int]      // members by destination
	sources  *snapmap.Map[source, int]      // members by address
	pairs    *snapmap.Map[pair, int]        // members by both addresses, of those that have two
	floods   *snapmap.Map[encap.VNI, VTEPs] // one VTEP per target, sorted
}

// member is a VTEP of a VNI, by value.
type member struct {
	vni  encap.VNI
	vtep VTEP
}

// pair is both addresses of a VTEP, the lesser one first.
type pair struct {
	vni  encap.VNI
	a, b netip.Addr
}

func pairOf(vni encap.VNI, a, b netip.Addr) pair {
	if b.Less(a) {
		a, b = b, a
	}
	return pair{vni, a, b}
}

// target is a destination of flooded frames.
type target struct {
	vni encap.VNI
	to  netip.AddrPort
}

// Lookup returns what is known about a station. It does not allocate.
func (t *Table) Lookup(vni encap.VNI, mac ether.Addr) (Entry, bool) {
	if t == nil {
		return Entry{}, false
	}
	return t.stations.Get(pack(Key{vni, mac}))
}

// Accepts reports whether src is an address of one of the VTEPs of vni: only
// from there datagrams are taken in. An IPv4 address in IPv6 form is the IPv4
// address. It does not allocate.
func (t *Table) Accepts(vni encap.VNI, src netip.Addr) bool {
	if t == nil {
		return false
	}
	_, ok := t.sources.Get(source{vni, src.Unmap()})
	return ok
}

// Together reports whether one VTEP of vni has both addresses, which are not the same.
// It does not allocate.
func (t *Table) Together(vni encap.VNI, a, b netip.Addr) bool {
	if t == nil {
		return false
	}
	_, ok := t.pairs.Get(pairOf(vni, a.Unmap(), b.Unmap()))
	return ok
}

// VTEPs returns the VTEPs of vni that a flooded frame is replicated to: one
// for each destination, in the order of their addresses; of VTEPs that share a
// destination one stands for all. It does not allocate.
func (t *Table) VTEPs(vni encap.VNI) VTEPs {
	if t == nil {
		return VTEPs{}
	}
	list, _ := t.floods.Get(vni)
	return list
}

// Len is the number of stations in all VNIs.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return t.stations.Len()
}

// All yields every station once, in no particular order.
func (t *Table) All() iter.Seq2[Key, Entry] {
	return func(yield func(Key, Entry) bool) {
		if t == nil {
			return
		}
		for s, v := range t.stations.All() {
			if !yield(s.key(), v) {
				return
			}
		}
	}
}
