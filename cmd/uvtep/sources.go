package main

import (
	"iter"
	"net/netip"

	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/fdb"
	"github.com/uvtep/uvtep/internal/snapmap"
	vswitch "github.com/uvtep/uvtep/switch"
)

// sources are the inner addresses of other hosts, made of the leases and the
// VTEPs, and made again only when these are others. The plane's mu guards all.
type sources struct {
	made  *vswitch.Sources
	peers *snapmap.Map[string, *etcdsync.Peer]
	vteps fdb.VTEPs
}

// innerSources is what --strict-source asks for, nil without it. mu is held.
func (p *plane) innerSources() *vswitch.Sources {
	if !p.strictSource {
		return nil
	}
	s, peers, vteps := &p.sources, p.tables.Peers, p.tables.FDB.VTEPs(p.network.VNI)
	if s.made == nil || s.peers != peers || !s.vteps.Same(vteps) {
		*s = sources{vswitch.NewSources(subnetsOf(peers), vteps.All()), peers, vteps}
	}
	return s.made
}

// subnetsOf yields the subnets of other hosts.
func subnetsOf(peers *snapmap.Map[string, *etcdsync.Peer]) iter.Seq2[netip.Prefix, *fdb.VTEP] {
	return func(yield func(netip.Prefix, *fdb.VTEP) bool) {
		for _, p := range peers.All() {
			if !yield(p.Subnet, p.VTEP) || !yield(p.Subnet6, p.VTEP) {
				return
			}
		}
	}
}
