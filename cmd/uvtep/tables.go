package main

import (
	"cmp"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/uvtep/uvtep/arpproxy"
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
	MAC     string   `json:"mac"`
	Ifname  string   `json:"ifname,omitempty"`
	Dst     string   `json:"dst,omitempty"`
	Port    uint16   `json:"port,omitempty"`
	VNI     uint32   `json:"vni,omitempty"`
	Used    *int64   `json:"used,omitempty"`
	Updated *int64   `json:"updated,omitempty"`
	Flags   []string `json:"flags"`
	State   string   `json:"state"`
	history
}

type neighRow struct {
	Dst       string   `json:"dst"`
	Dev       string   `json:"dev,omitempty"`
	LLAddr    string   `json:"lladdr"`
	Used      *int64   `json:"used,omitempty"`
	Confirmed *int64   `json:"confirmed,omitempty"`
	Updated   *int64   `json:"updated,omitempty"`
	Probes    *int64   `json:"probes,omitempty"`
	State     []string `json:"state"`
	history
}

type routeRow struct {
	Dst      string        `json:"dst"`
	Gateway  string        `json:"gateway,omitempty"`
	Dev      string        `json:"dev,omitempty"`
	Protocol string        `json:"protocol,omitempty"`
	Metric   int           `json:"metric,omitempty"`
	Flags    []string      `json:"flags"`
	Metrics  []routeMetric `json:"metrics,omitempty"`
	Pref     string        `json:"pref,omitempty"`
	Age      *int64        `json:"age,omitempty"`
	history
}

type routeMetric struct {
	MTU int `json:"mtu"`
}

// history is where a row comes from, where somebody asked for that.
type history struct {
	Revision int64      `json:"revision,omitempty"` // of etcd, of the record that the row comes from
	Origin   string     `json:"origin,omitempty"`   // lease, static or endpoint
	Since    *time.Time `json:"since,omitempty"`    // it is in force
}

// shown is a table in force and what there is to say of it. It is a copy, to be
// read without the plane's mu.
type shown struct {
	tables  *etcdsync.Tables // nil before the first
	tap     string
	routes  etcdsync.Routes
	how     routing
	journal journal
	now     time.Time
}

// shownNow copies what is in force.
func (p *plane) shownNow() shown {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := shown{tables: p.tables, tap: p.name, now: time.Now()}
	s.journal.moments = slices.Clone(p.journal.moments)
	if p.tables != nil {
		s.routes, s.how = p.wantedRoutes()
	}
	return s
}

// past is where a row of a revision comes from.
func (s *shown) past(rev int64, origin fdb.Origin) (h history, age *int64) {
	if rev != 0 {
		h = history{Revision: rev, Origin: origin.String()}
	}
	since := s.journal.since(rev)
	if since.IsZero() {
		return h, new(int64)
	}
	h.Since = &since
	return h, inSeconds(max(0, s.now.Sub(since)))
}

// fdbView shows the forwarding database.
func (p *plane) fdbView(v url.Values) (rows[fdbRow], error) {
	f, err := parseFilter(v, fdbParameters)
	if err != nil {
		return rows[fdbRow]{}, err
	}
	return fdbRows(p.shownNow(), f), nil
}

// fdbRows lists the stations and then, where the network floods, the VTEPs that
// a flooded frame goes to: under the zero address, as in the kernel's device.
func fdbRows(s shown, f filter) rows[fdbRow] {
	out := rows[fdbRow]{Rows: []fdbRow{}}
	if s.tables == nil {
		return out
	}
	out.Revision = s.tables.Rev
	add := func(k fdb.Key, e fdb.Entry) {
		if f.takesStation(s.tap, k, e.VTEP) {
			out.Rows = append(out.Rows, s.fdbRow(k, e, f.stats))
		}
	}
	if f.mac != (ether.Addr{}) && f.vni != nil { // one of perhaps a million
		k := fdb.Key{VNI: *f.vni, MAC: f.mac}
		if e, ok := s.tables.FDB.Lookup(k.VNI, k.MAC); ok {
			add(k, e)
		}
		return out
	}
	for k, e := range s.tables.FDB.All() {
		add(k, e)
	}
	slices.SortFunc(out.Rows, func(a, b fdbRow) int { return cmp.Or(cmp.Compare(a.VNI, b.VNI), cmp.Compare(a.MAC, b.MAC)) })
	if !s.tables.Network.Flood {
		return out
	}
	revs := map[netip.AddrPort]int64{}
	if f.stats {
		revs = leasedBy(s.tables)
	}
	for v := range s.tables.FDB.VTEPs(s.tables.Network.VNI).All() {
		add(fdb.Key{VNI: s.tables.Network.VNI}, fdb.Entry{VTEP: v, Rev: revs[v.To]})
	}
	return out
}

// leasedBy are the revisions of VTEPs' leases. A VTEP without a subnet has none.
func leasedBy(t *etcdsync.Tables) map[netip.AddrPort]int64 {
	out := make(map[netip.AddrPort]int64, t.Peers.Len())
	for _, p := range t.Peers.All() {
		if p.VTEP != nil {
			out[p.VTEP.To] = p.Rev
		}
	}
	return out
}

func (s *shown) fdbRow(k fdb.Key, e fdb.Entry, stats bool) fdbRow {
	r := fdbRow{MAC: k.MAC.String(), Ifname: s.tap, Flags: []string{"self"}, State: "permanent"}
	if k.VNI != s.tables.Network.VNI {
		r.VNI = uint32(k.VNI)
	}
	if e.VTEP != nil {
		if r.Dst = e.VTEP.To.Addr().String(); e.VTEP.To.Port() != s.tables.Network.Port {
			r.Port = e.VTEP.To.Port()
		}
	}
	if stats {
		r.history, r.Updated = s.past(e.Rev, e.Origin)
		r.Used = r.Updated
	}
	return r
}

// neighView shows what ARP and neighbour discovery are answered from.
func (p *plane) neighView(v url.Values) (rows[neighRow], error) {
	f, err := parseFilter(v, neighParameters)
	if err != nil {
		return rows[neighRow]{}, err
	}
	return neighRows(p.shownNow(), f), nil
}

// neighRows lists the bindings of the network's own VNI, the only one that the
// TAP asks about.
func neighRows(s shown, f filter) rows[neighRow] {
	out := rows[neighRow]{Rows: []neighRow{}}
	if s.tables == nil {
		return out
	}
	out.Revision = s.tables.Rev
	var ips []netip.Addr
	for k := range s.tables.ARP.All() {
		if k.VNI == s.tables.Network.VNI && f.takesNeighbour(s.tap, k.IP) {
			ips = append(ips, k.IP)
		}
	}
	slices.SortFunc(ips, netip.Addr.Compare)
	for _, ip := range ips {
		b, _ := s.tables.ARP.Lookup(s.tables.Network.VNI, ip)
		out.Rows = append(out.Rows, s.neighRow(ip, b, f.stats))
	}
	return out
}

func (s *shown) neighRow(ip netip.Addr, b arpproxy.Binding, stats bool) neighRow {
	r := neighRow{Dst: ip.String(), Dev: s.tap, LLAddr: b.MAC.String(), State: []string{"PERMANENT"}}
	if stats {
		r.history, r.Updated = s.past(b.Rev, b.Origin)
		r.Used, r.Confirmed, r.Probes = r.Updated, r.Updated, new(int64)
	}
	return r
}

// routeView shows the routes that the kernel is given.
func (p *plane) routeView(v url.Values) (rows[routeRow], error) {
	f, err := parseFilter(v, routeParameters)
	if err != nil {
		return rows[routeRow]{}, err
	}
	s := p.shownNow()
	return routeRows(s, s.how.routes(s.routes.Sorted()), f), nil
}

func routeRows(s shown, routes []hostnet.Route, f filter) rows[routeRow] {
	out := rows[routeRow]{Rows: []routeRow{}}
	if s.tables == nil {
		return out
	}
	out.Revision = s.tables.Rev
	revs := map[netip.Prefix]int64{}
	if f.stats {
		revs = leased(s.tables)
	}
	for _, r := range routes {
		if f.takesRoute(s.tap, r) {
			out.Rows = append(out.Rows, s.routeRow(r, revs))
		}
	}
	return out
}

// leased are the revisions of the leases of subnets.
func leased(t *etcdsync.Tables) map[netip.Prefix]int64 {
	out := make(map[netip.Prefix]int64, t.Peers.Len())
	for _, p := range t.Peers.All() {
		out[p.Subnet], out[p.Subnet6] = p.Rev, p.Rev
	}
	return out
}

// What the kernel makes of an IPv6 route that says nothing of them, and
// iproute2 of that.
const (
	metric6 = 1024
	pref6   = "medium"
)

func (s *shown) routeRow(r hostnet.Route, revs map[netip.Prefix]int64) routeRow {
	out := routeRow{Dst: r.Dst.String(), Gateway: r.Via.String(), Dev: s.tap, Protocol: strconv.Itoa(hostnet.RouteProtocol), Flags: []string{"onlink"}}
	if r.Dst.Addr().Is6() {
		out.Metric, out.Pref = metric6, pref6
	}
	if r.MTU != 0 {
		out.Metrics = []routeMetric{{r.MTU}}
	}
	if rev, ok := revs[r.Dst]; ok {
		out.history, out.Age = s.past(rev, fdb.Lease)
	}
	return out
}
