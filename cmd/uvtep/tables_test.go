package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/fdb"
	"github.com/uvtep/uvtep/internal/hostnet"
	"github.com/uvtep/uvtep/internal/snapmap"
)

// someTables hold two stations behind two VTEPs, one of them with a port of its
// own, and a route.
func someTables(flood bool) *etcdsync.Tables {
	a, b := ether.Addr{0x4a, 0x4d, 0x9d, 0x3a, 0xc5, 0xf0}, ether.Addr{0x0a, 0, 0, 0, 0, 2}
	near := &fdb.VTEP{To: netip.MustParseAddrPort("172.21.51.68:4789")}
	far := &fdb.VTEP{To: netip.MustParseAddrPort("10.10.10.7:8472")}
	f := (*fdb.Table)(nil).Edit()
	f.Set(fdb.Key{VNI: 1, MAC: a}, fdb.Entry{VTEP: near, Rev: 3})
	f.Set(fdb.Key{VNI: 1, MAC: b}, fdb.Entry{VTEP: far, Origin: fdb.Endpoint, Rev: 7})
	f.AddVTEP(1, near)
	f.AddVTEP(1, far)
	arp := (*arpproxy.Table)(nil).Edit()
	arp.Set(arpproxy.Key{VNI: 1, IP: netip.MustParseAddr("10.5.10.0")}, arpproxy.Binding{MAC: a, Rev: 3})
	arp.Set(arpproxy.Key{VNI: 1, IP: netip.MustParseAddr("10.5.9.7")}, arpproxy.Binding{MAC: b, Origin: fdb.Endpoint, Rev: 7})
	arp.Set(arpproxy.Key{VNI: 2, IP: netip.MustParseAddr("10.5.8.0")}, arpproxy.Binding{MAC: b})
	peers := snapmap.New[string, *etcdsync.Peer](func(string, uint64) uint64 { return 0 }).Edit()
	peers.Set("subnets/10.5.10.0-24", &etcdsync.Peer{Subnet: netip.MustParsePrefix("10.5.10.0/24"), Rev: 3, VTEP: near})
	return &etcdsync.Tables{
		Rev: 7, Peers: peers.Map(), Network: etcdsync.Network{VNI: 1, Port: 4789, Flood: flood}, FDB: f.Table(), ARP: arp.Table(),
	}
}

// showing is what a plane with these tables shows, two minutes after it had them
// first at revision 5.
func showing(t *etcdsync.Tables) shown {
	s := shown{tables: t, tap: "uvtep.1", now: time.Unix(1120, 0)}
	s.journal.add(5, time.Unix(1000, 0))
	s.journal.add(7, time.Unix(1100, 0))
	return s
}

// someRoutes are rows of the routes that the kernel was given.
func someRoutes(s shown, f filter) rows[routeRow] {
	return routeRows(s, []hostnet.Route{
		{Dst: netip.MustParsePrefix("10.5.10.0/24"), Via: netip.MustParseAddr("10.5.10.0")},
		{Dst: netip.MustParsePrefix("fd00:5::/64"), Via: netip.MustParseAddr("fd00:5::"), MTU: 1430},
	}, f)
}

func lines[T tableRow](r rows[T], s style) string {
	var b strings.Builder
	for _, x := range r.Rows {
		b.WriteString(x.line(s) + "\n")
	}
	return b.String()
}

func TestTablesAreShownInTheWordsOfIproute2(t *testing.T) {
	all := func(f filter, s style) string {
		v := showing(someTables(true))
		return lines(fdbRows(v, f), s) + lines(neighRows(v, f), s) + lines(someRoutes(v, f), s)
	}
	const want = `0a:00:00:00:00:02 dev uvtep.1 dst 10.10.10.7 port 8472 self permanent
4a:4d:9d:3a:c5:f0 dev uvtep.1 dst 172.21.51.68 self permanent
00:00:00:00:00:00 dev uvtep.1 dst 10.10.10.7 port 8472 self permanent
00:00:00:00:00:00 dev uvtep.1 dst 172.21.51.68 self permanent
10.5.9.7 dev uvtep.1 lladdr 0a:00:00:00:00:02 PERMANENT
10.5.10.0 dev uvtep.1 lladdr 4a:4d:9d:3a:c5:f0 PERMANENT
10.5.10.0/24 via 10.5.10.0 dev uvtep.1 proto 86 onlink
fd00:5::/64 via fd00:5:: dev uvtep.1 proto 86 metric 1024 onlink mtu 1430 pref medium
`
	if diff := cmp.Diff(want, all(filter{}, style{})); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	const told = `0a:00:00:00:00:02 dev uvtep.1 dst 10.10.10.7 port 8472 used 20/20 rev 7 origin endpoint self permanent
4a:4d:9d:3a:c5:f0 dev uvtep.1 dst 172.21.51.68 used 120/120 rev 3 origin lease self permanent
00:00:00:00:00:00 dev uvtep.1 dst 10.10.10.7 port 8472 used 120/120 self permanent
00:00:00:00:00:00 dev uvtep.1 dst 172.21.51.68 used 120/120 rev 3 origin lease self permanent
10.5.9.7 dev uvtep.1 lladdr 0a:00:00:00:00:02 used 20/20/20 probes 0 rev 7 origin endpoint PERMANENT
10.5.10.0 dev uvtep.1 lladdr 4a:4d:9d:3a:c5:f0 used 120/120/120 probes 0 rev 3 origin lease PERMANENT
10.5.10.0/24 via 10.5.10.0 dev uvtep.1 proto 86 onlink age 120sec rev 3 origin lease
fd00:5::/64 via fd00:5:: dev uvtep.1 proto 86 metric 1024 onlink mtu 1430 pref medium
`
	if diff := cmp.Diff(told, all(filter{stats: true}, style{ages: true, details: true})); diff != "" {
		t.Errorf("with ages and details (-want +got):\n%s", diff)
	}
}

func TestTheFDBNamesFloodedVTEPsOnlyWhereTheNetworkFloods(t *testing.T) {
	if got := lines(fdbRows(showing(someTables(false)), filter{}), style{}); strings.Contains(got, "00:00:00:00:00:00") {
		t.Errorf("got\n%s", got)
	}
}

func TestTablesAreServedAsIproute2sJSON(t *testing.T) {
	v := showing(someTables(false))
	for _, c := range []struct {
		name string
		rows any
		want string
	}{
		{"fdb", fdbRows(v, filter{}), `{"revision":7,"rows":[` +
			`{"mac":"0a:00:00:00:00:02","ifname":"uvtep.1","dst":"10.10.10.7","port":8472,"flags":["self"],"state":"permanent"},` +
			`{"mac":"4a:4d:9d:3a:c5:f0","ifname":"uvtep.1","dst":"172.21.51.68","flags":["self"],"state":"permanent"}]}`},
		{"route", someRoutes(v, filter{six: true}), `{"revision":7,"rows":[` +
			`{"dst":"fd00:5::/64","gateway":"fd00:5::","dev":"uvtep.1","protocol":"86","metric":1024,"flags":["onlink"],"metrics":[{"mtu":1430}],"pref":"medium"}]}`},
		{"neigh with ages", neighRows(v, filter{stats: true, to: netip.MustParsePrefix("10.5.9.0/24")}), `{"revision":7,"rows":[` +
			`{"dst":"10.5.9.7","dev":"uvtep.1","lladdr":"0a:00:00:00:00:02","used":20,"confirmed":20,"updated":20,"probes":0,"state":["PERMANENT"],` +
			`"revision":7,"origin":"endpoint","since":"` + time.Unix(1100, 0).Format(time.RFC3339) + `"}]}`},
		{"no tables yet", neighRows(showing(nil), filter{}), `{"revision":0,"rows":[]}`},
	} {
		got, err := json.Marshal(c.rows)
		if diff := cmp.Diff(c.want, string(got)); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", c.name, err, diff)
		}
	}
}

// shownLines is what the words of a command line leave of a table.
func shownLines[T tableRow](t *testing.T, tab *table[T], rowsOf func(shown, filter) rows[T], words string) string {
	t.Helper()
	v, err := tab.filters(strings.Fields(words))
	if err != nil {
		return "fault: " + err.Error()
	}
	f, err := parseFilter(v, tab.parameters)
	if err != nil {
		return "fault: " + err.Error()
	}
	got := rowsOf(showing(someTables(true)), f)
	for i := range got.Rows {
		tab.hide(&got.Rows[i], v)
	}
	return strings.TrimSpace(lines(got, style{}))
}

func TestTablesAreFilteredWithIproute2sWords(t *testing.T) {
	fdbTable, neighTable, routeTable := fdbTable(), neighTable(), routeTable()
	for words, want := range map[string]string{
		"dst 172.21.51.68":                        "4a:4d:9d:3a:c5:f0 dev uvtep.1 dst 172.21.51.68 self permanent\n00:00:00:00:00:00 dev uvtep.1 dst 172.21.51.68 self permanent",
		"mac 0A:00:00:00:00:02":                   "0a:00:00:00:00:02 dev uvtep.1 dst 10.10.10.7 port 8472 self permanent",
		"dev uvtep.1 dst 10.1.1.1":                "",
		"dev uvtep.1 vni 1 mac 0a:00:00:00:00:02": "0a:00:00:00:00:02 dst 10.10.10.7 port 8472 self permanent",
		"dev other":                               "",
		"vni 2":                                   "",
		"state stale":                             "",
		"vni":                                     "fault: vni: say which",
		"vni 99999999":                            `fault: vni "99999999": want 0 to 16777215`,
		"vlan 7":                                  `fault: "vlan" is no filter: there is brport, dev, dst, lladdr, mac, state, vni`,
		"dev a dev b":                             "fault: dev: say it once",
	} {
		if diff := cmp.Diff(want, shownLines(t, fdbTable, fdbRows, words)); diff != "" {
			t.Errorf("fdb show %s (-want +got):\n%s", words, diff)
		}
	}
	for words, want := range map[string]string{
		"10.5.9.7":                    "10.5.9.7 dev uvtep.1 lladdr 0a:00:00:00:00:02 PERMANENT",
		"to 10.5.10.0/24 dev uvtep.1": "10.5.10.0 lladdr 4a:4d:9d:3a:c5:f0 PERMANENT",
		"nud reachable":               "",
		"to nowhere":                  `fault: to "nowhere": want an IP address, or a prefix such as 10.10.3.0/24`,
	} {
		if diff := cmp.Diff(want, shownLines(t, neighTable, neighRows, words)); diff != "" {
			t.Errorf("neigh show %s (-want +got):\n%s", words, diff)
		}
	}
	const four, six = "10.5.10.0/24 via 10.5.10.0 dev uvtep.1 proto 86 onlink", "fd00:5::/64 via fd00:5:: dev uvtep.1 proto 86 metric 1024 onlink mtu 1430 pref medium"
	for words, want := range map[string]string{
		"10.5.10.0/24":             four,
		"10.5.10.4":                "",
		"match 10.5.10.4":          four,
		"to match 10.5.10.4":       four,
		"root 10.5.0.0/16":         four,
		"root fd00::/16":           six,
		"exact 10.5.0.0/16":        "",
		"via 10.5.10.0":            "10.5.10.0/24 dev uvtep.1 proto 86 onlink",
		"proto 86 root 10.0.0.0/8": "10.5.10.0/24 via 10.5.10.0 dev uvtep.1 onlink",
		"proto kernel":             "",
	} {
		if diff := cmp.Diff(want, shownLines(t, routeTable, someRoutes, words)); diff != "" {
			t.Errorf("route show %s (-want +got):\n%s", words, diff)
		}
	}
}

func TestAMonitorTellsWhatIsNewOrGone(t *testing.T) {
	row := func(mac, dst string, age int64) fdbRow {
		return fdbRow{MAC: mac, Dst: dst, Used: &age, Updated: &age, Flags: []string{"self"}, State: "permanent"}
	}
	const a, b, all = "0a:00:00:00:00:01", "0a:00:00:00:00:02", "00:00:00:00:00:00"
	steps := [][]fdbRow{
		{row(a, "192.0.2.1", 1), row(b, "192.0.2.2", 1), row(all, "192.0.2.1", 1), row(all, "192.0.2.2", 1)},
		{row(a, "192.0.2.1", 2), row(b, "192.0.2.3", 0), row(all, "192.0.2.2", 2)},
		{row(a, "192.0.2.1", 3)},
	}
	for _, c := range []struct {
		name  string
		flags tableFlags
		want  string
	}{
		{"lines", tableFlags{stats: true}, `0a:00:00:00:00:01 dst 192.0.2.1 used 1/1 self permanent
0a:00:00:00:00:02 dst 192.0.2.2 used 1/1 self permanent
00:00:00:00:00:00 dst 192.0.2.1 used 1/1 self permanent
00:00:00:00:00:00 dst 192.0.2.2 used 1/1 self permanent
--
Deleted 00:00:00:00:00:00 dst 192.0.2.1 used 1/1 self permanent
0a:00:00:00:00:02 dst 192.0.2.3 used 0/0 self permanent
--
Deleted 00:00:00:00:00:00 dst 192.0.2.2 used 2/2 self permanent
Deleted 0a:00:00:00:00:02 dst 192.0.2.3 used 0/0 self permanent
--
`},
		{"JSON", tableFlags{looking: looking{asJSON: true}}, `{"mac":"0a:00:00:00:00:01","dst":"192.0.2.1","used":1,"updated":1,"flags":["self"],"state":"permanent"}
{"mac":"0a:00:00:00:00:02","dst":"192.0.2.2","used":1,"updated":1,"flags":["self"],"state":"permanent"}
{"mac":"00:00:00:00:00:00","dst":"192.0.2.1","used":1,"updated":1,"flags":["self"],"state":"permanent"}
{"mac":"00:00:00:00:00:00","dst":"192.0.2.2","used":1,"updated":1,"flags":["self"],"state":"permanent"}
--
{"deleted":true,"mac":"00:00:00:00:00:00","dst":"192.0.2.1","used":1,"updated":1,"flags":["self"],"state":"permanent"}
{"mac":"0a:00:00:00:00:02","dst":"192.0.2.3","used":0,"updated":0,"flags":["self"],"state":"permanent"}
--
{"deleted":true,"mac":"00:00:00:00:00:00","dst":"192.0.2.2","used":2,"updated":2,"flags":["self"],"state":"permanent"}
{"deleted":true,"mac":"0a:00:00:00:00:02","dst":"192.0.2.3","used":0,"updated":0,"flags":["self"],"state":"permanent"}
--
`},
	} {
		var out strings.Builder
		m := monitor[fdbRow]{out: &out, flags: &c.flags, seen: map[string]fdbRow{}}
		for _, s := range steps {
			if err := m.show(s); err != nil {
				t.Fatal(err)
			}
			out.WriteString("--\n")
		}
		if diff := cmp.Diff(c.want, out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestAJournalRemembersWhenARevisionCameIntoForce(t *testing.T) {
	var j journal
	at := func(rev int64) time.Time { return time.Unix(1000+rev, 0) }
	if got := j.since(1); !got.IsZero() {
		t.Errorf("before the first: got %v", got)
	}
	for _, rev := range []int64{10, 10, 20, 40} {
		j.add(rev, at(rev))
	}
	for rev, want := range map[int64]int64{1: 10, 10: 10, 11: 20, 20: 20, 21: 40, 40: 40} {
		if got := j.since(rev); !got.Equal(at(want)) {
			t.Errorf("revision %d: got %v, want %v", rev, got, at(want))
		}
	}
	j.add(5, at(50)) // etcd from a backup
	if got := j.since(2); !got.Equal(at(50)) || len(j.moments) != 1 {
		t.Errorf("after etcd went back: got %v of %d moments", got, len(j.moments))
	}
	for rev := int64(6); rev < 10*journalLen; rev++ {
		j.add(rev, at(rev))
	}
	if n := len(j.moments); n > journalLen || j.moments[0].rev != 5 {
		t.Errorf("got %d moments from revision %d on, want %d at most from 5", n, j.moments[0].rev, journalLen)
	}
	const late = 10*journalLen - journalLen/4
	if got := j.since(late); !got.Equal(at(late)) {
		t.Errorf("of late: got %v, want %v", got, at(late))
	}
}
