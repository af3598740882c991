package etcdsync

import (
	"errors"
	"net/netip"
	"slices"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

// row is one key of etcd as the tables know it: all that its value brings into
// them, kept together so that it can be taken out together again. A new
// value makes a new row, unless it says what the old one said.
type row struct {
	name         string // below the prefix
	value        string // the latest that is good
	created, rev int64  // etcd's revisions of the first and the latest value
	gen          uint32 // of the list that had it last
	kind         kind
	origin       fdb.Origin
	self         bool // says something about this host: claims, but shows nothing
	seq          uint64
	vni          encap.VNI
	node         string    // of a host and of an endpoint; of a lease when it has one
	vtep         *fdb.VTEP // an endpoint's is its host's
	vnis         []encap.VNI
	stations     []station
	peer         *Peer // of a lease and of a host
}

// station is an Ethernet address with the IP addresses bound to it.
type station struct {
	mac  ether.Addr
	vtep *fdb.VTEP // nil: the row's
	ips  []netip.Addr
}

// identity is what a host knows of itself when it reads what others write.
type identity struct {
	node  string
	mac   ether.Addr
	addrs []netip.Addr
	v4    bool // datagrams can be sent over IPv4
	v6    bool
}

func newIdentity(c *FollowConfig) identity {
	me := identity{node: c.NodeID, mac: c.MAC}
	for _, a := range c.Own {
		a = a.Unmap()
		me.addrs = append(me.addrs, a)
		me.v4, me.v6 = me.v4 || a.Is4(), me.v6 || a.Is6()
	}
	return me
}

// vtep returns a host with two addresses as one VTEP: reached over IPv4 where
// both sides have it, else over IPv6.
func (me *identity) vtep(v4, v6 netip.Addr, port uint16) *fdb.VTEP {
	to, alt := v4, v6
	if !v4.IsValid() || v6.IsValid() && me.v6 && !me.v4 {
		to, alt = v6, v4
	}
	return &fdb.VTEP{To: netip.AddrPortFrom(to, port), Alt: alt}
}

// reaches reports whether datagrams can be sent to v. A host whose addresses are
// not known is taken to reach everything.
func (me *identity) reaches(v *fdb.VTEP) bool {
	if v.To.Addr().Is4() {
		return me.v4 || !me.v6
	}
	return me.v6 || !me.v4
}

// isMe reports whether datagrams to v would come back.
func (me *identity) isMe(v *fdb.VTEP, n *Network) bool {
	return v.To.Port() == n.Port && slices.Contains(me.addrs, v.To.Addr())
}

var (
	errOwnMAC  = errors.New("its MAC address is this host's own")
	errOwnAddr = errors.New("its public address and port are this host's own")
)

// isTwin reports whether an error says that a lease or a host record is not
// taken in because its host can only be taken for this one.
func isTwin(err error) bool { return errors.Is(err, errOwnMAC) || errors.Is(err, errOwnAddr) }

// stamp says which key and value the row is of.
func (r *row) stamp(name string, kv *mvccpb.KeyValue) {
	r.name, r.value, r.created, r.rev = name, string(kv.Value), kv.CreateRevision, kv.ModRevision
	if r.peer != nil {
		r.peer.Key, r.peer.Rev = name, r.rev
	}
}

// isOf reports whether the row was made of this very value.
func (r *row) isOf(kv *mvccpb.KeyValue) bool {
	return r.rev == kv.ModRevision && r.created == kv.CreateRevision && r.value == string(kv.Value)
}

// newRow reads a key and its value. It returns no row and no error for what is
// no matter of the tables. A row that comes with an error is not for them.
func newRow(k key, value []byte, me *identity, n *Network) (*row, error) {
	switch k.kind {
	case lease:
		return leaseRow(k, value, me, n)
	case host:
		return hostRow(k, value, me, n)
	case endpoint:
		return endpointRow(k, value, me)
	case static:
		return staticRow(k, value, me, n)
	}
	return nil, nil
}

// station returns the row's station with a MAC address, nil when it has none.
func (r *row) station(mac ether.Addr) *station {
	for i := range r.stations {
		if r.stations[i].mac == mac {
			return &r.stations[i]
		}
	}
	return nil
}

// bindings returns what the row says about the IP addresses of a station. A
// nil row says nothing.
func (r *row) bindings(k fdb.Key) []arpproxy.Key {
	if r == nil {
		return nil
	}
	var out []arpproxy.Key
	if s := r.station(k.MAC); s != nil {
		for _, ip := range s.ips {
			out = append(out, arpproxy.Key{VNI: k.VNI, IP: ip})
		}
	}
	return out
}

func hostRow(k key, value []byte, me *identity, n *Network) (*row, error) {
	v, err := parseHost(value)
	if err != nil {
		return nil, err
	}
	if v.port == 0 {
		v.port = n.Port
	}
	r := &row{kind: host, self: k.node == me.node, node: k.node, vnis: v.vnis}
	r.vtep = me.vtep(v.publicIP, v.publicIPv6, v.port)
	r.peer = &Peer{VTEP: r.vtep, NodeID: k.node, Probe: v.probe}
	if !r.self && me.isMe(r.vtep, n) {
		return r, errOwnAddr
	}
	return r, nil
}

func endpointRow(k key, value []byte, me *identity) (*row, error) {
	v, err := parseEndpoint(value)
	if err != nil {
		return nil, err
	}
	if k.node != me.node && k.mac == me.mac {
		return nil, errOwnMAC
	}
	return &row{
		kind: endpoint, origin: fdb.Endpoint, self: k.node == me.node, seq: v.seq, vni: k.vni, node: k.node,
		stations: []station{{mac: k.mac, ips: v.ips}},
	}, nil
}

func staticRow(k key, value []byte, me *identity, n *Network) (*row, error) {
	v, err := parseStatic(value)
	if err != nil {
		return nil, err
	}
	r := &row{kind: static, origin: fdb.Static, vni: k.vni, vnis: []encap.VNI{k.vni}, stations: []station{{mac: k.mac, ips: v.ips}}}
	v4, v6 := v.vtep, netip.Addr{}
	if v.vtep.Is6() {
		v4, v6 = v6, v4
	}
	r.vtep = me.vtep(v4, v6, n.Port)
	r.self = me.isMe(r.vtep, n) // the operator's word about a station behind this host
	if !r.self && k.mac == me.mac {
		return nil, errOwnMAC
	}
	return r, nil
}

// macOf returns the MAC address that the row binds ip to.
func (r *row) macOf(ip netip.Addr) (ether.Addr, bool) {
	for i := range r.stations {
		if slices.Contains(r.stations[i].ips, ip) {
			return r.stations[i].mac, true
		}
	}
	return ether.Addr{}, false
}

// sameAs reports whether two values of one key bring the same into the tables.
func (r *row) sameAs(q *row) bool {
	return r.kind == q.kind && r.self == q.self && r.seq == q.seq && r.node == q.node &&
		sameVTEP(r.vtep, q.vtep) && slices.Equal(r.vnis, q.vnis) && slices.EqualFunc(r.stations, q.stations, station.sameAs)
}

func (s station) sameAs(t station) bool {
	return s.mac == t.mac && sameVTEP(s.vtep, t.vtep) && slices.Equal(s.ips, t.ips)
}

// sameVTEP compares by value, nil being equal to nil only.
func sameVTEP(a, b *fdb.VTEP) bool {
	return a == b || a != nil && b != nil && *a == *b
}
