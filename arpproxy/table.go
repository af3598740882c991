package arpproxy

import (
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

// Table holds the bindings at one revision. It never changes; Edit begins the
// next one. The zero Table and a nil *Table are empty.
type Table struct {
	bindings *snapmap.Map[Key, Binding]
}

// Lookup returns the binding of an address. It does not allocate.
func (t *Table) Lookup(vni encap.VNI, ip netip.Addr) (Binding, bool) {
	if t == nil {
		return Binding{}, false
	}
	return t.bindings.Get(Key{vni, ip})
}

// Len is the number of bindings in all VNIs.
func (t *Table) Len() int {
	if t == nil {
		return 0
	}
	return t.bindings.Len()
}

// All yields every binding once, in no particular order.
func (t *Table) All() iter.Seq2[Key, Binding] {
	if t == nil {
		return (*snapmap.Map[Key, Binding])(nil).All()
	}
	return t.bindings.All()
}

// Edit begins a new table that starts as t. t stays as it is.
func (t *Table) Edit() *Editor {
	if t == nil || t.bindings == nil {
		t = &Table{bindings: snapmap.New[Key, Binding](hashKey)}
	}
	return &Editor{bindings: t.bindings.Edit()}
}

func hashKey(k Key, seed uint64) uint64 { return snapmap.HashAddr(k.IP, uint64(k.VNI)^seed) }

// An Editor prepares the table that follows another one. It belongs to one
// goroutine; nobody sees its changes before Table.
type Editor struct {
	bindings *snapmap.Editor[Key, Binding]
}

// Set puts b under k, in place of what was there.
func (e *Editor) Set(k Key, b Binding) { e.bindings.Set(k.plain(), b) }

// Delete removes what is under k, if there is anything.
func (e *Editor) Delete(k Key) { e.bindings.Delete(k.plain()) }

// Lookup returns what the edit has under k.
func (e *Editor) Lookup(k Key) (Binding, bool) { return e.bindings.Get(k.plain()) }

// Table returns the table as edited so far. The editor may go on; the returned
// table does not change any more.
func (e *Editor) Table() *Table { return &Table{bindings: e.bindings.Map()} }

// plain is k in the one form that frames are looked up with: IPv4 as IPv4, and
// without a zone, which means nothing on a wire.
func (k Key) plain() Key { return Key{k.VNI, k.IP.Unmap().WithZone("")} }
