package main

import (
	"net/netip"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	vswitch "github.com/uvtep/uvtep/switch"
)

// behind is what lives on the bridge behind the TAP, and its way into etcd. The
// plane's mu guards endpoints.
type behind struct {
	sightings *vswitch.Sightings  // nil: no bridge, so nothing but this host itself
	endpoints *etcdsync.Endpoints // nil until the host has its place in the network
}

func newBehind(m *member) (b behind) {
	if m.bridge != "" {
		b.sightings = vswitch.NewSightings(m.queues)
	}
	return b
}

// hear passes on tables. mu is held.
func (b *behind) hear(t *etcdsync.Tables) {
	if b.endpoints != nil {
		b.endpoints.Hear(t)
	}
}

// announceStations returns who is to announce the stations behind the TAP. Without
// a bridge that is to withdraw those of an earlier run.
func (p *plane) announceStations(r *etcdsync.Registration) *etcdsync.Endpoints {
	var s etcdsync.Stations
	if p.sightings != nil {
		s = stations{p}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endpoints = etcdsync.NewEndpoints(r, s, p.endpointAge)
	if p.tables != nil {
		p.behind.hear(p.tables)
	}
	return p.endpoints
}

// stations are those behind a plane's TAP.
type stations struct{ p *plane }

func (s stations) Drain(see func(ether.Addr, netip.Addr)) {
	s.p.sightings.Drain(func(x vswitch.Sighting) { see(x.MAC, x.IP) })
}

func (s stations) Again() { s.p.sightings.Again() }

func (s stations) Ask(ip netip.Addr, mac ether.Addr) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	if err := s.p.net.Ask(ip, mac); err != nil {
		s.p.log.Debug().Err(err).Stringer("mac", mac).Stringer("ip", ip).Msg("station not asked")
	}
}
