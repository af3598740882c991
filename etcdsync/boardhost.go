package etcdsync

import "github.com/uvtep/uvtep/fdb"

// nodeOf returns the node of a host or an endpoint, made if it is new.
func (b *board) nodeOf(r *row) *node {
	n := b.nodes[r.node]
	if n == nil {
		n = &node{endpoints: make(map[*row]struct{})}
		b.nodes[r.node] = n
	}
	return n
}

// forget drops a node that nothing is known of any more.
func (b *board) forget(r *row) {
	if n := b.nodes[r.node]; n.host == nil && len(n.endpoints) == 0 {
		delete(b.nodes, r.node)
	}
}

// enterHost puts a host's record in, and what waited for it.
func (b *board) enterHost(r *row) {
	n := b.nodeOf(r)
	n.host = r
	b.showVTEP(r)
	if r.self {
		return // our own stations do not wait for our record
	}
	b.hosts.Set(r.node, r.peer)
	for e := range n.endpoints {
		b.show(e)
	}
}

// withdrawHost takes a host's record out, and all that is behind the host (RFC
// 8365 §8.1.2).
func (b *board) withdrawHost(r *row) {
	n := b.nodeOf(r)
	b.hideVTEP(r)
	n.host = nil
	defer b.forget(r)
	if r.self {
		return
	}
	b.hosts.Delete(r.node)
	for e := range n.endpoints {
		b.hide(e)
	}
}

// replaceHost puts a new record in the place of the old one. The endpoints
// stay; they are elsewhere now if the address changed.
func (b *board) replaceHost(old, r *row) {
	n := b.nodeOf(r)
	b.showVTEP(r)
	b.hideVTEP(old)
	n.host = r
	if !r.self {
		b.hosts.Set(r.node, r.peer)
	}
	if sameVTEP(old.vtep, r.vtep) {
		r.vtep = old.vtep
		return
	}
	for e := range n.endpoints {
		b.showMAC(fdb.Key{VNI: e.vni, MAC: e.stations[0].mac})
	}
}

// enterEndpoint puts a station in, when its host is known. Where it is comes
// from the host's own record, never from the station's.
func (b *board) enterEndpoint(r *row) {
	n := b.nodeOf(r)
	n.endpoints[r] = struct{}{}
	if n.host != nil || r.self {
		b.show(r)
	}
}

func (b *board) withdrawEndpoint(r *row) {
	n := b.nodeOf(r)
	delete(n.endpoints, r)
	if n.host != nil || r.self {
		b.hide(r)
	}
	b.forget(r)
}
