package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/uvtep/uvtep/internal/admin"
	"github.com/uvtep/uvtep/internal/doctor"
)

// maxEchoed is how many hosts the doctor has the agent ask for echoes, all at once.
const maxEchoed = 16

// askForEchoes has the agent find out whether VXLAN gets through to others whose
// agents answer echoes, some at random where there are many. What an agent cannot
// tell, and what only some echoes are lost of, is left to `uvtep probe`.
func (e *examiner) askForEchoes(ctx context.Context) {
	if e.self == nil {
		return
	}
	var peers []peerView
	if admin.Get(ctx, e.local.socket, peersPath, &peers) != nil {
		return
	}
	peers = slices.DeleteFunc(peers, func(p peerView) bool { return p.Agent != peerAnswers || p.Network != e.self.Name })
	rand.Shuffle(len(peers), func(i, j int) { peers[i], peers[j] = peers[j], peers[i] })
	peers = peers[:min(len(peers), maxEchoed)]
	f := probeFlags{socket: e.local.socket, count: 3, every: 50 * time.Millisecond, patience: time.Second, size: 100}
	found := make([]*probeResult, len(peers))
	var all sync.WaitGroup
	for i, p := range peers {
		all.Go(func() {
			if r, err := f.probe(ctx, p); err == nil {
				found[i] = r
			}
		})
	}
	all.Wait()
	for _, r := range found {
		if r != nil {
			e.f.Echoes = append(e.f.Echoes, echoOf(r))
		}
	}
}

// echoOf is what a probe says to the doctor.
func echoOf(r *probeResult) doctor.Echo {
	x := doctor.Echo{Peer: fmt.Sprintf("%s at %s", r.Peer.name(), r.Peer.VTEP), By: r.Peer.Node}
	if !r.OK && (r.VXLAN.Got == 0 || r.VXLAN.all()) {
		x.Fault = r.Diagnosis
	}
	return x
}
