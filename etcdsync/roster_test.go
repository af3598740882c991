package etcdsync

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/uvtep/uvtep/encap/ether"
)

// village is two hosts with their rosters and intakes, on one history of etcd:
// host A (192.0.2.1) and host B (192.0.2.2). Its clock is its own.
type village struct {
	testing.TB
	h    *history
	now  time.Time
	logs strings.Builder
	a, b *villager
}

type villager struct {
	*village
	*roster
	node string
	in   *intake
	keys map[ether.Addr]string
}

func newVillage(t testing.TB) *village {
	v := &village{TB: t, h: &history{keys: make(map[string]*mvccpb.KeyValue)}, now: time.Unix(1e9, 0)}
	v.a = v.villager(nodeA, "192.0.2.1", mac(1))
	v.b = v.villager(nodeB, "192.0.2.2", mac(2))
	v.put(hostKey(nodeA), hostOf("192.0.2.1"))
	v.put(hostKey(nodeB), hostOf("192.0.2.2"))
	v.spread()
	return v
}

func (v *village) villager(node, ip string, m ether.Addr) *villager {
	c := testConfig()
	c.NodeID, c.Own, c.MAC = node, []netip.Addr{addr(ip)}, m
	log := zerolog.New(&v.logs)
	return &villager{village: v, roster: newRoster(1, m, log), node: node, in: newIntake(c, zerolog.Nop()), keys: make(map[ether.Addr]string)}
}

func (v *village) put(name, value string) {
	kv := v.h.put(name, value)
	v.a.in.put(name, kv)
	v.b.in.put(name, kv)
}

func (v *village) del(name string) {
	v.h.del(name)
	v.a.in.drop(name, v.h.rev)
	v.b.in.drop(name, v.h.rev)
}

// spread hands the tables to both hosts.
func (v *village) spread() {
	for _, h := range []*villager{v.a, v.b} {
		h.hear(h.in.board.tables(v.h.rev, h.in.network), v.now)
	}
}

// write writes what a host has to announce.
func (h *villager) write() {
	for m := range h.dirty {
		key := endpointsDir(h.node, 1) + m.String()
		value, ok := h.value(m)
		switch {
		case ok:
			value.since = time.Time{}
			b, err := value.marshal()
			if err != nil {
				h.Fatal(err)
			}
			h.put(key, string(b))
			h.keys[m], h.stations[m].rev = string(b), h.h.rev
		case h.keys[m] != "":
			h.del(key)
			delete(h.keys, m)
		}
	}
	clear(h.dirty)
}

// sees is a sighting, written and heard of everywhere.
func (h *villager) sees(m ether.Addr, ips ...string) {
	h.see(m, netip.Addr{}, h.now)
	for _, ip := range ips {
		h.see(m, addr(ip), h.now)
	}
	h.settle()
}

// settle lets everything be written and heard of.
func (v *village) settle() {
	for range 3 {
		v.a.write()
		v.b.write()
		v.spread()
	}
}

func (h *villager) wants(m ether.Addr, want string) {
	h.Helper()
	if got := h.keys[m]; got != want {
		h.Errorf("%s announces of %s: got %s, want %s", h.node[:4], m, got, want)
	}
}

// said returns how often a text was logged since the last call.
func (v *village) said(text string) int {
	n := strings.Count(v.logs.String(), text)
	v.logs.Reset()
	return n
}

func TestAStationIsAnnouncedWithItsAddresses(t *testing.T) {
	v := newVillage(t)
	v.a.sees(mac(7))
	v.a.wants(mac(7), `{"IPs":[],"Seq":0,"Schema":1}`)
	v.a.sees(mac(7), "10.10.9.7", "fd00::7")
	v.a.wants(mac(7), `{"IPs":["10.10.9.7","fd00::7"],"Seq":0,"Schema":1}`)
	w := &world{TB: t, h: v.h, in: v.b.in}
	w.wantEntry(v.b.tables, 1, mac(7), "192.0.2.1:4789")
	w.wantBinding(v.b.tables, 1, "10.10.9.7", mac(7))
	w.wantBinding(v.b.tables, 1, "fd00::7", mac(7))
}

func TestWhoIsNotAnnounced(t *testing.T) {
	for _, c := range []struct {
		name  string
		setup func(*village)
		mac   ether.Addr
		alarm bool
	}{
		{"the TAP itself", func(*village) {}, mac(1), false},
		{"a group", func(*village) {}, ether.Addr{1, 0, 0x5e, 0, 0, 1}, false},
		{"nobody", func(*village) {}, ether.Addr{}, false},
		{"another host's VTEP", func(v *village) { v.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2))) }, mac(2), true},
		{"who is elsewhere by an operator's word", func(v *village) { v.put(staticKey(1, mac(7)), `{"IPs":[],"VTEP":"192.0.2.2"}`) }, mac(7), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newVillage(t)
			c.setup(v)
			v.spread()
			before := v.h.rev
			for range 3 {
				v.a.sees(c.mac, "10.10.9.7")
			}
			if v.h.rev != before {
				t.Errorf("%d writes to etcd, want none", v.h.rev-before)
			}
			if got := v.said("bound to another host"); got != map[bool]int{true: 1}[c.alarm] {
				t.Errorf("alarms: got %d, want %v", got, c.alarm)
			}
		})
	}
}

func TestAnOperatorsWordThatComesLaterWithdrawsAStation(t *testing.T) {
	v := newVillage(t)
	v.a.sees(mac(7))
	v.put(staticKey(1, mac(7)), `{"IPs":[],"VTEP":"192.0.2.2"}`)
	v.spread()
	v.settle()
	v.a.wants(mac(7), "")
	if n := v.said("bound to another host"); n != 1 {
		t.Errorf("alarms: got %d, want 1", n)
	}
}

func TestAHostsOrAnOperatorsAddressIsNoStations(t *testing.T) {
	v := newVillage(t)
	v.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	v.put(staticKey(1, mac(8)), `{"IPs":["10.10.9.8"],"VTEP":"192.0.2.2"}`)
	v.spread()
	v.a.sees(mac(7), "10.10.2.0", "10.10.9.8", "10.10.9.7")
	v.a.wants(mac(7), `{"IPs":["10.10.9.7"],"Seq":0,"Schema":1}`)
}

// A bridge above the TAP answers for the TAP's address, with its own MAC address.
func TestThisHostsOwnAddressIsNoStations(t *testing.T) {
	v := newVillage(t)
	v.a.adopt(mac(8), endpointValue{ips: []netip.Addr{addr("10.10.4.0")}}, v.now)
	v.a.lease(subnets{prefix("10.10.1.0/24"), prefix("fd00:10:0:1::/64")})
	v.a.sees(mac(7), "10.10.1.0", "10.10.1.9", "fd00:10:0:1::")
	v.a.wants(mac(7), `{"IPs":["10.10.1.9"],"Seq":0,"Schema":1}`)
	v.a.lease(subnets{v4: prefix("10.10.4.0/24")}) // another one now
	v.a.sees(mac(8))
	v.a.wants(mac(8), `{"IPs":[],"Seq":0,"Schema":1}`)
	v.a.adopt(mac(9), endpointValue{ips: []netip.Addr{addr("10.10.4.0"), addr("10.10.4.9")}}, v.now)
	if got, _ := v.a.value(mac(9)); !slices.Equal(got.ips, []netip.Addr{addr("10.10.4.9")}) {
		t.Errorf("of an earlier run: got %v", got.ips)
	}
	v.a.sees(mac(7), "10.10.1.0")
	v.a.wants(mac(7), `{"IPs":["10.10.1.0","10.10.1.9"],"Seq":0,"Schema":1}`)
}

func TestAStationMoves(t *testing.T) {
	v := newVillage(t)
	v.a.sees(mac(7), "10.10.9.7")
	v.b.sees(mac(7), "10.10.9.7")
	v.a.wants(mac(7), "")
	v.b.wants(mac(7), `{"IPs":["10.10.9.7"],"Seq":1,"Schema":1}`)
	if !v.a.lost {
		t.Error("the old host does not look for the station again")
	}
	w := &world{TB: t, h: v.h, in: v.a.in}
	w.wantEntry(v.a.tables, 1, mac(7), "192.0.2.2:4789")
	v.a.sees(mac(7))
	v.b.wants(mac(7), "")
	v.a.wants(mac(7), `{"IPs":[],"Seq":2,"Schema":1}`)
}

// The highest Seq there is, which only a fault or an attack writes, pins a
// station to nowhere.
func TestAStationMovesOnFromTheHighestSeq(t *testing.T) {
	v := newVillage(t)
	highest := `{"IPs":[],"Seq":18446744073709551615,"Schema":1}`
	v.put(endpointsDir(nodeA, 1)+mac(7).String(), highest)
	v.spread()
	v.b.sees(mac(7))
	v.b.wants(mac(7), highest)
	(&world{TB: t, h: v.h, in: v.a.in}).wantEntry(v.a.tables, 1, mac(7), "192.0.2.2:4789")
}

// What a host wrote before it saw a newer word is not taken for the loss of
// what it has written since.
func TestTablesThatAreOlderThanAnAnnouncementTakeNothingAway(t *testing.T) {
	v := newVillage(t)
	v.a.sees(mac(7))
	old := v.b.tables
	v.b.see(mac(7), netip.Addr{}, v.now)
	v.b.hear(old, v.now) // before it is written
	v.b.write()
	v.b.hear(old, v.now) // before etcd told of it
	v.settle()
	v.b.wants(mac(7), `{"IPs":[],"Seq":1,"Schema":1}`)
}

func TestTwoHostsThatSeeAStationFirstAtTheSameTimeLeaveItToTheNextFrame(t *testing.T) {
	v := newVillage(t)
	v.a.see(mac(7), netip.Addr{}, v.now)
	v.b.see(mac(7), netip.Addr{}, v.now)
	v.settle()
	if a, b := v.a.keys[mac(7)] != "", v.b.keys[mac(7)] != ""; a == b {
		t.Fatalf("announced by A: %v, by B: %v; want one of them", a, b)
	}
	v.a.sees(mac(7))
	v.a.wants(mac(7), v.a.keys[mac(7)])
	if v.a.keys[mac(7)] == "" || v.b.keys[mac(7)] != "" {
		t.Errorf("got A %q, B %q; want A alone", v.a.keys[mac(7)], v.b.keys[mac(7)])
	}
}

func TestAStationOnTwoHostsIsFrozenAndToldOfOnce(t *testing.T) {
	v := newVillage(t)
	for i := range 20 {
		v.now = v.now.Add(time.Second)
		[]*villager{v.a, v.b}[i%2].sees(mac(7))
	}
	logs := v.logs.String()
	if n := v.said("one MAC address is on two hosts"); n != 1 || !strings.Contains(logs, `"hosts":["this host","192.0.2.`) {
		t.Errorf("told of %d times, want once and with both hosts:\n%s", n, logs)
	}
	// The sixth move did not happen.
	v.b.wants(mac(7), `{"IPs":[],"Seq":5,"Schema":1}`)
	v.a.wants(mac(7), "")
	v.now = v.now.Add(holdDown - 20*time.Second)
	v.a.sees(mac(7))
	v.a.wants(mac(7), "")
	v.now = v.now.Add(20 * time.Second)
	v.a.sees(mac(7))
	v.a.wants(mac(7), `{"IPs":[],"Seq":6,"Schema":1}`)
}

func TestMovesThatAreFarApartAreNoFault(t *testing.T) {
	v := newVillage(t)
	for i := range 30 {
		v.now = v.now.Add(moveSpan / maxMoves)
		[]*villager{v.a, v.b}[i%2].sees(mac(7))
	}
	if n := v.said("on two hosts"); n != 0 {
		t.Errorf("told of %d times", n)
	}
	v.b.wants(mac(7), `{"IPs":[],"Seq":29,"Schema":1}`)
}

func TestAnAddressGoesToTheStationThatSaidSoLast(t *testing.T) {
	v := newVillage(t)
	v.a.sees(mac(7), "10.10.9.7")
	v.a.sees(mac(8), "10.10.9.7")
	v.a.wants(mac(7), `{"IPs":[],"Seq":0,"Schema":1}`)
	v.a.wants(mac(8), `{"IPs":["10.10.9.7"],"Seq":0,"Schema":1}`)
	v.said("")
	for range 10 {
		v.a.sees(mac(7), "10.10.9.7")
		v.a.sees(mac(8), "10.10.9.7")
	}
	if n := v.said("one IP address is on two stations"); n != 1 {
		t.Errorf("told of %d times, want once", n)
	}
}

// One message of a station that was announced before another does not take that
// one's address away. When nobody has it any more the next one gets it.
func TestAnAddressStaysWithTheStationThatHadItFirst(t *testing.T) {
	v := newVillage(t)
	v.b.sees(mac(8))
	v.a.sees(mac(7), "10.10.9.7")
	for range 3 {
		v.b.sees(mac(8), "10.10.9.7", "10.10.9.8")
	}
	v.b.wants(mac(8), `{"IPs":["10.10.9.8"],"Seq":0,"Schema":1}`)
	(&world{TB: t, h: v.h, in: v.b.in}).wantBinding(v.b.tables, 1, "10.10.9.7", mac(7))
	(&world{TB: t, h: v.h, in: v.a.in}).wantBinding(v.a.tables, 1, "10.10.9.7", ether.Addr{})
	if n := v.said("an IP address of another host's station"); n != 1 {
		t.Errorf("told of %d times, want once", n)
	}
	v.a.remove(mac(7))
	v.settle()
	v.b.wants(mac(8), `{"IPs":["10.10.9.7","10.10.9.8"],"Seq":0,"Schema":1}`)
	v.a.sees(mac(7), "10.10.9.7")
	v.a.wants(mac(7), `{"IPs":[],"Seq":0,"Schema":1}`)
}

func TestThereIsAnEndToWhatIsAnnounced(t *testing.T) {
	v := newVillage(t)
	for i := range maxResidents + 10 {
		v.a.see(ether.Addr{2, 1, 0, 0, byte(i >> 8), byte(i)}, netip.Addr{}, v.now)
	}
	if n := len(v.a.stations); n != maxResidents {
		t.Errorf("got %d stations, want %d", n, maxResidents)
	}
	if n := v.said("too many stations"); n != 1 {
		t.Errorf("told of %d times, want once", n)
	}
	m := ether.Addr{2, 1}
	for i := range maxResidentIPs + 10 {
		v.a.see(m, addr(fmt.Sprintf("10.10.9.%d", i+1)), v.now)
	}
	if n := len(v.a.stations[m].ips); n != maxResidentIPs {
		t.Errorf("got %d addresses, want %d", n, maxResidentIPs)
	}
	if n := v.said("too many IP addresses"); n != 1 {
		t.Errorf("told of %d times, want once", n)
	}
	v.now = v.now.Add(defaultMaxAge)
	v.a.age(v.now)
	if len(v.a.stations) != 0 || len(v.a.owners) != 0 {
		t.Errorf("left over: %d stations, %d addresses", len(v.a.stations), len(v.a.owners))
	}
}

func TestASilentStationIsAskedAndThenForgotten(t *testing.T) {
	v := newVillage(t)
	v.a.sees(mac(7), "10.10.9.7", "fd00::7")
	v.a.sees(mac(8))
	start := v.now
	asked := map[string]int{}
	step := func(until time.Duration) {
		for v.now.Sub(start) < until {
			v.now = v.now.Add(time.Second)
			for _, q := range v.a.age(v.now) {
				asked[q.mac.String()+" "+q.ip.String()]++
			}
			v.settle()
		}
	}
	step(224 * time.Second)
	if len(asked) != 0 {
		t.Errorf("asked too early: %v", asked)
	}
	step(250 * time.Second)
	v.a.sees(mac(7), "10.10.9.7") // answers for one of its addresses
	step(301 * time.Second)
	v.a.wants(mac(7), `{"IPs":["10.10.9.7"],"Seq":0,"Schema":1}`)
	v.a.wants(mac(8), "")
	if n := asked[mac(7).String()+" fd00::7"]; n != 4 {
		t.Errorf("asked for fd00::7 %d times, want 4: %v", n, asked)
	}
	step(551 * time.Second)
	v.a.wants(mac(7), "")
	(&world{TB: t, h: v.h, in: v.b.in}).wantEntry(v.b.tables, 1, mac(7), "")
}

// Those of an earlier run are all silent for the same time.
func TestManySilentStationsAreAskedOneAfterAnother(t *testing.T) {
	v := newVillage(t)
	for i := range maxResidents {
		m := ether.Addr{2, 1, 0, 0, byte(i >> 8), byte(i)}
		v.a.adopt(m, endpointValue{ips: []netip.Addr{netip.AddrFrom4([4]byte{10, 20, m[4], m[5]})}}, v.now)
	}
	v.now = v.now.Add(time.Duration(askAt * float64(defaultMaxAge)))
	asked := map[ether.Addr]int{}
	for range 20 {
		ask := v.a.age(v.now)
		if len(ask) > maxAsks {
			t.Fatalf("asked %d at once, want %d at most", len(ask), maxAsks)
		}
		for _, q := range ask {
			asked[q.mac]++
		}
		v.now = v.now.Add(ageEvery)
	}
	if len(asked) != maxResidents {
		t.Errorf("asked %d stations, want %d", len(asked), maxResidents)
	}
}

func TestAnEarlierRunsStationsAreTakenOver(t *testing.T) {
	v := newVillage(t)
	v.a.adopt(mac(7), endpointValue{ips: []netip.Addr{addr("10.10.9.8"), addr("10.10.9.7")}, seq: 3}, v.now)
	v.a.adopt(mac(8), endpointValue{ips: []netip.Addr{addr("10.10.9.7")}, seq: 3}, v.now)
	got, _ := v.a.value(mac(7))
	if want := []netip.Addr{addr("10.10.9.7"), addr("10.10.9.8")}; !slices.Equal(got.ips, want) || got.seq != 3 {
		t.Errorf("got %v, want %v with 3 moves", got, want)
	}
	if got, _ := v.a.value(mac(8)); len(got.ips) != 0 {
		t.Errorf("an address of two stations: got %v", got)
	}
	v.now = v.now.Add(defaultMaxAge)
	v.a.age(v.now)
	if _, ok := v.a.value(mac(7)); ok {
		t.Error("it is announced although nothing was seen of it")
	}
}

func TestNothingIsAnnouncedBeforeTheTablesAreKnown(t *testing.T) {
	r := newRoster(1, mac(1), zerolog.Nop())
	r.see(mac(7), netip.Addr{}, time.Unix(1e9, 0))
	if len(r.stations) != 0 {
		t.Error("a station was taken in, and nobody knows whose it is")
	}
}
