package etcdsync

import (
	"math"
	"net/netip"
	"slices"

	"github.com/uvtep/uvtep/fdb"
)

// party is what one key says about its host: where it is, which MAC addresses
// it has, what it leases. Hosts write two: a lease and a record.
type party struct {
	name    string // the key's, below the prefix; empty for this host as it knows itself
	created int64
	node    string           // empty: flannel's
	at      []netip.AddrPort // where the host can be sent to
	lease   bool
	macs    []fdb.Key
	subnets subnets
}

// party returns what a lease's or a host's row says. Others say nothing about
// hosts.
func (r *row) party() *party {
	p := &party{name: r.name(), created: r.created, node: r.nodeID(), lease: r.kind == lease}
	p.locate(r.vtep().To.Port(), r.vtep().To.Addr(), r.vtep().Alt)
	if p.lease {
		p.subnets = r.subnets()
		for s := range r.stations() {
			p.macs = append(p.macs, fdb.Key{VNI: r.vni, MAC: s.mac})
		}
	}
	return p
}

// party returns what this host knows of itself, whatever etcd says.
func (me *identity) party(n *Network) *party {
	p := &party{node: me.node, macs: []fdb.Key{{VNI: n.VNI, MAC: me.mac}}, created: math.MaxInt64}
	p.locate(n.Port, me.addrs...)
	return p
}

// party returns what a subnet's record says about its holder.
func (r *SubnetRecord) party() *party {
	p := r.hostParty()
	p.name, p.lease, p.subnets, p.macs = subnetsDir+r.Key, true, r.subnets(), []fdb.Key{{VNI: r.VNI, MAC: r.MAC}}
	return p
}

// hostParty stands for the host record of a holder that is alive.
func (r *SubnetRecord) hostParty() *party {
	p := &party{name: hostKey(r.NodeID), created: r.Created, node: r.NodeID}
	p.locate(r.Port, r.PublicIP, r.PublicIPv6)
	return p
}

// locate says where the host is.
func (p *party) locate(port uint16, at ...netip.Addr) {
	for _, a := range at {
		if a.IsValid() {
			p.at = append(p.at, netip.AddrPortFrom(a, port))
		}
	}
}

// sameHost reports whether two keys are one host's: of one node or, for want
// of such, at one address.
func (p *party) sameHost(q *party) bool {
	return p.node == q.node && (p.node != "" || p.meets(q))
}

// meets reports whether two keys name an address in common.
func (p *party) meets(q *party) bool {
	return slices.ContainsFunc(p.at, func(a netip.AddrPort) bool { return slices.Contains(q.at, a) })
}

// says reports whether two values of one key say the same.
func (p *party) says(q *party) bool {
	return p.created == q.created && p.node == q.node && p.lease == q.lease && p.subnets == q.subnets &&
		slices.Equal(p.at, q.at) && slices.Equal(p.macs, q.macs)
}
