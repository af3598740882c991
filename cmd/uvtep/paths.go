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

// pathSet is the VTEPs whose paths take less than the underlay's own MTU, and
// how much, in bytes of outer IP. The trunk's mu guards the map, which is never
// changed: another takes its place.
type pathSet struct {
	narrow map[netip.Addr]int
	doubt  chan netip.Addr // VTEPs that a datagram was too large for
}

func newPathSet() pathSet { return pathSet{doubt: make(chan netip.Addr, 16)} }

// doubted is told by the data path of a datagram that was too large. It does
// not wait: the next one tells it again.
func (s *pathSet) doubted(vtep netip.Addr) {
	select {
	case s.doubt <- vtep:
	default:
	}
}

// paths is what the tunnel takes to each VTEP.
func (t *trunk) paths() vswitch.Paths {
	t.mu.Lock()
	defer t.mu.Unlock()
	inner := make(map[netip.Addr]int, len(t.narrow))
	for vtep, mtu := range t.narrow {
		inner[vtep] = mtu - encap.Overhead(vtep.Is6(), 0)
	}
	return vswitch.NewPaths(t.carrier.MTU-encap.Overhead(false, 0), t.carrier.MTU-encap.Overhead(true, 0), inner)
}

// measure measures paths when there is a doubt, and those that are narrow now
// and then.
func (t *trunk) measure(ctx context.Context) error {
	tick := time.NewTicker(pathsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case vtep := <-t.doubt:
			t.measured(vtep)
		case <-tick.C:
			t.mu.Lock()
			narrow := t.narrow
			t.mu.Unlock()
			for vtep := range narrow {
				t.measured(vtep)
			}
		}
	}
}

// measured takes in what the kernel knows of the path to a VTEP.
func (t *trunk) measured(vtep netip.Addr) {
	if t.remeasured(vtep) {
		for _, p := range t.working() {
			p.renewTables()
		}
	}
}

// remeasured reports whether another width of a path is known now.
func (t *trunk) remeasured(vtep netip.Addr) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	mtu, err := t.sockets.PathMTU(vtep)
	if err != nil {
		t.log.Debug().Err(err).Stringer("vtep", vtep).Msg("path not measured")
		return false // no route just now; what is known stands
	}
	was, known := t.narrow[vtep]
	narrow := mtu < t.carrier.MTU
	if narrow == known && (!narrow || mtu == was) {
		return false
	}
	next := maps.Clone(t.narrow)
	if narrow {
		if next == nil {
			next = make(map[netip.Addr]int)
		}
		next[vtep] = mtu
		t.log.Warn().Stringer("vtep", vtep).Int("mtu", mtu).Msg("the path to a VTEP is narrower than the underlay; senders are told what fits")
	} else {
		delete(next, vtep)
		t.log.Info().Stringer("vtep", vtep).Int("mtu", mtu).Msg("the path to a VTEP is as wide as the underlay again")
	}
	t.narrow = next
	return true
}
