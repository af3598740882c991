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
	r := &row{kind: lease, origin: fdb.Lease, self: v.node != "" && v.node == me.node, vni: v.vni, node: v.node}
	r.vtep = me.vtep(v.publicIP, v.publicIPv6, v.port)
	r.vnis = []encap.VNI{v.vni}
	r.peer = &Peer{VTEP: r.vtep, NodeID: v.node, MAC: v.mac, MAC6: v.mac6}
	if !v.mac.IsZero() {
		r.peer.Subnet = k.subnets.v4
	}
	if !v.mac6.IsZero() {
		r.peer.Subnet6 = k.subnets.v6
	}
	r.stations = leaseStations(r.peer, &v)
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
		return []station{{mac: v.mac, ips: append(v4, v6...)}}
	}
	var out []station
	if !v.mac.IsZero() {
		out = append(out, station{mac: v.mac, ips: v4})
	}
	if !v.mac6.IsZero() {
		s := station{mac: v.mac6, ips: v6}
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
	if !r.peer.Subnet.IsValid() && !r.peer.Subnet6.IsValid() {
		return errors.New("no VtepMAC for the subnet")
	}
	if r.self {
		return nil
	}
	if r.station(me.mac) != nil {
		return errOwnMAC
	}
	if me.isMe(r.vtep, n) {
		return errOwnAddr
	}
	return nil
}
