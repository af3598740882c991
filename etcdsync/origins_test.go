package etcdsync

import (
	"context"
	"net/netip"
	"testing"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/fdb"
)

func TestEveryRowHasAnOrigin(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	c, o := claim(1), new(Origins)
	w := &spectator{testEtcd: e, changed: make(chan struct{})}
	station := func(n byte) fdb.Key { return fdb.Key{VNI: 1, MAC: mac(n)} }
	if got, ok := o.Station(station(2)); ok {
		t.Errorf("before there are tables: got %v", got)
	}
	w.stop = e.run(func(ctx context.Context) error {
		return s.Follow(ctx, FollowConfig{
			Network: c.Network, NodeID: c.NodeID, Own: []netip.Addr{c.PublicIP}, MAC: c.MAC, Publish: w.publish, Origins: o,
		})
	})
	const hostB, endpoint, static = "uvtep/hosts/" + nodeB + "/host", "uvtep/hosts/" + nodeB + "/endpoints/1/02:00:00:00:00:07", "uvtep/static/1/02:00:00:00:00:08"
	e.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	e.put(hostB, hostOf("192.0.2.2"))
	e.put(endpoint, `{"IPs":["10.10.2.7"],"Seq":0}`)
	e.put(static, `{"IPs":["10.10.2.8"],"VTEP":"192.0.2.2"}`)
	got := w.until("with all three", func(t *Tables) bool { return t.FDB.Len() == 3 })
	for _, c := range []struct {
		mac byte
		ip  string
		key string
		by  fdb.Origin
	}{{2, "10.10.2.0", leaseB, fdb.Lease}, {7, "10.10.2.7", endpoint, fdb.Endpoint}, {8, "10.10.2.8", static, fdb.Static}} {
		from, ok := o.Station(station(c.mac))
		if !ok || from.Key != c.key || from.By != c.by || from.Rev <= 0 || from.Rev > got.Rev {
			t.Errorf("%v: got %+v, %t, want %s", mac(c.mac), from, ok, c.key)
		}
		if bound, ok := o.Binding(arpproxy.Key{VNI: 1, IP: netip.MustParseAddr(c.ip)}); !ok || bound != from {
			t.Errorf("%s: got %+v, %t, want %+v", c.ip, bound, ok, from)
		}
	}
	e.del(endpoint)
	w.until("without the endpoint", func(t *Tables) bool { return t.FDB.Len() == 2 })
	if got, ok := o.Station(station(7)); ok {
		t.Errorf("of one that is gone: got %v", got)
	}
}
