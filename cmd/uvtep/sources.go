package main

import (
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/snapmap"
	vswitch "github.com/uvtep/uvtep/switch"
)

// sources are the subnets of other hosts, made of their leases. The plane's mu guards
// all.
type sources struct {
	made  *vswitch.Sources
	peers *snapmap.Map[string, *etcdsync.Peer]
}

// innerSources is what --strict-source asks for, nil without it. mu is held.
func (p *plane) innerSources() *vswitch.Sources {
	if !p.strictSource {
		return nil
	}
	p.sources.follow(p.tables.Peers)
	return p.sources.made
}

// follow makes the sources anew of the leases that differ.
func (s *sources) follow(peers *snapmap.Map[string, *etcdsync.Peer]) {
	if s.made != nil && s.peers == peers {
		return
	}
	e := s.made.Edit()
	gone := func(key string) {
		if was, ok := s.peers.Get(key); ok {
			e.Remove(was.Subnet, was.VTEP)
			e.Remove(was.Subnet6, was.VTEP)
		}
	}
	snapmap.Diff(s.peers, peers, gone, func(key string, is *etcdsync.Peer) {
		gone(key)
		e.Add(is.Subnet, is.VTEP)
		e.Add(is.Subnet6, is.VTEP)
	})
	*s = sources{e.Sources(), peers}
}
