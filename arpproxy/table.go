package arpproxy

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
	"github.com/uvtep/uvtep/internal/snapmap"
)

// Key names a binding: an IPv4 or IPv6 address within a VNI.
type Key struct {
	VNI encap.VNI
	IP  netip.Addr
}

// String returns the key as in "1/10.5.10.0".
func (k Key) String() string { return k.VNI.String() + "/" + k.IP.String() }

// Binding is what the proxy answers for an address.
type Binding struct {
	// MAC is the Ethernet address of the owner.
	MAC ether.Addr
	// Origin is who said so. A lease's address is answered for whoever asks;
	// the owner of any other answers unicast requests itself.
	Origin fdb.Origin
	// Rev is etcd's revision of the record the binding comes from.
	Rev int64
}

// address is a Key as it is kept: without a pointer, so that Go's collector need
// not look at it, and in whole numbers, which stay in registers where bytes would
// be copied through memory. An IPv4 address is in its IPv6 form.
type address struct {
	high, low uint64
	vni       encap.VNI
}

// pack is k as an address.
func pack(k Key) address {
	b := k.IP.As16()
	return address{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:]), k.VNI}
}

func (a address) key() Key {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.high)
	binary.BigEndian.PutUint64(b[8:], a.low)
	return Key{a.vni, netip.AddrFrom16(b).Unmap()}
}

func hashAddress(a address, seed uint64) uint64 {
	return snapmap.HashWords(a.high, a.low, uint64(a.vni)^seed)
}

// Table holds the bindings at one revision. It never changes; Edit begins the
// next one. The zero Table and a nil *Table are empty.
type Table struct {
	bindings *snapmap.Map[address, Binding]
	ipv4     int // of them
}

// Lookup returns the binding of an address. An IPv4 address in IPv6 form has none.
// It does not allocate.
func (t *Table) Lookup(vni encap.VNI, ip netip.Addr) (Binding, bool) {
	if t == nil || ip.Is4In6() {
		return Binding{}, false
	}
	return t.bindings.Get(pack(Key{vni, ip}))
}

// Len is the number of bindings in all VNIs.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return t.bindings.Len()
}

// Len4 is the number of those that are of IPv4 addresses.
func (t *Table) Len4() int {
	if t == nil {
		return 0
	}
	return t.ipv4
}

// All yields every binding once, in no particular order.
func (t *Table) All() iter.Seq2[Key, Binding] {
	return func(yield func(Key, Binding) bool) {
		if t == nil {
			return
		}
		for a, b := range t.bindings.All() {
			if !yield(a.key(), b) {
				return
			}
		}
	}
}

// Edit begins a new table that starts as t. t stays as it is.
func (t *Table) Edit() *Editor {
	if t == nil || t.bindings == nil {
		t = &Table{bindings: snapmap.New[address, Binding](hashAddress)}
	}
	return &Editor{bindings: t.bindings.Edit(), ipv4: t.ipv4}
}

// Hash hashes the key. The seed should be random, so that whoever chooses keys
// does not know their hashes.
func (k Key) Hash(seed uint64) uint64 { return hashAddress(pack(k), seed) }

// An Editor prepares the table that follows another one. It belongs to one
// goroutine; nobody sees its changes before Table.
type Editor struct {
	bindings *snapmap.Editor[address, Binding]
	ipv4     int // of them
}

// Set puts b under k, in place of what was there. IPv6 forms of IPv4 addresses and
// zones mean nothing on a wire: those are one key with the plain address.
func (e *Editor) Set(k Key, b Binding) {
	before := e.bindings.Len()
	e.bindings.Set(pack(k), b)
	e.count(k, before)
}

// Delete removes what is under k, if there is anything.
func (e *Editor) Delete(k Key) {
	before := e.bindings.Len()
	e.bindings.Delete(pack(k))
	e.count(k, before)
}

// count notes what a change of k did to the number of bindings there were.
func (e *Editor) count(k Key, before int) {
	if k.IP.Unmap().Is4() {
		e.ipv4 += e.bindings.Len() - before
	}
}

// Lookup returns what the edit has under k.
func (e *Editor) Lookup(k Key) (Binding, bool) {
	return e.bindings.Get(pack(k))
}

// Table returns the table as edited so far. The editor may go on; the returned
// table does not change any more.
func (e *Editor) Table() *Table { return &Table{bindings: e.bindings.Map(), ipv4: e.ipv4} }
