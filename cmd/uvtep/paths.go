package main

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"github.com/uvtep/uvtep/encap"
	vswitch "github.com/uvtep/uvtep/switch"
)

// pathsEvery is how often the paths that were found narrow are measured again:
// the kernel forgets what it learned after ten minutes, and routes change.
const pathsEvery = 30 * time.Second

// paths are the VTEPs whose paths take less than the underlay's own MTU, and
// how much, in bytes of outer IP. The plane's mu guards the map, which is never
// changed: another takes its place.
type paths struct {
	narrow map[netip.Addr]int
	doubt  chan netip.Addr // VTEPs that a datagram was too large for
}

func newPaths() paths { return paths{doubt: make(chan netip.Addr, 16)} }

// doubted is told by the data path of a datagram that was too large. It does
// not wait: the next one tells it again.
func (p *paths) doubted(vtep netip.Addr) {
	select {
	case p.doubt <- vtep:
	default:
	}
}

// tunnelPaths is what the tunnel takes to each VTEP. mu is held.
func (p *plane) tunnelPaths() vswitch.Paths {
	inner := make(map[netip.Addr]int, len(p.narrow))
	for vtep, mtu := range p.narrow {
		inner[vtep] = mtu - encap.Overhead(vtep.Is6(), 0)
	}
	return vswitch.NewPaths(p.carrier.MTU-encap.Overhead(false, 0), p.carrier.MTU-encap.Overhead(true, 0), inner)
}

// measure measures paths when there is a doubt, and those that are narrow now
// and then.
func (p *plane) measure(ctx context.Context) error {
	tick := time.NewTicker(pathsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case vtep := <-p.doubt:
			p.measured(vtep)
		case <-tick.C:
			p.mu.Lock()
			narrow := p.narrow
			p.mu.Unlock()
			for vtep := range narrow {
				p.measured(vtep)
			}
		}
	}
}

// measured takes in what the kernel knows of the path to a VTEP.
func (p *plane) measured(vtep netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mtu, err := p.sockets.PathMTU(vtep)
	if err != nil {
		p.log.Debug().Err(err).Stringer("vtep", vtep).Msg("path not measured")
		return // no route just now; what is known stands
	}
	was, known := p.narrow[vtep]
	narrow := mtu < p.carrier.MTU
	if narrow == known && (!narrow || mtu == was) {
		return
	}
	next := maps.Clone(p.narrow)
	if narrow {
		if next == nil {
			next = make(map[netip.Addr]int)
		}
		next[vtep] = mtu
		p.log.Warn().Stringer("vtep", vtep).Int("mtu", mtu).Msg("the path to a VTEP is narrower than the underlay; senders are told what fits")
	} else {
		delete(next, vtep)
		p.log.Info().Stringer("vtep", vtep).Int("mtu", mtu).Msg("the path to a VTEP is as wide as the underlay again")
	}
	p.narrow = next
	p.retable()
}
