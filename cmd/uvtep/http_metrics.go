package main

import (
	"time"

	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/metrics"
)

func newWeb(v *vitals) *web {
	w := &web{vitals: v}
	w.metrics = metrics.New(metrics.Config{Version: version, Commit: commit, Read: w.snapshot})
	return w
}

// snapshot is what metrics are made of: the readings that `uvtep stats`, `status`
// and `link` are made of too.
func (w *web) snapshot() metrics.Snapshot {
	s := metrics.Snapshot{Healthy: w.sick() == nil, Ready: w.unready() == nil}
	planes := w.planes()
	if len(planes) == 0 {
		return s
	}
	planes[0].share(&s) // what all have in common
	s.Features = make(map[string]bool)
	for _, p := range planes {
		s.Networks = append(s.Networks, p.tells())
		for name, active := range p.features() {
			was, known := s.Features[name]
			s.Features[name] = active && (was || !known)
		}
	}
	return s
}

// features tells which features are in use.
func (p *plane) features() map[string]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]bool)
	for name, f := range p.linkNow().Features {
		all[name] = f.Active
	}
	return all
}

// share fills in what belongs to no network alone.
func (p *plane) share(s *metrics.Snapshot) {
	p.mu.Lock()
	defer p.mu.Unlock()
	link := p.linkNow()
	s.Shared, s.Underlay = p.trunk.totals.Stats(), p.trunk.bundle().Stats()
	s.RecvBuffer, s.SendBuffer = link.RecvBuffer.Granted, link.SendBuffer.Granted
	s.Connected = p.etcdStatus(time.Now()).Connected
}

// tells is what metrics tell of the network.
func (p *plane) tells() metrics.Network {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := metrics.Network{
		VNI: p.network.VNI, Stats: p.totals.Stats(), Sent: metrics.TrafficOf(&p.sent), Heard: metrics.TrafficOf(&p.heard), MTU: p.link.MTU,
		Etcd: metrics.Etcd{Heard: p.store.Heard(), Counts: p.store.Counts()},
	}
	if p.reg != nil {
		n.SubnetEnds, n.LivenessEnds = p.reg.Expires(), p.reg.Lives()
	}
	if p.tables != nil {
		n.Tables = p.sizes(p.tables)
	}
	return n
}

// sizes are those of the tables in force. mu is held.
func (p *plane) sizes(t *etcdsync.Tables) metrics.Tables {
	v := metrics.Tables{
		Revision: t.Rev, StaleSince: p.awaySince(), FDB: t.FDB.Len(), ARP: t.ARP.Len4(), ND: t.ARP.Len() - t.ARP.Len4(),
		VTEPs: t.FDB.VTEPs(p.network.VNI).Len(), Peers: t.Peers.Len(), Conflicts: t.ConflictCount, Unusable: t.Skipped,
	}
	if !p.noSubnet {
		v.Routes = t.Routes.Len()
	}
	return v
}

// changed counts tables that have come into force.
func (w *web) changed(t *etcdsync.Tables) {
	if !t.Since.IsZero() {
		w.metrics.Changed(time.Since(t.Since))
	}
}
