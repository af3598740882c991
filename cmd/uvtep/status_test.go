package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/fdb"
	"github.com/uvtep/uvtep/internal/ledger"
	"github.com/uvtep/uvtep/internal/snapmap"
	vswitch "github.com/uvtep/uvtep/switch"
)

// someStatus is the status of a host in good order.
func someStatus() statusView {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	return statusView{
		Version: "1.2", Since: now.Add(-26 * time.Hour), NodeID: "0123456789abcdef0123456789abcdef",
		Underlay: underlayStatus{Ifname: "eth0", MTU: 1500, Local: "192.0.2.1", PublicIP: "192.0.2.1", Usable: true},
		Etcd:     etcdStatus{Endpoints: []string{"http://192.0.2.9:2379"}, Connected: true, Revision: 17, Heard: &now, LagSeconds: new(0.42)},
		Networks: []networkStatus{{
			Ifname: "uvtep.1", MAC: "8a:2a:89:4d:b0:31", MTU: 1450, VNI: 1, Port: 4789, Network: "10.10.0.0/16", Joined: true, Subnet: "10.10.1.0/24",
			SubnetSeconds: new(int64(86340)), LivenessSeconds: new(int64(27)), Revision: 12, PeerCount: 1, VTEPs: 2, Stations: 1, Bindings: 1, Routes: 1,
			Peers: []peerStatus{{VTEP: netip.MustParseAddrPort("192.0.2.2:4789")}}, Offload: offloadView{Wish: "auto", Active: true}, Features: []string{"tso", "udp_gro"},
		}},
		Rates: ratesView{
			Seconds: 5, Out: rate{12345, 98_700_000}, In: rate{1, 64}, Answered: 0.4, Dropped: 3.2,
			Drops: map[string]rate{"DropMulticast": {0.2, 9}, "DropUnknownVTEP": {3, 200}},
		},
	}
}

func TestAStatusIsOneScreen(t *testing.T) {
	v := someStatus()
	v.Warnings = []string{"something; do something"}
	var b strings.Builder
	if err := printStatus(&b, v, v.Since.Add(26*time.Hour), false, false); err != nil {
		t.Fatal(err)
	}
	const want = `uvtep 1.2, up 1d2h
  node       0123456789abcdef0123456789abcdef
  underlay   eth0, 192.0.2.1, mtu 1500
  etcd       connected, heard up to revision 17, 0.4s ago; http://192.0.2.9:2379
uvtep.1
  network    10.10.0.0/16, vni 1, port 4789
  tap        8a:2a:89:4d:b0:31, mtu 1450
  subnet     10.10.1.0/24, leased for 23h59m; host record for 27s
  tables     revision 12: 1 station, 1 binding, 1 route
  peers      1 host with a subnet, 2 VTEPs: 192.0.2.2
  offload    auto: on
  features   tso udp_gro
last 5s
  out        12.3k frames/s, 98.7MB/s
  in         1 frames/s, 64B/s
  answered   0.4/s
  dropped    3.2/s: DropUnknownVTEP 3/s, DropMulticast 0.2/s
WARNING: something; do something
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	var coloured strings.Builder
	if err := printStatus(&coloured, v, v.Since.Add(26*time.Hour), false, true); err != nil || coloured.String() != strings.Replace(want, "WARNING:", red("WARNING:"), 1) {
		t.Errorf("in colours: %v, got\n%q", err, coloured.String())
	}
	if n := strings.Count(b.String(), "\n"); n > 24 {
		t.Errorf("%d lines: more than a screen", n)
	}
}

func TestAStatusListsThePeersWhereThatIsAskedFor(t *testing.T) {
	v := someStatus()
	now := v.Since.Add(26 * time.Hour)
	n := &v.Networks[0]
	n.PeerCount = 3
	n.Peers = []peerStatus{
		{VTEP: netip.MustParseAddrPort("192.0.2.2:4789"), Subnet: "10.10.2.0/24", Since: new(now.Add(-time.Hour)), Traffic: &trafficView{verdictView{3, 300}, verdictView{4, 4000}}},
		{VTEP: netip.MustParseAddrPort("192.0.2.30:8472"), Subnet6: "2001:db8:3::/64"},
	}
	var b strings.Builder
	if err := printStatus(&b, v, now, true, false); err != nil {
		t.Fatal(err)
	}
	const want = `  features   tso udp_gro
        peer           subnet   age  frames out  bytes out  frames in  bytes in
   192.0.2.2     10.10.2.0/24  1h0m           3        300          4      4000
  192.0.2.30  2001:db8:3::/64     -           -          -          -         -
  and 1 more host
last 5s
`
	if !strings.Contains(b.String(), want) {
		t.Errorf("printed\n%s\nwithout\n%s", b.String(), want)
	}
	b.Reset()
	n.Peers, n.PeerCount = nil, 0
	if err := printStatus(&b, v, now, true, false); err != nil || strings.Contains(b.String(), "bytes out") {
		t.Errorf("without peers: %v, printed\n%s", err, b.String())
	}
}

// Peers come in the order of their addresses, each with what went to and came from
// it, and with since when it is as it is.
func TestPeersOfAStatus(t *testing.T) {
	tables := someTables(false)
	peers := tables.Peers.Edit()
	node := strings.Repeat("0", 31)
	for i := range maxPeers { // in the reverse order of their addresses
		a := netip.AddrFrom4([4]byte{172, 21, 51, byte(200 - i)})
		peers.Set("subnets/"+a.String(), &etcdsync.Peer{Rev: 99, NodeID: node + "a", Subnet6: netip.MustParsePrefix("fd00::/64"), VTEP: &fdb.VTEP{To: netip.AddrPortFrom(a, 4789)}})
	}
	tables.Peers = peers.Map()
	p := &plane{tables: tables}
	p.journal.add(5, time.Unix(1000, 0))
	near := netip.MustParseAddr("172.21.51.68")
	for _, l := range []*ledger.Ledger{&p.sent, &p.heard} {
		b := l.Open()
		b.Add(near, 2, 300)
		b.Add(netip.MustParseAddr("172.21.51.1"), 9, 900)
		l.Close(b)
	}
	b := p.heard.Open()
	b.Add(near, 1, 60)
	p.heard.Close(b)

	got := p.peerStatuses()
	if len(got) != maxPeers {
		t.Fatalf("%d peers, want %d of %d", len(got), maxPeers, tables.Peers.Len())
	}
	want := peerStatus{VTEP: netip.AddrPortFrom(near, 4789), Subnet: "10.5.10.0/24", Since: new(time.Unix(1000, 0)), Traffic: &trafficView{verdictView{2, 300}, verdictView{3, 360}}}
	if diff := cmp.Diff(want, got[0], cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("the first (-want +got):\n%s", diff)
	}
	want = peerStatus{VTEP: netip.MustParseAddrPort("172.21.51.101:4789"), Subnet6: "fd00::/64", NodeID: node + "a", Traffic: new(trafficView)}
	if diff := cmp.Diff(want, got[1], cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
		t.Errorf("the second, which came later than all that is in force (-want +got):\n%s", diff)
	}
	crowd := p.sent.Open()
	for i := range 2 * ledger.Room {
		crowd.Add(netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), 1, 60)
	}
	p.sent.Close(crowd)
	if got := p.peerStatuses()[1]; got.Traffic != nil {
		t.Errorf("one that is not told apart from others has the traffic %v", got.Traffic)
	}
}

func TestAStatusTellsOfTrouble(t *testing.T) {
	v := someStatus()
	since := time.Date(2026, 1, 2, 15, 0, 0, 0, time.UTC)
	v.Etcd.Connected, v.Etcd.AwaySince = false, &since
	if got, want := v.Etcd.String(), "away since 15:00:00, heard up to revision 17; http://192.0.2.9:2379"; got != want {
		t.Errorf("etcd: got %q, want %q", got, want)
	}
	v.Etcd.Heard = nil
	if got, want := v.Etcd.String(), "not heard yet; http://192.0.2.9:2379"; got != want {
		t.Errorf("etcd: got %q, want %q", got, want)
	}
	n := &v.Networks[0]
	n.Reservation, n.SubnetSeconds = true, nil
	if got, want := n.tenure(), "10.10.1.0/24, a reservation; host record for 27s"; got != want {
		t.Errorf("subnet: got %q, want %q", got, want)
	}
	n.Joined = false
	if got := n.tenure(); got != "none yet" {
		t.Errorf("subnet: got %q", got)
	}
	u := v.Underlay
	u.PublicIP, u.Usable = "198.51.100.7", false
	if got, want := u.String(), "eth0, 192.0.2.1, mtu 1500, known to others as 198.51.100.7, not usable now"; got != want {
		t.Errorf("underlay: got %q, want %q", got, want)
	}
}

// What an agent of several networks tells is of all of them.
func TestAStatusOfSeveralNetworks(t *testing.T) {
	for _, order := range []string{"the older first", "the newer first"} {
		t.Run(order, func(t *testing.T) {
			older, newer := someStatus(), someStatus()
			older.Since = newer.Since.Add(-time.Hour)
			older.Etcd.Revision = 12
			older.Networks[0].Name, newer.Networks[0].Name = "blue", "red"
			older.Warnings, newer.Warnings = []string{"one", "both"}, []string{"both", "other"}
			v, o := older, newer
			if order == "the newer first" {
				v, o = newer, older
			}
			since, answered := older.Since, older.Rates.Answered+newer.Rates.Answered
			v.join(o)
			slices.Sort(v.Warnings)
			if v.Since != since || v.Etcd.Revision != 12 || len(v.Networks) != 2 || !slices.Equal(v.Warnings, []string{"both", "one", "other"}) {
				t.Errorf("since %s, revision %d, %d networks, warnings %q", v.Since, v.Etcd.Revision, len(v.Networks), v.Warnings)
			}
			if v.Rates.Answered != answered || v.Rates.Out.Frames != 2*12345 {
				t.Errorf("rates %+v", v.Rates)
			}
		})
	}
	mute, heard := someStatus(), someStatus()
	mute.Etcd.Heard = nil
	heard.join(mute)
	if heard.Etcd.Heard == nil {
		t.Error("a network that has not heard of etcd stands for one that has")
	}
	mute.join(heard)
	if mute.Etcd.Heard == nil {
		t.Error("a network that has heard of etcd does not stand for one that has not")
	}
}

func TestNumbersAreWrittenShort(t *testing.T) {
	for n, want := range map[float64]string{0: "0", 0.25: "0.2", 9: "9", 99.96: "100.0", 999: "999", 1000: "1k", 12345: "12.3k", 123456: "123k", 98.7e6: "98.7M", 2e15: "2000T"} {
		if got := count(n); got != want {
			t.Errorf("%v: got %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-1: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m1s", 2*time.Hour + 5*time.Minute + time.Second: "2h5m", 50 * time.Hour: "2d2h"} {
		if got := roughly(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

// at is a sample with some counts, seconds after the first.
func at(seconds int, frames map[vswitch.Verdict]uint64) sample {
	r := sample{at: time.Unix(1000+int64(seconds), 0)}
	for v, n := range frames {
		r.stats.Frames[v], r.stats.Bytes[v] = n, 100*n
	}
	return r
}

func TestRatesAreThoseBetweenTwoReadings(t *testing.T) {
	was := at(0, map[vswitch.Verdict]uint64{vswitch.Forward: 10, vswitch.DropTooBig: 7})
	now := at(5, map[vswitch.Verdict]uint64{vswitch.Forward: 20, vswitch.Replicate: 5, vswitch.Deliver: 50, vswitch.Answer: 1, vswitch.Echoed: 30, vswitch.DropTooBig: 17})
	want := ratesView{Seconds: 5, Out: rate{3, 300}, In: rate{10, 1000}, Answered: 0.2, Dropped: 2, Drops: map[string]rate{"DropTooBig": {2, 200}}}
	if diff := cmp.Diff(want, rates(was, now)); diff != "" {
		t.Errorf("rates (-want +got):\n%s", diff)
	}
	// An agent that has just begun has nothing to compare with.
	if got := rates(now, now); got.Dropped != 0 || got.Out.Frames != 0 {
		t.Errorf("got %+v", got)
	}
}

func TestOnlyTheLastReadingsAreKept(t *testing.T) {
	var s samples
	if got := s.oldest(at(9, nil)); got.at != at(9, nil).at {
		t.Errorf("before the first: got %v", got.at)
	}
	for i := range 3 * samplesKept {
		s.add(at(i, nil))
	}
	if got, want := s.oldest(at(99, nil)), at(2*samplesKept, nil); got.at != want.at || len(s.kept) != samplesKept {
		t.Errorf("got %v of %d, want %v of %d", got.at, len(s.kept), want.at, samplesKept)
	}
}

func TestDropsOfNoteAreWarnedOf(t *testing.T) {
	was, now := at(0, nil), at(5, map[vswitch.Verdict]uint64{vswitch.DropMulticast: 9, vswitch.DropSpoofed: 2})
	now.stats.Extra[vswitch.ReadLost] = 3
	now.under = underlay.Stats{Overrun: 4}
	w := warner{}
	w.losses(meanwhile{was, now})
	want := []string{"DropSpoofed: 2 in 5s", "ReadLost: 3 in 5s", "overrun: 4 datagrams in 5s"}
	if len(w.out) != len(want) {
		t.Fatalf("got %q, want %q", w.out, want)
	}
	for i := range want {
		if !strings.HasPrefix(w.out[i], want[i]) {
			t.Errorf("got %q, want it to begin with %q", w.out[i], want[i])
		}
	}
}

// Hosts that run flannel have no record in etcd; of uvtep's one without is silent.
func TestSilentAgentsAreWarnedOf(t *testing.T) {
	tables := someTables(false) // of a host of flannel's
	peers, hosts := tables.Peers.Edit(), snapmap.New[string, *etcdsync.Peer](func(string, uint64) uint64 { return 0 }).Edit()
	p := &plane{tables: tables}
	warned := func() []string {
		tables.Peers, tables.Hosts = peers.Map(), hosts.Map()
		w := warner{}
		p.warnOfSilent(&w, "uvtep.1")
		return w.out
	}
	add := func(i int, alive bool) {
		node := fmt.Sprintf("%032x", i)
		h := &etcdsync.Peer{NodeID: node, Subnet: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 9, byte(i), 0}), 24)}
		if peers.Set(h.Subnet.String(), h); alive {
			hosts.Set(node, h)
		}
	}
	add(1, true)
	if got := warned(); len(got) != 0 {
		t.Errorf("all are heard of: got %q", got)
	}
	add(2, false)
	if got := warned(); len(got) != 1 || !strings.Contains(got[0], "uvtep.1: the agent of 1 host that a subnet is leased to is silent: 10.9.2.0/24; ") {
		t.Errorf("one: got %q", got)
	}
	for i := range 4 {
		add(3+i, false)
	}
	if got := warned(); len(got) != 1 || !strings.Contains(got[0], "of 5 hosts ") || !strings.Contains(got[0], ", …; ") || strings.Count(got[0], "/24") != namedPeers {
		t.Errorf("five: got %q", got)
	}
}

func TestWhatSomebodySwitchedOffIsNoWarning(t *testing.T) {
	v := richLink()
	v.Features["tso"] = featureView{Reason: "it needs vnet_hdr"}
	v.Features["real_time"] = featureView{} // not needed now
	v.RecvBuffer = bufferView{4194304, 212992, "operation not permitted"}
	w := warner{}
	w.refused(v)
	want := []string{"tso is not in use: it needs vnet_hdr", "recv_buffer has 212992 of 4194304 bytes: operation not permitted"}
	if diff := cmp.Diff(want, w.out); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	v.Offload.Wish, v.RecvBuffer = offloadOff, richLink().RecvBuffer
	w = warner{}
	if w.refused(v); len(w.out) != 0 {
		t.Errorf("switched off: got %q", w.out)
	}
}
