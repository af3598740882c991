package etcdsync

import (
	"slices"

	"github.com/uvtep/uvtep/arpproxy"
)

// tables returns the tables as the board has them, and begins the next ones.
func (b *board) tables(rev int64, n Network) *Tables {
	t := &Tables{Rev: rev, Network: n, FDB: b.fdb.Table(), ARP: b.arp.Table(), Routes: b.routes.list(), Peers: b.peers.Map(), Hosts: b.hosts.Map()}
	if b.last != nil {
		t.Changed = b.changes(b.last, t)
	}
	if !b.stale {
		b.warnOfConflicts()
	}
	t.Conflicts, t.ConflictCount = b.census.list, len(b.census.present)
	b.touched = make(map[arpproxy.Key]struct{}) // cleared, it would cost what the first load filled it with, every time
	b.last = t
	return t
}

// changes returns the touched bindings that are other than before.
func (b *board) changes(before, after *Tables) []Change {
	var out []Change
	for k := range b.touched {
		binding, ok := after.ARP.Lookup(k.VNI, k.IP)
		if !ok {
			continue
		}
		was, _ := before.ARP.Lookup(k.VNI, k.IP)
		is, _ := after.FDB.Lookup(k.VNI, binding.MAC)
		entry, _ := before.FDB.Lookup(k.VNI, binding.MAC)
		if was.MAC != binding.MAC || !sameVTEP(entry.VTEP, is.VTEP) {
			out = append(out, Change{k, binding.MAC})
		}
	}
	slices.SortFunc(out, Change.compare)
	return out
}
