package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/uvtep/uvtep/etcdsync"
	vswitch "github.com/uvtep/uvtep/switch"
)

// statusPath is where the state of the whole agent is read.
const statusPath = "/v1/status"

// statusView is what it serves: what a look at a host should tell first.
type statusView struct {
	Version  string          `json:"version"`
	Commit   string          `json:"commit"`
	Since    time.Time       `json:"since"` // the agent switches
	NodeID   string          `json:"node_id"`
	Underlay underlayStatus  `json:"underlay"`
	Etcd     etcdStatus      `json:"etcd"`
	Networks []networkStatus `json:"networks"`
	Rates    ratesView       `json:"rates"`
	Warnings []string        `json:"warnings"` // each with what to do
}

// underlayStatus is where the tunnel starts on this host.
type underlayStatus struct {
	Ifname     string `json:"ifname"`
	MTU        int    `json:"mtu"`
	Local      string `json:"local,omitempty"`
	Local6     string `json:"local6,omitempty"`
	PublicIP   string `json:"public_ip,omitempty"` // that others send to
	PublicIPv6 string `json:"public_ipv6,omitempty"`
	Usable     bool   `json:"usable"`
}

// etcdStatus is how the agent stands with etcd.
type etcdStatus struct {
	Endpoints []string   `json:"endpoints"`
	Embedded  string     `json:"embedded,omitempty"` // where the agent's own etcd listens
	Connected bool       `json:"connected"`
	AwaySince *time.Time `json:"away_since,omitempty"`
	// Revision is the one up to which the agent has heard everything, and Heard
	// when etcd said so. LagSeconds is how long ago that is: the tables lack
	// nothing that is older.
	Revision   int64      `json:"revision"`
	Heard      *time.Time `json:"heard,omitempty"`
	LagSeconds *float64   `json:"lag_seconds,omitempty"`
}

// networkStatus is one network of the agent.
type networkStatus struct {
	Name     string `json:"name,omitempty"` // none: it is the only one
	Ifname   string `json:"ifname"`
	MAC      string `json:"address"`
	MTU      int    `json:"mtu"`
	VNI      uint32 `json:"vni"`
	Port     uint16 `json:"port"`
	Network  string `json:"network,omitempty"`
	Network6 string `json:"network6,omitempty"`
	Joined   bool   `json:"joined"` // etcd has confirmed the host's place
	Subnet   string `json:"subnet,omitempty"`
	Subnet6  string `json:"subnet6,omitempty"`
	// Reservation says that the subnet has no lease and never ends. The times
	// left are in seconds; leases are renewed long before.
	Reservation     bool   `json:"reservation,omitempty"`
	SubnetSeconds   *int64 `json:"subnet_lease_seconds,omitempty"`
	LivenessSeconds *int64 `json:"liveness_lease_seconds,omitempty"`

	Revision   int64             `json:"revision"`              // of the tables in force
	Stale      string            `json:"stale_since,omitempty"` // when etcd was heard last, while it is away
	PeerCount  int               `json:"peer_count"`            // hosts with a subnet
	Peers      []peerStatus      `json:"peers"`                 // at most 100 of them
	VTEPs      int               `json:"vteps"`
	Stations   int               `json:"stations"`
	Bindings   int               `json:"bindings"`
	Routes     int               `json:"routes"`
	Conflicts  int               `json:"conflicts"`
	Offload    offloadView       `json:"offload"`
	Features   []string          `json:"features"`              // in use
	Refused    map[string]string `json:"refused,omitempty"`     // and not in use, with the reason
	AlsoListen []uint16          `json:"also_listen,omitempty"` // ports
}

// peerStatus is another host.
type peerStatus struct {
	VTEP    netip.AddrPort `json:"vtep"`
	Subnet  string         `json:"subnet,omitempty"`
	Subnet6 string         `json:"subnet6,omitempty"`
	NodeID  string         `json:"node_id,omitempty"` // none: it runs flannel
	Since   *time.Time     `json:"since,omitempty"`   // its record is in force as it is
	Traffic *trafficView   `json:"traffic,omitempty"` // with it; none: it is not told apart from others
}

// maxPeers is how many peers are named.
const maxPeers = 100

// status tells how the agent is, with all its networks that work.
func (a *agent) status() statusView {
	planes := a.working()
	if len(planes) == 0 {
		return statusView{
			Version: version, Commit: commit, Since: time.Now(), NodeID: a.node, Underlay: a.trunk.status(),
			Etcd: etcdStatus{Endpoints: a.etcd.o.Endpoints}, Networks: []networkStatus{},
			Warnings: []string{"no network is joined now; the agent's log says why"},
		}
	}
	v := planes[0].status()
	for _, p := range planes[1:] {
		v.join(p.status())
	}
	for _, m := range a.members {
		if !slices.ContainsFunc(planes, func(p *plane) bool { return p.member == m }) {
			v.Warnings = append(v.Warnings, fmt.Sprintf("network %s is not joined; the agent's log says what it waits for", m.name))
		}
	}
	return v
}

// join adds what another network of the agent tells.
func (v *statusView) join(o statusView) {
	if o.Since.Before(v.Since) {
		v.Since = o.Since
	}
	if v.Etcd.Heard == nil || o.Etcd.Heard != nil && o.Etcd.Revision < v.Etcd.Revision {
		v.Etcd = o.Etcd
	}
	v.Networks = append(v.Networks, o.Networks...)
	v.Rates.add(o.Rates)
	for _, w := range o.Warnings {
		if !slices.Contains(v.Warnings, w) {
			v.Warnings = append(v.Warnings, w)
		}
	}
}

// status tells how one network's part of the agent is.
func (p *plane) status() statusView {
	now := p.read()
	p.mu.Lock()
	defer p.mu.Unlock()
	link := p.linkNow()
	v := statusView{
		Version: version, Commit: commit, Since: p.began, NodeID: p.node,
		Underlay: p.trunk.status(), Etcd: p.etcdStatus(now.at), Rates: rates(p.oldest(now), now),
	}
	n := p.networkStatus(now.at, link)
	v.Networks = []networkStatus{n}
	v.Warnings = p.warnings(&v, link, meanwhile{p.oldest(now), now})
	return v
}

// status tells of the underlay.
func (t *trunk) status() underlayStatus {
	c, usable := t.place()
	return underlayStatus{
		Ifname: c.Name, MTU: c.MTU, Local: text(c.Addr), Local6: text(c.Addr6),
		PublicIP: text(c.Public), PublicIPv6: text(c.Public6), Usable: usable,
	}
}

// etcdStatus is called with mu held, as all below.
func (p *plane) etcdStatus(now time.Time) etcdStatus {
	v := etcdStatus{Endpoints: p.etcd.o.Endpoints}
	if p.embedded {
		v.Embedded = p.embeddedListen
	}
	h := p.store.Heard()
	if v.Revision = h.Rev; !h.At.IsZero() {
		v.Heard, v.LagSeconds = &h.At, new(max(0, now.Sub(h.At).Seconds()))
	}
	away := p.store.AwaySince()
	if v.Connected = away.IsZero() && v.Heard != nil; !away.IsZero() {
		v.AwaySince = &away
	}
	return v
}

func (p *plane) networkStatus(now time.Time, link linkView) networkStatus {
	v := networkStatus{
		Name: p.member.name, Ifname: p.name, MAC: p.mac.String(), MTU: p.link.MTU, VNI: uint32(p.network.VNI), Port: p.network.Port,
		Network: text(p.network.IPv4), Network6: text(p.network.IPv6), Peers: []peerStatus{}, Offload: link.Offload, AlsoListen: slices.Sorted(maps.Keys(link.AlsoListen)),
	}
	for _, name := range featureNames {
		f := link.Features[name]
		if f.Active {
			v.Features = append(v.Features, name)
			continue
		}
		if v.Refused == nil {
			v.Refused = map[string]string{}
		}
		v.Refused[name] = f.Reason
	}
	if r := p.reg; r != nil {
		v.place(r, now)
	}
	if t := p.tables; t != nil {
		v.Revision, v.Stale, v.Conflicts = t.Rev, p.staleSince(), t.ConflictCount
		v.VTEPs, v.Stations, v.Bindings = t.FDB.VTEPs(p.network.VNI).Len(), t.FDB.Len(), t.ARP.Len()
		v.PeerCount, v.Peers = t.Peers.Len(), p.peerStatuses()
		if !p.noSubnet {
			v.Routes = t.Routes.Len()
		}
	}
	return v
}

// place is the host's place in the network, and for how long.
func (v *networkStatus) place(r *etcdsync.Registration, now time.Time) {
	v.Joined, v.Subnet, v.Subnet6 = true, text(r.Subnet()), text(r.Subnet6())
	left := func(t time.Time) *int64 {
		if t.IsZero() {
			return nil
		}
		return inSeconds(max(0, t.Sub(now)))
	}
	v.SubnetSeconds, v.LivenessSeconds = left(r.Expires()), left(r.Lives())
	v.Reservation = v.Subnet+v.Subnet6 != "" && v.SubnetSeconds == nil && v.LivenessSeconds != nil
}

// peerStatuses are the other hosts that have a subnet, in the order of their addresses:
// the first of them. Traffic of a VTEP for which the counters have no room is not known.
func (p *plane) peerStatuses() []peerStatus {
	peers := make([]*etcdsync.Peer, 0, p.tables.Peers.Len())
	for _, peer := range p.tables.Peers.All() {
		peers = append(peers, peer)
	}
	slices.SortFunc(peers, func(a, b *etcdsync.Peer) int {
		return cmp.Or(a.VTEP.To.Compare(b.VTEP.To), a.Subnet.Compare(b.Subnet), a.Subnet6.Compare(b.Subnet6))
	})
	by, others := traffic(&p.sent, &p.heard)
	out := []peerStatus{}
	for _, peer := range peers[:min(len(peers), maxPeers)] {
		s := peerStatus{VTEP: peer.VTEP.To, Subnet: text(peer.Subnet), Subnet6: text(peer.Subnet6), NodeID: peer.NodeID, Traffic: by[peer.VTEP.To.Addr()]}
		if s.Traffic == nil && others == (trafficView{}) {
			s.Traffic = new(trafficView)
		}
		if since := p.journal.since(peer.Rev); !since.IsZero() {
			s.Since = &since
		}
		out = append(out, s)
	}
	return out
}

// meanwhile are two readings of the counters.
type meanwhile struct{ was, now sample }

func (c meanwhile) frames(x vswitch.Verdict) uint64 {
	return c.now.stats.Frames[x] - c.was.stats.Frames[x]
}
func (c meanwhile) extra(x vswitch.Extra) uint64 { return c.now.stats.Extra[x] - c.was.stats.Extra[x] }
