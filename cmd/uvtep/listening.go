package main

import (
	"context"
	"slices"
	"time"
)

// listenEvery is how often a further port that could not be bound is tried again.
const listenEvery = 5 * time.Second

// listening is which further ports datagrams are taken from, for a time when some
// hosts send to another one. The plane's mu guards all.
type listening struct {
	ports    []uint16          // as the network's configuration has them
	relisten bool              // the sockets are to be opened or closed
	deaf     map[uint16]string // ports that are not bound, and why: reported
}

// listenTo has these ports listened on. mu is held.
func (p *plane) listenTo(ports []uint16) {
	if !slices.Equal(p.ports, ports) {
		p.ports, p.relisten = ports, true
		p.renew()
	}
}

// listen opens and closes sockets. The switch must not be running. mu is held.
func (p *plane) listen() {
	p.relisten = false
	deaf := make(map[uint16]string)
	for port, err := range p.sockets.Listen(p.ports) {
		deaf[port] = err.Error()
		if _, known := p.deaf[port]; !known {
			p.log.Warn().Uint16("port", port).Err(err).Msg("further port cannot be listened on; trying again")
		}
	}
	p.deaf = deaf
	p.log.Info().Uints16("ports", p.sockets.AlsoListens()).Msg("further ports listened on")
}

// listenAgain tries the ports that are not bound again and again. The switch is
// not disturbed before one can be.
func (p *plane) listenAgain(ctx context.Context) error {
	tick := time.NewTicker(listenEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			p.tryDeaf()
		}
	}
}

func (p *plane) tryDeaf() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for port := range p.deaf {
		if p.renewal == nil && !p.shut && p.sockets.Listenable(port) == nil {
			p.relisten = true
			p.renew()
		}
	}
}

// also tells of the further ports. mu is held.
func (p *plane) also() map[uint16]featureView {
	out := make(map[uint16]featureView)
	for _, port := range p.sockets.AlsoListens() {
		out[port] = feat(true, "")
	}
	for port, why := range p.deaf {
		out[port] = feat(false, why)
	}
	return out
}
