package fdb

import (
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/internal/snapmap"
)

// An Editor prepares the table that follows another one. It belongs to one
// goroutine; nobody sees its changes before Table.
type Editor struct {
	stations *snapmap.Editor[station, Entry]
	members  *snapmap.Editor[member, int]
	targets  *snapmap.Editor[target, int]
	sources  *snapmap.Editor[source, int]
	pairs    *snapmap.Editor[pair, int]
	floods   *snapmap.Editor[encap.VNI, VTEPs]
}

// Edit begins a new table that starts as t. t stays as it is.
func (t *Table) Edit() *Editor {
	if t == nil || t.stations == nil {
		t = empty()
	}
	return &Editor{
		stations: t.stations.Edit(),
		members:  t.members.Edit(),
		targets:  t.targets.Edit(),
		sources:  t.sources.Edit(),
		pairs:    t.pairs.Edit(),
		floods:   t.floods.Edit(),
	}
}

// empty is a table to begin with.
func empty() *Table {
	return &Table{
		stations: snapmap.New[station, Entry](hashStation),
		sources:  snapmap.New[source, int](hashSource),
	}
}

// Table returns the table as edited so far. The editor may go on; the returned
// table does not change any more.
func (e *Editor) Table() *Table {
	return &Table{
		stations: e.stations.Map(),
		members:  e.members.Map(),
		targets:  e.targets.Map(),
		sources:  e.sources.Map(),
		pairs:    e.pairs.Map(),
		floods:   e.floods.Map(),
	}
}

// Set puts v under k, in place of what was there. It does not make v's VTEP
// one of the VNI: that is AddVTEP's.
func (e *Editor) Set(k Key, v Entry) { e.stations.Set(pack(k), v) }

// Delete removes what is under k, if there is anything.
func (e *Editor) Delete(k Key) { e.stations.Delete(pack(k)) }

// Lookup returns what the edit has under k.
func (e *Editor) Lookup(k Key) (Entry, bool) { return e.stations.Get(pack(k)) }

// AddVTEP makes v one of the VTEPs of vni: its addresses are accepted as outer
// sources, and flooded frames go to it. Additions are counted, since a lease,
// a host record and static entries may each name the same host. It reports
// whether v can be a VTEP at all. A destination that is unspecified, multicast,
// broadcast, or an IPv4 address in IPv6 form cannot, and nothing is done then.
func (e *Editor) AddVTEP(vni encap.VNI, v *VTEP) bool {
	if v == nil || !usable(v.To.Addr()) {
		return false
	}
	if count(e.members, member{vni, *v}, +1) > 1 {
		return true
	}
	if count(e.targets, target{vni, v.To}, +1) == 1 {
		e.flood(vni, v)
	}
	e.address(vni, v, +1)
	return true
}

// RemoveVTEP takes back one AddVTEP of an equal VTEP; with the last one the
// VTEP is gone. A VTEP that is not there is none to remove.
func (e *Editor) RemoveVTEP(vni encap.VNI, v *VTEP) {
	if v == nil {
		return
	}
	if _, ok := e.members.Get(member{vni, *v}); !ok || count(e.members, member{vni, *v}, -1) > 0 {
		return
	}
	if count(e.targets, target{vni, v.To}, -1) == 0 {
		e.unflood(vni, v)
	}
	e.address(vni, v, -1)
}

// address counts the addresses of v that datagrams may come from.
func (e *Editor) address(vni encap.VNI, v *VTEP, by int) {
	count(e.sources, source{vni, v.To.Addr()}, by)
	if usable(v.Alt) {
		count(e.sources, source{vni, v.Alt}, by)
		count(e.pairs, pairOf(vni, v.To.Addr(), v.Alt), by)
	}
}

// count adds by to the number under k and returns it; at zero k is removed.
func count[K comparable](e *snapmap.Editor[K, int], k K, by int) int {
	n, _ := e.Get(k)
	n += by
	if n == 0 {
		e.Delete(k)
		return 0
	}
	e.Set(k, n)
	return n
}

// flood puts v into the flood list of vni.
func (e *Editor) flood(vni encap.VNI, v *VTEP) {
	list, _ := e.floods.Get(vni)
	e.floods.Set(vni, list.with(v))
}

// unflood takes the VTEP with v's destination off the flood list of vni.
func (e *Editor) unflood(vni encap.VNI, v *VTEP) {
	list, _ := e.floods.Get(vni)
	if list = list.without(v); list.Len() == 0 {
		e.floods.Delete(vni)
		return
	}
	e.floods.Set(vni, list)
}
