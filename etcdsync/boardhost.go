package etcdsync

import "github.com/uvtep/uvtep/fdb"

// node is a host as its endpoints need it.
type node struct {
	id        string
	host      *row // nil: it has no record, its endpoints wait
	endpoints []*row
}

// nodes are the hosts that have a record or endpoints, by id.
type nodes map[string]*node

// of returns the node of an id: a new one, not among the others yet, when there
// is none.
func (ns nodes) of(id string) *node {
	if n := ns[id]; n != nil {
		return n
	}
	return &node{id: id}
}

// add puts an endpoint to those of its node.
func (n *node) add(r *row) {
	r.place = uint32(len(n.endpoints))
	n.endpoints = append(n.endpoints, r)
}

func (n *node) remove(r *row) {
	last := n.endpoints[len(n.endpoints)-1]
	last.place, n.endpoints[r.place] = r.place, last
	n.endpoints[len(n.endpoints)-1] = nil
	n.endpoints = n.endpoints[:len(n.endpoints)-1]
}

// forget drops a node that nothing is known of any more.
func (b *board) forget(n *node) {
	if n.host == nil && len(n.endpoints) == 0 {
		delete(b.nodes, n.id)
	}
}

// enterHost puts a host's record in, and what waited for it.
func (b *board) enterHost(r *row) {
	n := r.node
	b.nodes[n.id], n.host = n, r
	b.showVTEP(r)
	if r.self() {
		return // our own stations do not wait for our record
	}
	b.hosts.Set(r.node.id, r.more.peer)
	for _, e := range n.endpoints {
		b.show(e)
	}
}

// withdrawHost takes a host's record out, and all that is behind the host (RFC
// 8365 §8.1.2).
func (b *board) withdrawHost(r *row) {
	n := r.node
	b.hideVTEP(r)
	n.host = nil
	defer b.forget(n)
	if r.self() {
		return
	}
	b.hosts.Delete(r.node.id)
	for _, e := range n.endpoints {
		b.hide(e)
	}
}

// replaceHost puts a new record in the place of the old one. The endpoints
// stay; they are elsewhere now if the address changed.
func (b *board) replaceHost(old, r *row) {
	n := r.node
	b.showVTEP(r)
	b.hideVTEP(old)
	n.host = r
	if !r.self() {
		b.hosts.Set(r.node.id, r.more.peer)
	}
	if sameVTEP(old.vtep(), r.vtep()) {
		r.more.vtep = old.vtep()
		return
	}
	for _, e := range n.endpoints {
		b.showMAC(fdb.Key{VNI: e.vni, MAC: e.mac})
	}
}

// enterEndpoint puts a station in, when its host is known. Where it is comes
// from the host's own record, never from the station's.
func (b *board) enterEndpoint(r *row) {
	n := r.node
	b.nodes[n.id] = n
	n.add(r)
	if n.host != nil || r.self() {
		b.show(r)
	}
}

func (b *board) withdrawEndpoint(r *row) {
	n := r.node
	n.remove(r)
	if n.host != nil || r.self() {
		b.hide(r)
	}
	b.forget(n)
}
