package etcdsync

import (
	"cmp"
	"math"
	"net/netip"
	"slices"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

// party is what one key says about its host: where it is, which MAC addresses
// it has, what it leases. Hosts write two: a lease and a record. It shares with
// their rows what it points to.
type party struct {
	created int64
	node    string    // empty: flannel's
	vtep    *fdb.VTEP // where the host can be sent to
	own     *ownAddrs // of this host as it knows itself, else nil
	peer    *Peer     // what a lease says, nil of a record
	vni     encap.VNI // of its MAC addresses
}

// ownAddrs is what this host knows of itself besides.
type ownAddrs struct {
	at  []netip.AddrPort
	mac ether.Addr
}

// party returns what a lease's or a host's row says. Others say nothing about
// hosts.
func (r *row) party() *party {
	return &party{created: r.created, node: r.nodeID(), vtep: r.vtep(), peer: r.peer(), vni: r.vni}
}

// party returns what this host knows of itself, whatever etcd says.
func (me *identity) party(n *Network) *party {
	own := &ownAddrs{mac: me.mac}
	for _, a := range me.addrs {
		own.at = append(own.at, netip.AddrPortFrom(a, n.Port))
	}
	return &party{node: me.node, created: math.MaxInt64, own: own, vni: n.VNI}
}

// party returns what a subnet's record says about its holder.
func (r *SubnetRecord) party() *party {
	p := r.hostParty()
	p.peer = &Peer{Key: subnetsDir + r.Key, Subnet: r.Subnet, Subnet6: r.Subnet6, MAC: r.MAC}
	return p
}

// hostParty stands for the host record of a holder that is alive.
func (r *SubnetRecord) hostParty() *party {
	v := &fdb.VTEP{To: netip.AddrPortFrom(r.PublicIP, r.Port), Alt: r.PublicIPv6}
	if !r.PublicIP.IsValid() {
		v = &fdb.VTEP{To: netip.AddrPortFrom(r.PublicIPv6, r.Port)}
	}
	return &party{created: r.Created, node: r.NodeID, vtep: v, vni: r.VNI}
}

// lease reports whether the key is a lease.
func (p *party) lease() bool { return p.peer != nil }

// name is the key's, below the prefix; empty for this host as it knows itself.
func (p *party) name() string {
	switch {
	case p.own != nil:
		return ""
	case p.lease():
		return p.peer.Key
	}
	return hostKey(p.node)
}

// at is where the host can be sent to.
func (p *party) at() []netip.AddrPort {
	if p.own != nil {
		return p.own.at
	}
	at := []netip.AddrPort{p.vtep.To}
	if p.vtep.Alt.IsValid() {
		at = append(at, netip.AddrPortFrom(p.vtep.Alt, p.vtep.To.Port()))
	}
	return at
}

// macs are the MAC addresses that the key says the host has.
func (p *party) macs() []fdb.Key {
	var macs []ether.Addr
	switch {
	case p.own != nil:
		macs = []ether.Addr{p.own.mac}
	case p.lease():
		macs = []ether.Addr{p.peer.MAC, p.peer.MAC6}
	}
	var out []fdb.Key
	for _, m := range macs {
		if k := (fdb.Key{VNI: p.vni, MAC: m}); !m.IsZero() && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// subnets are what the key leases.
func (p *party) subnets() subnets {
	if !p.lease() {
		return subnets{}
	}
	return subnets{p.peer.Subnet, p.peer.Subnet6}
}

func (p *party) has(a netip.AddrPort) bool  { return slices.Contains(p.at(), a) }
func (p *party) hasMAC(k fdb.Key) bool      { return slices.Contains(p.macs(), k) }
func (p *party) leases(s netip.Prefix) bool { return slices.Contains(p.subnets().prefixes(), s) }
func (p *party) isOf(node string) bool      { return p.node == node }

// sameHost reports whether two keys are one host's: of one node or, for want
// of such, at one address.
func (p *party) sameHost(q *party) bool {
	return p.node == q.node && (p.node != "" || p.meets(q))
}

// meets reports whether two keys name an address in common.
func (p *party) meets(q *party) bool { return slices.ContainsFunc(p.at(), q.has) }

// compare puts who came first first.
func (p *party) compare(q *party) int {
	return cmp.Or(cmp.Compare(p.created, q.created), cmp.Compare(p.name(), q.name()))
}

// says reports whether two values of one key say the same.
func (p *party) says(q *party) bool {
	return p.created == q.created && p.node == q.node && p.lease() == q.lease() && p.subnets() == q.subnets() &&
		slices.Equal(p.at(), q.at()) && slices.Equal(p.macs(), q.macs())
}
