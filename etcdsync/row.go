package etcdsync

import (
	"bytes"
	"errors"
	"iter"
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
// value makes a new row, unless it says what the old one said. Of endpoints there
// are many, so that what the others have besides lies apart.
type row struct {
	created, rev int64  // etcd's revisions of the first and the latest value
	seq          uint64 // of an endpoint
	node         *node  // of a host and of an endpoint; of a lease when it has one
	more         *more  // nil of an endpoint, unless its value is spelled in another way than ours
	ips          addrs  // of an endpoint and of a static entry
	gen          uint32 // of the list that had it last
	since        uint32 // of an endpoint, see spell
	place        uint32 // among the endpoints of its node
	vni          encap.VNI
	mac          ether.Addr // of an endpoint and of a static entry
	kind         kind
	marks        marks
}

// more is what a row has that is not an endpoint's.
type more struct {
	value    string    // the latest that is good; empty when the row can spell it
	vtep     *fdb.VTEP // nil of an endpoint: it is its host's
	vnis     []encap.VNI
	stations []station // of a lease
	peer     *Peer     // of a lease and of a host
}

// marks are what is so or not about a row.
type marks uint8

const (
	self   marks = 1 << iota // says something about this host: claims, but shows nothing
	shown                    // a lease that is not kept off by one of our own
	dated                    // its value says since when
	formal                   // and of which schema it is
)

func (m marks) has(x marks) bool { return m&x != 0 }

// station is an Ethernet address with the IP addresses bound to it.
type station struct {
	mac  ether.Addr
	vtep *fdb.VTEP // nil: the row's
	ips  addrs
}

// identity is what a host knows of itself when it reads what others write.
type identity struct {
	node  string
	mac   ether.Addr
	addrs []netip.Addr
	v4    bool // datagrams can be sent over IPv4
	v6    bool
	nodes nodes // that it has heard of
}

func newIdentity(c *FollowConfig) identity {
	me := identity{node: c.NodeID, mac: c.MAC, nodes: make(nodes)}
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
	r.created, r.rev = kv.CreateRevision, kv.ModRevision
	if r.more != nil && r.more.peer != nil {
		r.more.peer.Key, r.more.peer.Rev = name, r.rev
	}
	if r.kind == endpoint && r.spell(kv.Value) {
		return
	}
	if r.more == nil {
		r.more = new(more)
	}
	r.more.value = string(kv.Value)
}

// isOf reports whether the row was made of this very value.
func (r *row) isOf(kv *mvccpb.KeyValue) bool {
	var room [256]byte
	return r.rev == kv.ModRevision && r.created == kv.CreateRevision && bytes.Equal(r.appendValue(room[:0]), kv.Value)
}

// self reports whether the row says something about this host.
func (r *row) self() bool { return r.marks.has(self) }

// mark sets or clears a mark.
func (r *row) mark(m marks, is bool) {
	if r.marks &^= m; is {
		r.marks |= m
	}
}

// nodeID is the id of the row's host, empty when nothing tells it.
func (r *row) nodeID() string {
	if r.node == nil {
		return ""
	}
	return r.node.id
}

// peer is nil unless the row is a lease.
func (r *row) peer() *Peer {
	if r.kind != lease {
		return nil
	}
	return r.more.peer
}

// vtep is where the row's host is, nil of an endpoint.
func (r *row) vtep() *fdb.VTEP {
	if r.more == nil {
		return nil
	}
	return r.more.vtep
}

// vnis are the networks that the row's VTEP is in.
func (r *row) vnis() []encap.VNI {
	if r.more == nil {
		return nil
	}
	return r.more.vnis
}

// stations yields all Ethernet addresses that the row claims.
func (r *row) stations() iter.Seq[station] {
	return func(yield func(station) bool) {
		switch r.kind {
		case endpoint, static:
			yield(station{mac: r.mac, ips: r.ips})
		case lease:
			for _, s := range r.more.stations {
				if !yield(s) {
					return
				}
			}
		}
	}
}

// origin is what the tables are told of where the row comes from.
func (r *row) origin() fdb.Origin {
	switch r.kind {
	case static:
		return fdb.Static
	case endpoint:
		return fdb.Endpoint
	}
	return fdb.Lease
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

// station returns the row's station with a MAC address; ok is false when it has
// none.
func (r *row) station(mac ether.Addr) (s station, ok bool) {
	for s := range r.stations() {
		if s.mac == mac {
			return s, true
		}
	}
	return station{}, false
}

// bindings yields what the row says about the IP addresses of a station. A nil
// row says nothing.
func (r *row) bindings(k fdb.Key) iter.Seq[arpproxy.Key] {
	return func(yield func(arpproxy.Key) bool) {
		if r == nil {
			return
		}
		s, _ := r.station(k.MAC)
		for ip := range s.ips.all() {
			if !yield(arpproxy.Key{VNI: k.VNI, IP: ip}) {
				return
			}
		}
	}
}

func hostRow(k key, value []byte, me *identity, n *Network) (*row, error) {
	v, err := parseHost(value)
	if err != nil {
		return nil, err
	}
	if v.port == 0 {
		v.port = n.Port
	}
	r := &row{kind: host, node: me.nodes.of(k.node), more: &more{vnis: v.vnis}}
	r.mark(self, k.node == me.node)
	r.more.vtep = me.vtep(v.publicIP, v.publicIPv6, v.port)
	r.more.peer = &Peer{VTEP: r.more.vtep, NodeID: k.node, Probe: v.probe}
	if !r.self() && me.isMe(r.more.vtep, n) {
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
	r := &row{kind: endpoint, seq: v.seq, vni: k.vni, node: me.nodes.of(k.node), mac: k.mac, ips: newAddrs(v.ips...)}
	r.mark(self, k.node == me.node)
	r.date(v.since)
	return r, nil
}

func staticRow(k key, value []byte, me *identity, n *Network) (*row, error) {
	v, err := parseStatic(value)
	if err != nil {
		return nil, err
	}
	r := &row{kind: static, vni: k.vni, mac: k.mac, ips: newAddrs(v.ips...), more: &more{vnis: []encap.VNI{k.vni}}}
	v4, v6 := v.vtep, netip.Addr{}
	if v.vtep.Is6() {
		v4, v6 = v6, v4
	}
	r.more.vtep = me.vtep(v4, v6, n.Port)
	r.mark(self, me.isMe(r.more.vtep, n)) // the operator's word about a station behind this host
	if !r.self() && k.mac == me.mac {
		return nil, errOwnMAC
	}
	return r, nil
}

// macOf returns the MAC address that the row binds ip to.
func (r *row) macOf(ip netip.Addr) (ether.Addr, bool) {
	for s := range r.stations() {
		if s.ips.has(ip) {
			return s.mac, true
		}
	}
	return ether.Addr{}, false
}

// sameAs reports whether two leases of one key bring the same into the tables.
func (r *row) sameAs(q *row) bool {
	return r.kind == q.kind && r.self() == q.self() && r.nodeID() == q.nodeID() && sameVTEP(r.vtep(), q.vtep()) &&
		slices.Equal(r.vnis(), q.vnis()) && slices.EqualFunc(r.more.stations, q.more.stations, station.sameAs)
}

func (s station) sameAs(t station) bool {
	return s.mac == t.mac && sameVTEP(s.vtep, t.vtep) && s.ips == t.ips
}

// sameVTEP compares by value, nil being equal to nil only.
func sameVTEP(a, b *fdb.VTEP) bool {
	return a == b || a != nil && b != nil && *a == *b
}
