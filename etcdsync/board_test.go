package etcdsync

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/fdb"
)

// history is an etcd of our own: keys with revisions, and nothing to wait for.
type history struct {
	rev  int64
	keys map[string]*mvccpb.KeyValue
}

func (h *history) put(name, value string) *mvccpb.KeyValue {
	h.rev++
	kv := &mvccpb.KeyValue{Key: []byte(name), Value: []byte(value), CreateRevision: h.rev, ModRevision: h.rev}
	if old := h.keys[name]; old != nil {
		kv.CreateRevision = old.CreateRevision
	}
	h.keys[name] = kv
	return kv
}

func (h *history) del(name string) {
	h.rev++
	delete(h.keys, name)
}

// testNetwork is the one that the tests' hosts are in.
func testNetwork() Network {
	n, err := NewNetwork(prefix("10.10.0.0/16"), prefix("fd00:10::/48")).Complete()
	if err != nil {
		panic(err)
	}
	return n
}

// testConfig is host A's.
func testConfig() *FollowConfig {
	return &FollowConfig{Network: testNetwork(), NodeID: nodeA, Own: []netip.Addr{addr("192.0.2.1"), addr("fd00::1")}, MAC: mac(1)}
}

// view is what tables say, as plain values.
type view struct {
	FDB    map[fdb.Key]string
	ARP    map[arpproxy.Key]arpproxy.Binding
	Routes []Route
	VTEPs  map[encap.VNI][]string
	Peers  map[string]string
	Hosts  map[string]string
}

func viewOf(t *Tables) view {
	v := view{
		FDB: make(map[fdb.Key]string), ARP: maps.Collect(t.ARP.All()), Routes: t.Routes.Sorted(),
		VTEPs: make(map[encap.VNI][]string), Peers: make(map[string]string), Hosts: make(map[string]string),
	}
	for k, e := range t.FDB.All() {
		v.FDB[k] = fmt.Sprintf("%s %s %d", where(e.VTEP), e.Origin, e.Rev)
	}
	for _, vni := range []encap.VNI{1, 7} {
		for vtep := range t.FDB.VTEPs(vni).All() {
			v.VTEPs[vni] = append(v.VTEPs[vni], vtep.To.String())
		}
	}
	for k, p := range t.Peers.All() {
		v.Peers[k] = fmt.Sprint(p.Key, p.Rev, p.Subnet, p.Subnet6, *p.VTEP, p.MAC, p.MAC6, p.NodeID)
	}
	for k, p := range t.Hosts.All() {
		v.Hosts[k] = fmt.Sprint(p.Key, p.Rev, *p.VTEP, p.NodeID, p.Probe)
	}
	return v
}

// where says where a station is.
func where(v *fdb.VTEP) string {
	if v == nil {
		return "here"
	}
	return fmt.Sprintf("%+v", *v)
}

// naive computes the same from nothing but the values in force, each time
// anew.
func naive(c *FollowConfig, good map[string]*mvccpb.KeyValue) view {
	me := newIdentity(c)
	var rows []*row
	for name, kv := range good {
		k, _ := parseKey(name)
		if r, _ := newRow(k, kv.Value, &me, &c.Network); r != nil {
			r.stamp(name, kv)
			rows = append(rows, r)
		}
	}
	rows = naiveActive(rows)
	v := view{
		FDB: make(map[fdb.Key]string), ARP: make(map[arpproxy.Key]arpproxy.Binding),
		VTEPs: make(map[encap.VNI][]string), Peers: make(map[string]string), Hosts: make(map[string]string),
	}
	macs := make(map[fdb.Key]*row)
	for _, r := range rows {
		if r.kind == host && !r.self() {
			v.Hosts[r.node.id] = fmt.Sprint(r.name(), r.rev, *r.vtep(), r.node.id, r.more.peer.Probe)
		}
		for s := range r.stations() {
			k := fdb.Key{VNI: r.vni, MAC: s.mac}
			if old := macs[k]; old == nil || naiveBetter(r, old, true) {
				macs[k] = r
			}
		}
	}
	ips := make(map[arpproxy.Key]*row)
	for _, r := range rows {
		for s := range r.stations() {
			if macs[fdb.Key{VNI: r.vni, MAC: s.mac}] != r {
				continue
			}
			for ip := range s.ips.all() {
				k := arpproxy.Key{VNI: r.vni, IP: ip}
				if old := ips[k]; old == nil || naiveBetter(r, old, false) {
					ips[k] = r
				}
			}
		}
	}
	for k, r := range macs {
		if r.self() {
			if r.kind != lease { // whose MAC address the switch itself knows
				v.FDB[k] = fmt.Sprintf("%s %s %d", where(nil), r.origin(), r.rev)
			}
			continue
		}
		vtep := naiveVTEP(r, rows)
		for s := range r.stations() {
			if s.mac == k.MAC && s.vtep != nil {
				vtep = s.vtep
			}
		}
		v.FDB[k] = fmt.Sprintf("%s %s %d", where(vtep), r.origin(), r.rev)
	}
	for k, r := range ips {
		if r.self() {
			continue
		}
		for s := range r.stations() {
			if s.ips.has(k.IP) {
				v.ARP[k] = arpproxy.Binding{MAC: s.mac, Origin: r.origin(), Rev: r.rev}
			}
		}
	}
	naiveLeases(&v, rows)
	return v
}

// naiveActive leaves out endpoints without a host and leases over our own.
func naiveActive(rows []*row) []*row {
	hosts := make(map[string]bool)
	var own []subnets
	for _, r := range rows {
		if r.kind == host {
			hosts[r.nodeID()] = true
		}
		if r.kind == lease && r.self() {
			own = append(own, r.subnets())
		}
	}
	return slices.DeleteFunc(rows, func(r *row) bool {
		switch r.kind {
		case endpoint:
			return !r.self() && !hosts[r.nodeID()]
		case lease:
			return !r.self() && slices.ContainsFunc(own, r.subnets().overlap)
		}
		return false
	})
}

func naiveVTEP(r *row, rows []*row) *fdb.VTEP {
	for _, h := range rows {
		if r.kind == endpoint && h.kind == host && h.nodeID() == r.nodeID() {
			return h.vtep()
		}
	}
	return r.vtep()
}

// naiveBetter spells the contract's sentence out.
func naiveBetter(a, b *row, forMAC bool) bool {
	rank := map[kind]int{lease: 1, static: 2, endpoint: 3}
	switch {
	case rank[a.kind] != rank[b.kind]:
		return rank[a.kind] < rank[b.kind]
	case forMAC && a.kind == endpoint && a.seq != b.seq:
		return a.seq > b.seq
	case forMAC && a.kind == endpoint && a.rev != b.rev:
		return a.rev > b.rev
	case a.created != b.created:
		return a.created < b.created
	}
	return a.name() < b.name()
}

func naiveLeases(v *view, rows []*row) {
	routes := make(map[netip.Prefix]Route)
	targets := make(map[encap.VNI]map[netip.AddrPort]bool)
	for _, r := range rows {
		if r.self() || r.kind == endpoint {
			continue
		}
		for _, vni := range r.vnis() {
			if targets[vni] == nil {
				targets[vni] = make(map[netip.AddrPort]bool)
			}
			targets[vni][r.vtep().To] = true
		}
		if r.kind != lease {
			continue
		}
		p := r.peer()
		v.Peers[r.name()] = fmt.Sprint(p.Key, p.Rev, p.Subnet, p.Subnet6, *p.VTEP, p.MAC, p.MAC6, p.NodeID)
		for _, p := range r.subnets().prefixes() {
			over6 := routes[p].Over6 || r.vtep().To.Addr().Is6()
			if s := r.more.stations[len(r.more.stations)-1]; s.vtep != nil && p.Addr().Is6() {
				over6 = routes[p].Over6 || s.vtep.To.Addr().Is6()
			}
			routes[p] = Route{p, p.Addr(), over6}
		}
	}
	v.Routes = slices.SortedFunc(maps.Values(routes), Route.compare)
	for _, vni := range []encap.VNI{1, 7} {
		for _, to := range slices.SortedFunc(maps.Keys(targets[vni]), netip.AddrPort.Compare) {
			v.VTEPs[vni] = append(v.VTEPs[vni], to.String())
		}
	}
}

// chaos writes values of every kind into a small world, so that they meet.
type chaos struct{ *rand.Rand }

func pickOf[T any](c chaos, of ...T) T { return of[c.IntN(len(of))] }

func (c chaos) change() (name, value string) {
	nodes := []string{nodeA, nodeB, nodeC}
	station := fmt.Sprintf("%d/%s", pickOf(c, 1, 7), mac(byte(c.IntN(5)+1)))
	switch c.IntN(10) {
	case 0, 1, 2:
		name = subnetsDir + pickOf(c, "10.10.1.0-24", "10.10.2.0-24", "10.10.2.0-24&fd00:10:0:2::-64", "10.10.3.0-24", "10.10.2.0-25", "0.0.0.0-0&fd00:10:0:2::-64", "10.99.0.0-24", "hello")
		value = c.lease(nodes)
	case 3, 4:
		name = hostKey(pickOf(c, nodes...))
		value = fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":%s,"VNIs":[%d,%d]}`, c.public(), pickOf(c, "null", `"fd00::2"`, `"fd00::3"`), pickOf(c, 1, 7), pickOf(c, 1, 7, 1<<24))
	case 5, 6, 7:
		name = hostsDir + pickOf(c, nodes...) + "/endpoints/" + station
		value = fmt.Sprintf(`{"IPs":[%s],"Seq":%d}`, c.ips(), c.IntN(4)-1+c.IntN(2))
	default:
		name = staticDir + station
		value = fmt.Sprintf(`{"IPs":[%s],"VTEP":%q}`, c.ips(), c.public())
	}
	if c.IntN(12) == 0 {
		value = pickOf(c, "", "{}", "null", "[]", "hello", value+"x")
	}
	return name, value
}

func (c chaos) public() string {
	return pickOf(c, "192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.3", "192.0.2.4", "127.0.0.1")
}

func (c chaos) ips() string {
	return pickOf(c, ``, `"10.10.2.7"`, `"10.10.2.7","fd00:10:0:2::7"`, `"10.10.2.0"`, `"10.10.3.7"`, `"10.10.1.9"`)
}

func (c chaos) lease(nodes []string) string {
	data := func(m int) string {
		return fmt.Sprintf(`{"VNI":%d,"VtepMAC":%q,"NodeID":%q,"Port":%d}`, 1, mac(byte(m)), pickOf(c, nodes...), pickOf(c, 0, 4789, 8472))
	}
	flannel := func(m int) string { return fmt.Sprintf(`{"VNI":%d,"VtepMAC":%q}`, pickOf(c, 1, 1, 1, 2), mac(byte(m))) }
	m := c.IntN(5) + 1
	both := data(m)
	switch c.IntN(4) {
	case 0:
		return fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":null,"BackendType":"vxlan","BackendData":%s}`, c.public(), both)
	case 1:
		return fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":"fd00::2","BackendType":"vxlan","BackendData":%s,"BackendV6Data":%s}`, c.public(), both, both)
	case 2:
		return fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":"fd00::3","BackendType":"vxlan","BackendData":%s,"BackendV6Data":%s}`, c.public(), flannel(m), flannel(m%5+1))
	}
	return fmt.Sprintf(`{"PublicIP":%q,"BackendType":%q,"BackendData":%s}`, c.public(), pickOf(c, "vxlan", "vxlan", "udp"), flannel(m))
}

// usableValue reports whether a value is one that replaces the last good one,
// for the oracle's own book-keeping.
func usableValue(c *FollowConfig, name string, kv *mvccpb.KeyValue) bool {
	k, err := parseKey(name)
	if err != nil {
		return false
	}
	me := newIdentity(c)
	_, err = newRow(k, kv.Value, &me, &c.Network)
	return err == nil
}

func TestTablesAfterAnyHistoryAreThoseOfANaiveRebuild(t *testing.T) {
	for seed := range uint64(20) {
		c := testConfig()
		rng := chaos{rand.New(rand.NewPCG(seed, 1))}
		h := &history{keys: make(map[string]*mvccpb.KeyValue)}
		good := make(map[string]*mvccpb.KeyValue)
		in := newIntake(c, zerolog.Nop())
		for step := range 250 {
			deaf := rng.IntN(25) == 0 // the watch was lost, what happened must be listed
			for range 1 + rng.IntN(4) {
				name, value := rng.change()
				if rng.IntN(4) == 0 {
					h.del(name)
					if !deaf {
						in.drop(name, h.rev)
						delete(good, name)
					}
					continue
				}
				kv := h.put(name, value)
				if !deaf {
					in.put(name, kv)
					if usableValue(c, name, kv) {
						good[name] = kv
					}
				}
			}
			if deaf {
				relist(in, h)
				good = relisted(c, h, good)
			}
			got, want := viewOf(in.board.tables(h.rev, in.network)), naive(c, good)
			if diff := cmp.Diff(got, want, cmpNetip, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("seed %d, step %d: got- want+:\n%s", seed, step, diff)
			}
		}
	}
}

// relist hands over a complete list, in the order of the keys.
func relist(in *intake, h *history) {
	in.begin()
	for _, name := range slices.Sorted(maps.Keys(h.keys)) {
		in.list(name, h.keys[name])
	}
	in.sweep()
}

// relisted is what is in force after a list: where it has a bad value, the last
// good one that was seen, unless the key was deleted in between.
func relisted(c *FollowConfig, h *history, good map[string]*mvccpb.KeyValue) map[string]*mvccpb.KeyValue {
	out := make(map[string]*mvccpb.KeyValue)
	for name, kv := range h.keys {
		if usableValue(c, name, kv) {
			out[name] = kv
		} else if old := good[name]; old != nil && old.CreateRevision == kv.CreateRevision {
			out[name] = old
		}
	}
	return out
}
