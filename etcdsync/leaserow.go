package etcdsync

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/fdb"
)

// leaseRow reads a subnet key. One of another backend than ours is no row.
func leaseRow(k key, value []byte, me *identity, n *Network) (*row, error) {
	for _, p := range k.subnets.prefixes() {
		if !n.contains(p) {
			return nil, fmt.Errorf("subnet %s is not in the network", p)
		}
	}
	v, err := parseLease(value)
	if err != nil || v.backend != backendType {
		return nil, err
	}
	if v.vni == 0 {
		v.vni = n.VNI // leases of old flannels do not state it
	}
	if v.port == 0 {
		v.port = n.Port
	}
	vtep := me.vtep(v.publicIP, v.publicIPv6, v.port)
	p := &Peer{VTEP: vtep, NodeID: v.node, MAC: v.mac, MAC6: v.mac6}
	if !v.mac.IsZero() {
		p.Subnet = k.subnets.v4
	}
	if !v.mac6.IsZero() {
		p.Subnet6 = k.subnets.v6
	}
	r := &row{kind: lease, vni: v.vni, more: &more{vtep: vtep, vnis: []encap.VNI{v.vni}, peer: p, stations: leaseStations(p, &v)}}
	if v.node != "" {
		r.node = me.nodes.of(v.node)
		r.mark(self, v.node == me.node)
	}
	return r, r.checkLease(me, n)
}

// leaseStations returns the VTEP's own addresses: the first of each subnet. A
// flannel host, which has no node id, has a device for each family, with a MAC
// address of its own; frames for the one of IPv6 must arrive at its IPv6 address.
func leaseStations(p *Peer, v *leaseValue) []station {
	var v4, v6 []netip.Addr
	if p.Subnet.IsValid() {
		v4 = []netip.Addr{p.Subnet.Addr()}
	}
	if p.Subnet6.IsValid() {
		v6 = []netip.Addr{p.Subnet6.Addr()}
	}
	if v.mac == v.mac6 {
		return []station{{mac: v.mac, ips: newAddrs(append(v4, v6...)...)}}
	}
	var out []station
	if !v.mac.IsZero() {
		out = append(out, station{mac: v.mac, ips: newAddrs(v4...)})
	}
	if !v.mac6.IsZero() {
		s := station{mac: v.mac6, ips: newAddrs(v6...)}
		if v.node == "" && v.publicIPv6.IsValid() && v.publicIP.IsValid() {
			s.vtep = &fdb.VTEP{To: netip.AddrPortFrom(v.publicIPv6, v.port), Alt: v.publicIP}
		}
		out = append(out, s)
	}
	return out
}

// checkLease refuses leases that cannot be true, or not of this network.
func (r *row) checkLease(me *identity, n *Network) error {
	if r.vni != n.VNI {
		return fmt.Errorf("VNI %s is not the network's, which is %s", r.vni, n.VNI)
	}
	if r.subnets().isZero() {
		return errors.New("no VtepMAC for the subnet")
	}
	if r.self() {
		return nil
	}
	if _, ours := r.station(me.mac); ours {
		return errOwnMAC
	}
	if me.isMe(r.vtep(), n) {
		return errOwnAddr
	}
	return nil
}
