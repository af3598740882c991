package main

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/fdb"
	"github.com/uvtep/uvtep/internal/hostnet"
)

// Where the tables in force are read.
const (
	fdbPath   = "/v1/fdb"
	neighPath = "/v1/neigh"
	routePath = "/v1/route"
)

// rows is what is served of a table: all its rows at one of etcd's revisions,
// which is 0 as long as there is no table.
type rows[T any] struct {
	Revision int64 `json:"revision"`
	Rows     []T   `json:"rows"`
}

// fdbRow, neighRow and routeRow are rows under the names that iproute2's JSON
// gives them. Whatever goes without saying in this network is left out: its
// VNI, its port.
type fdbRow struct {
	MAC    string   `json:"mac"`
	Ifname string   `json:"ifname"`
	Dst    string   `json:"dst,omitempty"`
	Port   uint16   `json:"port,omitempty"`
	VNI    uint32   `json:"vni,omitempty"`
	Flags  []string `json:"flags"`
	State  string   `json:"state"`
}

type neighRow struct {
	Dst    string   `json:"dst"`
	Dev    string   `json:"dev"`
	LLAddr string   `json:"lladdr"`
	State  []string `json:"state"`
}

type routeRow struct {
	Dst      string   `json:"dst"`
	Gateway  string   `json:"gateway"`
	Dev      string   `json:"dev"`
	Protocol string   `json:"protocol"`
	Flags    []string `json:"flags"`
}

// inForce returns the tables published last, none before the first list.
func (p *plane) inForce() *etcdsync.Tables {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tables
}

// fdbView shows the forwarding database.
func (p *plane) fdbView() rows[fdbRow] { return fdbRows(p.inForce(), p.name) }

// fdbRows lists the stations and then, where the network floods, the VTEPs that
// a flooded frame goes to: under the zero address, as in the kernel's device.
func fdbRows(t *etcdsync.Tables, tap string) rows[fdbRow] {
	out := rows[fdbRow]{Rows: []fdbRow{}}
	if t == nil {
		return out
	}
	out.Revision = t.Rev
	row := func(k fdb.Key, v *fdb.VTEP) fdbRow {
		r := fdbRow{MAC: k.MAC.String(), Ifname: tap, Flags: []string{"self"}, State: "permanent"}
		if k.VNI != t.Network.VNI {
			r.VNI = uint32(k.VNI)
		}
		if v == nil {
			return r
		}
		if r.Dst = v.To.Addr().String(); v.To.Port() != t.Network.Port {
			r.Port = v.To.Port()
		}
		return r
	}
	for k, e := range t.FDB.All() {
		out.Rows = append(out.Rows, row(k, e.VTEP))
	}
	slices.SortFunc(out.Rows, func(a, b fdbRow) int { return cmp.Or(cmp.Compare(a.VNI, b.VNI), cmp.Compare(a.MAC, b.MAC)) })
	if !t.Network.Flood {
		return out
	}
	for _, v := range t.FDB.VTEPs(t.Network.VNI) {
		out.Rows = append(out.Rows, row(fdb.Key{VNI: t.Network.VNI, MAC: ether.Addr{}}, v))
	}
	return out
}

// neighView shows what ARP and neighbour discovery are answered from.
func (p *plane) neighView() rows[neighRow] { return neighRows(p.inForce(), p.name) }

// neighRows lists the bindings of the network's own VNI, the only one that the
// TAP asks about.
func neighRows(t *etcdsync.Tables, tap string) rows[neighRow] {
	out := rows[neighRow]{Rows: []neighRow{}}
	if t == nil {
		return out
	}
	out.Revision = t.Rev
	var ips []netip.Addr
	for k := range t.ARP.All() {
		if k.VNI == t.Network.VNI {
			ips = append(ips, k.IP)
		}
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	for _, ip := range ips {
		b, _ := t.ARP.Lookup(t.Network.VNI, ip)
		out.Rows = append(out.Rows, neighRow{Dst: ip.String(), Dev: tap, LLAddr: b.MAC.String(), State: []string{"PERMANENT"}})
	}
	return out
}

// routeView shows the routes that the kernel is given.
func (p *plane) routeView() rows[routeRow] {
	out := routeRows(p.inForce(), p.name)
	if p.noSubnet {
		out.Rows = []routeRow{}
	}
	return out
}

func routeRows(t *etcdsync.Tables, tap string) rows[routeRow] {
	out := rows[routeRow]{Rows: []routeRow{}}
	if t == nil {
		return out
	}
	out.Revision = t.Rev
	for _, r := range t.Routes.Sorted() {
		out.Rows = append(out.Rows, routeRow{
			Dst: r.Dst.String(), Gateway: r.Via.String(), Dev: tap,
			Protocol: strconv.Itoa(hostnet.RouteProtocol), Flags: []string{"onlink"},
		})
	}
	return out
}
