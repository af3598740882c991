package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
)

// selfPath is where an agent tells what it is and what it is to this host,
// heldPath that and the rows of its tables.
const (
	selfPath = "/v1/self"
	heldPath = "/v1/held"
)

// selfView is what a command that looks at the host needs to know of its agent.
// No secrets are in it: of files it has the paths.
type selfView struct {
	Name     string          `json:"network_name,omitempty"` // none: it is the only one
	NodeID   string          `json:"node_id"`
	Etcd     etcdView        `json:"etcd"`
	Network  json.RawMessage `json:"network"` // in force, as it would stand in etcd
	NoSubnet bool            `json:"no_subnet"`
	IPMasq   bool            `json:"ip_masq"`

	TAP    string         `json:"tap"` // and how it shall be
	MAC    ether.Addr     `json:"address"`
	MTU    int            `json:"mtu"`
	Addrs  []netip.Prefix `json:"addrs"`
	Bridge string         `json:"bridge,omitempty"`

	Underlay    string     `json:"underlay"`
	UnderlayMTU int        `json:"underlay_mtu"`
	Local       netip.Addr `json:"local"` // that the sockets are bound to
	Local6      netip.Addr `json:"local6"`
	Public      netip.Addr `json:"public_ip"` // that others are told to send to
	Public6     netip.Addr `json:"public_ipv6"`

	Subnet  netip.Prefix `json:"subnet"` // leased; none before the agent has its place
	Subnet6 netip.Prefix `json:"subnet6"`

	// PID is the agent's process, NetNS its network namespace (namespaces(7)), as in
	// /proc/PID/ns/net.
	PID   int    `json:"pid"`
	NetNS string `json:"netns"`

	StateDir   string `json:"state_dir"`
	SubnetFile string `json:"subnet_file"`

	Enrolled bool   `json:"enrolled"` // it has its place in the network
	Revision int64  `json:"revision"` // of the tables in force, 0 for none
	Stale    string `json:"stale_since,omitempty"`
}

// netNS is the network namespace of this process; "" where that cannot be told.
func netNS() string {
	ns, _ := os.Readlink("/proc/self/ns/net")
	return ns
}

// elsewhere refuses to take the host that this process sees for the agent's.
func (v *selfView) elsewhere() error {
	if here := netNS(); here != v.NetNS && here != "" && v.NetNS != "" {
		return fmt.Errorf("the agent %w, and what is here is none of its host's: `nsenter -t %d -n %s`", errElsewhere, v.PID, strings.Join(os.Args, " "))
	}
	return nil
}

var errElsewhere = errors.New("runs in another network namespace")

// etcdView is how the agent reaches etcd.
type etcdView struct {
	Endpoints    []string `json:"endpoints"`
	Prefix       string   `json:"prefix"`
	CAFile       string   `json:"ca_file,omitempty"`
	CertFile     string   `json:"cert_file,omitempty"`
	KeyFile      string   `json:"key_file,omitempty"`
	Username     string   `json:"username,omitempty"`
	PasswordFile string   `json:"password_file,omitempty"`
}

func (e etcdView) options() etcdsync.Options {
	return etcdsync.Options{
		Endpoints: e.Endpoints, Prefix: e.Prefix, CAFile: e.CAFile, CertFile: e.CertFile, KeyFile: e.KeyFile,
		Username: e.Username, PasswordFile: e.PasswordFile,
	}
}

// own are the host's underlay addresses.
func (v *selfView) own() []netip.Addr {
	var out []netip.Addr
	for _, a := range []netip.Addr{v.Local, v.Local6, v.Public, v.Public6} {
		if a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

// self tells what the agent is.
func (p *plane) self() selfView {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.selfLocked()
}

func (p *plane) selfLocked() selfView {
	o, u := p.etcd.o, p.trunk.where()
	v := selfView{
		Name: p.member.name, NodeID: p.node, NoSubnet: p.noSubnet, IPMasq: p.ipMasq,
		Etcd: etcdView{o.Endpoints, p.keyPrefix(), o.CAFile, o.CertFile, o.KeyFile, o.Username, o.PasswordFile},
		TAP:  p.name, MAC: p.mac, MTU: p.mtu, Addrs: p.addrs, Bridge: p.bridge,
		Underlay: u.Name, UnderlayMTU: u.MTU, Local: u.Addr, Local6: u.Addr6, Public: u.Public, Public6: u.Public6,
		PID: os.Getpid(), NetNS: netNS(),
		StateDir: string(p.member.state), SubnetFile: p.envPath,
	}
	if v.Enrolled = p.reg != nil; v.Enrolled && !p.noSubnet {
		v.Subnet, v.Subnet6 = p.reg.Subnet(), p.reg.Subnet6()
	}
	n := p.network
	if p.tables != nil {
		n, v.Revision, v.Stale = p.tables.Network, p.tables.Rev, p.staleSince()
	}
	v.Network, _ = n.MarshalJSON() // what was read can be written
	return v
}

// heldView is what the agent holds: itself, its tables, and the routes that it
// keeps in the kernel.
type heldView struct {
	selfView
	FDB    []heldMAC   `json:"fdb"`
	VTEPs  []string    `json:"vteps"`
	Neigh  []heldIP    `json:"neigh"`
	Routes []heldRoute `json:"routes"`
	Kernel []heldRoute `json:"kernel_routes"`
}

type heldMAC struct {
	VNI  encap.VNI      `json:"vni"`
	MAC  ether.Addr     `json:"mac"`
	VTEP netip.AddrPort `json:"vtep"`
	Rev  int64          `json:"rev"`
}

type heldIP struct {
	VNI encap.VNI  `json:"vni"`
	IP  netip.Addr `json:"ip"`
	MAC ether.Addr `json:"mac"`
	Rev int64      `json:"rev"`
}

type heldRoute struct {
	Dst netip.Prefix `json:"dst"`
	Via netip.Addr   `json:"via"`
	MTU int          `json:"mtu,omitempty"`
	Key string       `json:"key,omitempty"`
	Rev int64        `json:"rev,omitempty"`
}

// held tells what the agent holds.
func (p *plane) held() heldView {
	p.mu.Lock()
	v := heldView{selfView: p.selfLocked()}
	t, noSubnet := p.tables, p.noSubnet
	if t != nil {
		all, how := p.wantedRoutes()
		for _, r := range how.routes(all.Sorted()) {
			v.Kernel = append(v.Kernel, heldRoute{Dst: r.Dst, Via: r.Via, MTU: r.MTU})
		}
	}
	p.mu.Unlock()
	if t == nil {
		return v
	}
	v.take(t) // immutable, so not under mu
	if noSubnet {
		v.Routes = nil
	}
	return v
}

// take takes in the rows of tables.
func (v *heldView) take(t *etcdsync.Tables) {
	for k, e := range t.FDB.All() {
		if e.VTEP != nil { // else it is here, and nobody's to compare
			v.FDB = append(v.FDB, heldMAC{k.VNI, k.MAC, e.VTEP.To, e.Rev})
		}
	}
	for k, b := range t.ARP.All() {
		v.Neigh = append(v.Neigh, heldIP{k.VNI, k.IP, b.MAC, b.Rev})
	}
	for vtep := range t.FDB.VTEPs(t.Network.VNI).All() {
		v.VTEPs = append(v.VTEPs, vtep.To.String())
	}
	v.takeRoutes(t)
}

// takeRoutes takes in the routes with the leases that they lead to.
func (v *heldView) takeRoutes(t *etcdsync.Tables) {
	from := make(map[netip.Prefix]*etcdsync.Peer)
	for _, p := range t.Peers.All() {
		from[p.Subnet], from[p.Subnet6] = p, p
	}
	for _, r := range t.Routes.Sorted() {
		h := heldRoute{Dst: r.Dst, Via: r.Via}
		if p := from[r.Dst]; p != nil {
			h.Key, h.Rev = p.Key, p.Rev
		}
		v.Routes = append(v.Routes, h)
	}
}
