package main

import (
	"context"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// listenEvery is how often a further port that could not be bound is tried again.
const listenEvery = 5 * time.Second

// listening is which further ports datagrams are taken from, for a time when some
// hosts send to another one. The trunk's mu guards all.
type listening struct {
	wanted   map[*member][]uint16 // as the networks' configurations have them
	ports    []uint16             // of all networks, in order
	relisten bool                 // the sockets are to be opened or closed
	deaf     map[uint16]string    // ports that are not bound, and why: reported
}

// listenTo has these ports listened on for a network.
func (t *trunk) listenTo(m *member, ports []uint16) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.want(m, ports) {
		t.relisten = true
		t.sockets.Wake()
	}
}

// forget has nothing listened on for a network any more.
func (t *trunk) forget(m *member) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.wanted[m]) > 0 && t.want(m, nil) && t.sockets != nil {
		t.relisten = true
		t.sockets.Wake()
	}
	delete(t.wanted, m)
}

// want notes a network's ports, and reports whether those of all are others now.
// mu is held.
func (t *trunk) want(m *member, ports []uint16) (others bool) {
	t.wanted[m] = ports
	all := union(maps.Values(t.wanted))
	others = !slices.Equal(t.ports, all)
	t.ports = all
	return others
}

// listen opens and closes sockets. Nothing may be received meanwhile. mu is held.
func (t *trunk) listen() {
	t.relisten = false
	deaf := make(map[uint16]string)
	for port, err := range t.sockets.Listen(t.ports) {
		deaf[port] = err.Error()
		if _, known := t.deaf[port]; !known {
			t.log.Warn().Uint16("port", port).Err(err).Msg("further port cannot be listened on; trying again")
		}
	}
	t.deaf = deaf
	t.log.Info().Uints16("ports", t.sockets.AlsoListens()).Msg("further ports listened on")
}

// listenAgain tries the ports that are not bound again and again. Receiving is not
// disturbed before one can be.
func (t *trunk) listenAgain(ctx context.Context) error {
	return every(ctx, listenEvery, t.tryDeaf)
}

func (t *trunk) tryDeaf() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for port := range t.deaf {
		if !t.relisten && !t.rebind && t.sockets.Listenable(port) == nil {
			t.relisten = true
			t.sockets.Wake()
		}
	}
}

// besides tells of narrow paths and of the further ports.
func (t *trunk) besides() (map[netip.Addr]int, map[uint16]featureView) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[uint16]featureView)
	for _, port := range t.sockets.AlsoListens() {
		out[port] = feat(true, "")
	}
	for port, why := range t.deaf {
		out[port] = feat(false, why)
	}
	return t.narrow, out
}

// union is the ports that are in any of the lists, in order.
func union(lists iter.Seq[[]uint16]) (all []uint16) {
	for l := range lists {
		all = append(all, l...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
