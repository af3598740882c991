package main

import (
	"encoding/json"
	"io"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/fdb"
)

// someTables hold two stations behind two VTEPs, one of them with a port of its
// own, and a route.
func someTables(flood bool) *etcdsync.Tables {
	a, b := ether.Addr{0x4a, 0x4d, 0x9d, 0x3a, 0xc5, 0xf0}, ether.Addr{0x0a, 0, 0, 0, 0, 2}
	near := &fdb.VTEP{To: netip.MustParseAddrPort("172.21.51.68:4789")}
	far := &fdb.VTEP{To: netip.MustParseAddrPort("10.10.10.7:8472")}
	f := (*fdb.Table)(nil).Edit()
	f.Set(fdb.Key{VNI: 1, MAC: a}, fdb.Entry{VTEP: near})
	f.Set(fdb.Key{VNI: 1, MAC: b}, fdb.Entry{VTEP: far})
	f.AddVTEP(1, near)
	f.AddVTEP(1, far)
	arp := (*arpproxy.Table)(nil).Edit()
	arp.Set(arpproxy.Key{VNI: 1, IP: netip.MustParseAddr("10.5.10.0")}, arpproxy.Binding{MAC: a})
	arp.Set(arpproxy.Key{VNI: 1, IP: netip.MustParseAddr("10.5.9.7")}, arpproxy.Binding{MAC: b})
	arp.Set(arpproxy.Key{VNI: 2, IP: netip.MustParseAddr("10.5.8.0")}, arpproxy.Binding{MAC: b})
	return &etcdsync.Tables{
		Rev: 7, Network: etcdsync.Network{VNI: 1, Port: 4789, Flood: flood}, FDB: f.Table(), ARP: arp.Table(),
		Routes: etcdsync.RoutesTo(netip.MustParsePrefix("10.5.10.0/24")),
	}
}

func lines[T any](r rows[T], line func(io.Writer, T)) string {
	var b strings.Builder
	for _, x := range r.Rows {
		line(&b, x)
	}
	return b.String()
}

func TestTablesAreShownInTheWordsOfIproute2(t *testing.T) {
	got := lines(fdbRows(someTables(true), "uvtep.1"), printFDB) +
		lines(neighRows(someTables(true), "uvtep.1"), printNeigh) +
		lines(routeRows(someTables(true), "uvtep.1"), printRoute)
	const want = `0a:00:00:00:00:02 dev uvtep.1 dst 10.10.10.7 port 8472 self permanent
4a:4d:9d:3a:c5:f0 dev uvtep.1 dst 172.21.51.68 self permanent
00:00:00:00:00:00 dev uvtep.1 dst 10.10.10.7 port 8472 self permanent
00:00:00:00:00:00 dev uvtep.1 dst 172.21.51.68 self permanent
10.5.9.7 dev uvtep.1 lladdr 0a:00:00:00:00:02 PERMANENT
10.5.10.0 dev uvtep.1 lladdr 4a:4d:9d:3a:c5:f0 PERMANENT
10.5.10.0/24 via 10.5.10.0 dev uvtep.1 proto 86 onlink
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
}

func TestTheFDBNamesFloodedVTEPsOnlyWhereTheNetworkFloods(t *testing.T) {
	if got := lines(fdbRows(someTables(false), "uvtep.1"), printFDB); strings.Contains(got, "00:00:00:00:00:00") {
		t.Errorf("got\n%s", got)
	}
}

func TestTablesAreServedAsIproute2sJSON(t *testing.T) {
	for _, c := range []struct {
		name string
		rows any
		want string
	}{
		{"fdb", fdbRows(someTables(false), "tap0"), `{"revision":7,"rows":[` +
			`{"mac":"0a:00:00:00:00:02","ifname":"tap0","dst":"10.10.10.7","port":8472,"flags":["self"],"state":"permanent"},` +
			`{"mac":"4a:4d:9d:3a:c5:f0","ifname":"tap0","dst":"172.21.51.68","flags":["self"],"state":"permanent"}]}`},
		{"route", routeRows(someTables(false), "tap0"), `{"revision":7,"rows":[` +
			`{"dst":"10.5.10.0/24","gateway":"10.5.10.0","dev":"tap0","protocol":"86","flags":["onlink"]}]}`},
		{"no tables yet", neighRows(nil, "tap0"), `{"revision":0,"rows":[]}`},
	} {
		got, err := json.Marshal(c.rows)
		if diff := cmp.Diff(c.want, string(got)); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
		}
	}
}
