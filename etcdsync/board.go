package etcdsync

import (
	"github.com/rs/zerolog"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/fdb"
	"github.com/uvtep/uvtep/internal/snapmap"
)

// board is where the next tables are prepared: all rows, who of them has what,
// and the editors of the tables. A row goes in and comes out as a whole, at a
// cost that depends on the row and not on the size of the board. It belongs to
// one goroutine.
type board struct {
	me     identity
	log    zerolog.Logger
	alarm  zerolog.Logger // limited, since strangers can set it off
	rows   rowSet
	nodes  nodes
	own    []subnets // our leases
	macs   contest[fdb.Key]
	ips    contest[arpproxy.Key]
	routes routeSet
	census *census
	stale  bool // the tables are those of the last run, and so would be their conflicts

	fdb     *fdb.Editor
	arp     *arpproxy.Editor
	peers   *snapmap.Editor[string, *Peer]
	hosts   *snapmap.Editor[string, *Peer]
	touched map[arpproxy.Key]struct{} // bindings that may differ from last
	last    *Tables                   // published before, nil at first
}

func newBoard(me identity, log zerolog.Logger) *board {
	return &board{
		me: me, log: log, alarm: limited(log),
		rows: newRowSet(), nodes: me.nodes, macs: newMACContest(), ips: newIPContest(), routes: newRouteSet(), census: newCensus(),
		fdb: (*fdb.Table)(nil).Edit(), arp: (*arpproxy.Table)(nil).Edit(), peers: (*snapmap.Map[string, *Peer])(nil).Edit(), hosts: (*snapmap.Map[string, *Peer])(nil).Edit(),
		touched: make(map[arpproxy.Key]struct{}),
	}
}

// set puts a row in the place of the one with its name, if there is one.
func (b *board) set(name string, r *row) {
	old := b.rows.get(name)
	switch {
	case old == nil:
		b.rows.put(name, r)
		b.enter(r)
	case old.kind == lease && old.created == r.created && old.sameAs(r):
		b.refresh(old, r)
	case old.kind == host:
		b.rows.put(name, r)
		b.replaceHost(old, r)
	default:
		b.withdraw(old)
		b.rows.put(name, r)
		b.enter(r)
	}
}

// remove takes a row out.
func (b *board) remove(name string) {
	if r := b.rows.remove(name); r != nil {
		b.withdraw(r)
	}
}

func (b *board) enter(r *row) {
	switch r.kind {
	case lease:
		b.enterLease(r)
	case host:
		b.enterHost(r)
	case endpoint:
		b.enterEndpoint(r)
	case static:
		b.show(r)
	}
}

func (b *board) withdraw(r *row) {
	switch r.kind {
	case lease:
		b.withdrawLease(r)
	case host:
		b.withdrawHost(r)
	case endpoint:
		b.withdrawEndpoint(r)
	case static:
		b.hide(r)
	}
}

// show enters all that a row claims, hide takes it all back.
func (b *board) show(r *row) {
	for s := range r.stations() {
		k := fdb.Key{VNI: r.vni, MAC: s.mac}
		b.claimMAC(k, r, b.macs.add)
		b.warnOfMAC(k)
	}
	b.showVTEP(r)
}

func (b *board) hide(r *row) {
	for s := range r.stations() {
		b.claimMAC(fdb.Key{VNI: r.vni, MAC: s.mac}, r, b.macs.remove)
	}
	b.hideVTEP(r)
}

func (b *board) showVTEP(r *row) {
	if r.self() {
		return
	}
	for _, vni := range r.vnis() {
		b.fdb.AddVTEP(vni, r.vtep())
	}
}

func (b *board) hideVTEP(r *row) {
	if r.self() {
		return
	}
	for _, vni := range r.vnis() {
		b.fdb.RemoveVTEP(vni, r.vtep())
	}
}

// claimMAC changes the claims to a MAC address. A row has a say about IP
// addresses only for as long as it has the MAC address they are bound to, so
// that FDB and ARP always come from the same row.
func (b *board) claimMAC(k fdb.Key, r *row, change func(fdb.Key, *row)) {
	before := b.macs.holder(k)
	change(k, r)
	after := b.macs.holder(k)
	if before != after {
		for key := range before.bindings(k) {
			b.ips.remove(key, before)
			b.showIP(key)
		}
		for key := range after.bindings(k) {
			b.ips.add(key, after)
			b.showIP(key)
			b.warnOfIP(key)
		}
	}
	b.showMAC(k)
}

// refresh takes over the revision of a value that says what the old one said:
// a lease is written again now and then.
func (b *board) refresh(old, r *row) {
	r.more.peer.VTEP = old.more.vtep // the same
	old.rev, old.more.value, old.more.peer = r.rev, r.more.value, r.more.peer
	if !old.marks.has(shown) {
		return
	}
	b.peers.Set(old.more.peer.Key, old.more.peer)
	for s := range old.stations() {
		k := fdb.Key{VNI: old.vni, MAC: s.mac}
		b.showMAC(k)
		for key := range old.bindings(k) {
			b.showIP(key)
		}
	}
}

// showMAC writes to the FDB who has a MAC address.
func (b *board) showMAC(k fdb.Key) {
	r := b.macs.holder(k)
	if r == nil || r.self() && r.kind == lease {
		b.fdb.Delete(k)
		return
	}
	entry := fdb.Entry{VTEP: b.placeOf(r, k), Origin: r.origin(), Rev: r.rev, Seq: r.seq}
	if old, ok := b.fdb.Lookup(k); ok && old == entry {
		return
	}
	b.fdb.Set(k, entry)
	for key := range r.bindings(k) {
		b.touched[key] = struct{}{}
	}
}

// placeOf returns where a station of r is, nil when that is here.
func (b *board) placeOf(r *row, k fdb.Key) *fdb.VTEP {
	if r.self() {
		return nil
	}
	if r.kind == endpoint {
		return r.node.host.vtep()
	}
	if s, _ := r.station(k.MAC); s.vtep != nil {
		return s.vtep
	}
	return r.vtep()
}

// showIP writes to the ARP table who has an IP address.
func (b *board) showIP(k arpproxy.Key) {
	b.touched[k] = struct{}{}
	r := b.ips.holder(k)
	if r == nil || r.self() {
		b.arp.Delete(k)
		return
	}
	mac, _ := r.macOf(k.IP)
	b.arp.Set(k, arpproxy.Binding{MAC: mac, Origin: r.origin(), Rev: r.rev})
}
