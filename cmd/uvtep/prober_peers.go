package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/fdb"
)

// What an agent's peers are to a probe.
const (
	peerAnswers = "answers" // its agent says how to probe it
	peerOld     = "old"     // its agent is of a version that says nothing of it
	peerGone    = "gone"    // it is a uvtep host, and its agent has no record in etcd
	peerForeign = "foreign" // nothing says that it runs uvtep: flannel, or a static entry
)

// peerView is another host, as it can be probed.
type peerView struct {
	Network string `json:"network,omitempty"` // its name, if it has one
	Node    string `json:"node,omitempty"`
	Lease   string `json:"lease,omitempty"` // its key
	Subnet  string `json:"subnet,omitempty"`
	Subnet6 string `json:"subnet6,omitempty"`
	MAC     string `json:"mac,omitempty"` // of its VTEP
	VTEP    string `json:"vtep"`
	Agent   string `json:"agent"`
}

// name is how a peer is called in one word.
func (v *peerView) name() string { return cmp.Or(v.Subnet, v.Subnet6, v.VTEP) }

// target is a peer as the tables have it.
type target struct {
	lease, host *etcdsync.Peer // either may be nil
	vtep        *fdb.VTEP
}

// targets returns all VTEPs but this host's: those with leases first.
func targets(t *etcdsync.Tables) (out []target) {
	with, seen := map[string]bool{}, map[netip.AddrPort]bool{}
	for _, l := range t.Peers.All() {
		x := target{lease: l, vtep: l.VTEP}
		if h, ok := t.Hosts.Get(l.NodeID); ok && l.NodeID != "" {
			x.host, x.vtep = h, h.VTEP
			with[l.NodeID] = true
		}
		seen[l.VTEP.To], seen[x.vtep.To] = true, true // two while its address changes
		out = append(out, x)
	}
	for node, h := range t.Hosts.All() {
		if !with[node] {
			seen[h.VTEP.To] = true
			out = append(out, target{host: h, vtep: h.VTEP})
		}
	}
	for v := range t.FDB.VTEPs(t.Network.VNI).All() {
		if !seen[v.To] {
			out = append(out, target{vtep: v})
		}
	}
	slices.SortFunc(out, func(a, b target) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), a.subnet().Addr().Compare(b.subnet().Addr()), a.vtep.To.Compare(b.vtep.To))
	})
	return out
}

// rank sorts those without a lease last.
func (x *target) rank() int {
	if x.lease == nil {
		return 1
	}
	return 0
}

func (x *target) subnet() netip.Prefix {
	if x.lease == nil {
		return netip.Prefix{}
	}
	if x.lease.Subnet.IsValid() {
		return x.lease.Subnet
	}
	return x.lease.Subnet6
}

func (x *target) view() peerView {
	v := peerView{VTEP: x.vtep.To.String(), Agent: peerForeign}
	if l := x.lease; l != nil {
		v.Node, v.Lease, v.MAC = l.NodeID, l.Key, l.MAC.String()
		if l.MAC.IsZero() {
			v.MAC = l.MAC6.String()
		}
		v.Subnet, v.Subnet6 = prefixText(l.Subnet), prefixText(l.Subnet6)
	}
	switch {
	case x.host != nil && x.host.Probe != nil:
		v.Node, v.MAC, v.Agent = x.host.NodeID, x.host.Probe.MAC.String(), peerAnswers
	case x.host != nil:
		v.Node, v.Agent = x.host.NodeID, peerOld
	case v.Node != "":
		v.Agent = peerGone
	}
	return v
}

func prefixText(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

// lookup returns the target that a view was made of, as the tables have it now.
func lookup(t *etcdsync.Tables, v *peerView) (target, bool) {
	var x target
	if l, ok := t.Peers.Get(v.Lease); ok {
		x.lease, x.vtep = l, l.VTEP
	}
	if h, ok := t.Hosts.Get(v.Node); ok {
		x.host, x.vtep = h, h.VTEP
	}
	if x.vtep == nil {
		for vtep := range t.FDB.VTEPs(t.Network.VNI).All() {
			if vtep.To.String() == v.VTEP {
				x.vtep = vtep
			}
		}
	}
	return x, x.vtep != nil
}

// find returns the peer that text names: by a subnet, an address within the
// overlay, its public address, a node id, or a MAC address.
func find(t *etcdsync.Tables, text string) (peerView, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	is, err := named(t, text)
	if err != nil {
		return peerView{}, err
	}
	for _, x := range targets(t) {
		if is(&x) {
			return x.view(), nil
		}
	}
	return peerView{}, fmt.Errorf("no other host is known by %s; `uvtep fdb` and `uvtep subnets` show those that are", text)
}

// named returns what tells whether a target is the one that text names.
func named(t *etcdsync.Tables, text string) (func(*target) bool, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return func(x *target) bool {
			return x.lease != nil && (x.lease.Subnet == p.Masked() || x.lease.Subnet6 == p.Masked())
		}, nil
	}
	if a, err := netip.ParseAddr(text); err == nil {
		return byAddr(t, a.Unmap()), nil
	}
	if mac, err := ether.ParseAddr(text); err == nil {
		return byMAC(t, mac), nil
	}
	if len(text) == 32 && strings.Trim(text, "0123456789abcdef") == "" {
		return func(x *target) bool {
			return x.host != nil && x.host.NodeID == text || x.lease != nil && x.lease.NodeID == text
		}, nil
	}
	return nil, fmt.Errorf("%q is no peer: name one by its subnet, an address in the overlay, its public address, its node id or a MAC address", text)
}

// byAddr finds by a public address, else by who has an address in the overlay.
func byAddr(t *etcdsync.Tables, a netip.Addr) func(*target) bool {
	if t.FDB.Accepts(t.Network.VNI, a) {
		return func(x *target) bool { return x.vtep.Owns(a) }
	}
	if b, ok := t.ARP.Lookup(t.Network.VNI, a); ok {
		return byMAC(t, b.MAC)
	}
	return func(x *target) bool {
		return x.lease != nil && (x.lease.Subnet.Contains(a) || x.lease.Subnet6.Contains(a))
	}
}

// byMAC finds by the address of a VTEP or of a station behind it.
func byMAC(t *etcdsync.Tables, mac ether.Addr) func(*target) bool {
	e, known := t.FDB.Lookup(t.Network.VNI, mac)
	return func(x *target) bool {
		return known && e.VTEP != nil && x.vtep.To == e.VTEP.To ||
			x.host != nil && x.host.Probe != nil && x.host.Probe.MAC == mac
	}
}
