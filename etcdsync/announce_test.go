package etcdsync

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/uvtep/uvtep/encap/ether"
)

// bridge is what the stations of a test do.
type bridge struct {
	mu      sync.Mutex
	present []sighting // told of once more when asked for
	seen    []sighting // not drained yet
	again   int
	asked   []question
}

type sighting struct {
	mac ether.Addr
	ip  netip.Addr
}

func (b *bridge) see(mac ether.Addr, ip string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := sighting{mac: mac}
	if ip != "" {
		s.ip = addr(ip)
	}
	b.seen, b.present = append(b.seen, s), append(b.present, s)
}

// leave has all stations leave.
func (b *bridge) leave() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.present = nil
}

func (b *bridge) Drain(see func(ether.Addr, netip.Addr)) {
	b.mu.Lock()
	all := b.seen
	b.seen = nil
	b.mu.Unlock()
	for _, s := range all {
		see(s.mac, s.ip)
	}
}

func (b *bridge) Again() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.again++
	b.seen = append(b.seen, b.present...)
}

func (b *bridge) Ask(ip netip.Addr, mac ether.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, question{ip, mac})
}

// announcing is a registered host with stations on its bridge, that follows etcd.
type announcing struct {
	*registered
	*bridge
	stop func()
}

func (e *testEtcd) announce(c Claim, maxAge time.Duration) *announcing {
	e.Helper()
	a := &announcing{registered: e.register(c), bridge: new(bridge)}
	a.stop = a.start(a.bridge, maxAge)
	return a
}

// start runs Endpoints on what Follow tells.
func (a *announcing) start(s Stations, maxAge time.Duration) (stop func()) {
	out := NewEndpoints(a.Registration, s, maxAge)
	stopFollow := a.run(func(ctx context.Context) error {
		return a.Registration.store.Follow(ctx, FollowConfig{
			Network: a.claim.Network, NodeID: a.claim.NodeID, Own: []netip.Addr{a.claim.PublicIP}, MAC: a.claim.MAC, Publish: out.Hear,
		})
	})
	stopRun := a.run(out.Run)
	return func() { stopRun(); stopFollow() }
}

func (a *announcing) dir() string { return endpointsDir(a.claim.NodeID, 1) }

// until waits for the host to announce exactly these, as "mac ip ip seq".
func (a *announcing) until(want ...string) {
	a.Helper()
	var got []string
	defer func() {
		if a.Failed() {
			a.Logf("announced last: %q", got)
		}
	}()
	_, host := a.value(hostKey(a.claim.NodeID))
	a.eventually(strings.Join(want, ", ")+" to be announced", func() bool {
		got = nil
		for _, name := range a.names(a.dir()) {
			text, id := a.value(a.dir() + name)
			if text == "" || id != host {
				continue
			}
			v, err := parseEndpoint([]byte(text))
			if err != nil || id == 0 || v.since.IsZero() {
				a.Fatalf("%s: %s on lease %d: %v", name, text, id, err)
			}
			line := name
			for _, ip := range v.ips {
				line += " " + ip.String()
			}
			got = append(got, line)
		}
		return slices.Equal(got, want)
	})
}

func TestStationsAreInEtcdForAsLongAsTheirHostIsAlive(t *testing.T) {
	e := startEtcd(t)
	a := e.announce(claim(1), 0)
	a.see(mac(7), a.Subnet().Addr().String()) // this host's own: no station's
	a.see(mac(7), "10.10.9.7")
	a.see(mac(8), "")
	a.until("02:00:00:00:00:07 10.10.9.7", "02:00:00:00:00:08")
	_, id := e.value(a.dir() + mac(7).String())
	if _, want := e.value(hostKey(a.claim.NodeID)); id != want {
		t.Errorf("bound to lease %x, want the host record's, %x", id, want)
	}
	for _, c := range []struct {
		name   string
		breaks func()
	}{
		{"the liveness lease is lost", func() { a.revoke(hostKey(a.claim.NodeID)) }},
		{"somebody deletes a key", func() { e.del(a.dir() + mac(7).String()) }},
		{"somebody deletes all", func() { e.del(a.dir(), clientv3.WithPrefix()) }},
		{"somebody writes into one", func() { e.put(a.dir()+mac(7).String(), "rubbish", clientv3.WithLease(e.grant())) }},
		{"somebody announces what is not here", func() {
			e.put(a.dir()+mac(9).String(), `{"IPs":[],"Since":"2026-01-01T00:00:00Z"}`, clientv3.WithLease(e.grant()))
			e.del(a.dir() + mac(9).String())
		}},
	} {
		was, _ := e.value(a.dir() + mac(7).String())
		rev := e.put("marker", "")
		c.breaks()
		if c.name != "somebody announces what is not here" {
			e.await(a.dir()+mac(7).String(), rev, func(value string, id clientv3.LeaseID) bool { return value == was && id != 0 })
		}
		a.until("02:00:00:00:00:07 10.10.9.7", "02:00:00:00:00:08")
	}
}

func TestARestartFindsItsStations(t *testing.T) {
	e := startEtcd(t)
	a := e.announce(claim(1), 0)
	a.see(mac(7), "10.10.9.7")
	a.until("02:00:00:00:00:07 10.10.9.7")
	a.stop()
	rev := e.put("marker", "")
	stop := a.start(a.bridge, 0)
	a.see(mac(8), "")
	a.until("02:00:00:00:00:07 10.10.9.7", "02:00:00:00:00:08")
	r, err := e.client.Get(e.ctx, testPrefix+a.dir()+mac(7).String())
	if err != nil || r.Kvs[0].ModRevision > rev {
		t.Errorf("written anew: %v, %v", r, err)
	}
	stop()
	// As a run with another --liveness-ttl leaves them: on another lease.
	e.put(a.dir()+mac(8).String(), `{"IPs":[],"Seq":0,"Since":"2026-01-01T00:00:00Z","Schema":1}`, clientv3.WithLease(e.grant()))
	stop = a.start(a.bridge, 0)
	a.until("02:00:00:00:00:07 10.10.9.7", "02:00:00:00:00:08")
	stop()
	a.start(nil, 0) // a run without a bridge
	a.until()
}

func TestAStationThatIsSilentIsWithdrawn(t *testing.T) {
	e := startEtcd(t)
	a := e.announce(claim(1), time.Second)
	a.see(mac(7), "10.10.9.7")
	a.until("02:00:00:00:00:07 10.10.9.7")
	a.leave()
	a.until()
	a.bridge.mu.Lock()
	defer a.bridge.mu.Unlock()
	if a.again < 5 || !slices.Contains(a.asked, question{addr("10.10.9.7"), mac(7)}) {
		t.Errorf("told again %d times, asked %v; want it asked before", a.again, a.asked)
	}
}

func TestAStationMovesBetweenRunningHosts(t *testing.T) {
	e := startEtcd(t)
	a, b := e.announce(claim(1), 0), e.announce(claim(2), 0)
	a.see(mac(7), "10.10.9.7")
	a.until("02:00:00:00:00:07 10.10.9.7")
	a.leave()
	b.see(mac(7), "10.10.9.7")
	b.until("02:00:00:00:00:07 10.10.9.7")
	a.until()
	text, _ := e.value(b.dir() + mac(7).String())
	if v, _ := parseEndpoint([]byte(text)); v.seq > 1 {
		t.Errorf("got %s, want one move at most", text)
	}
}

func TestManyStationsAreWrittenInFewTransactions(t *testing.T) {
	e := startEtcd(t)
	a := e.announce(claim(1), 0)
	before := e.put("marker", "")
	for i := range 250 {
		a.see(mac2(i), "")
	}
	e.eventually("all stations to be announced", func() bool { return len(e.names(a.dir())) == 250 })
	if n := e.put("marker", "") - before - 1; n > 5 {
		t.Errorf("got %d transactions, want 3, or a few more", n)
	}
	if n, _ := a.log.count("announcing the stations here anew"); n > 0 {
		t.Errorf("began anew %d times, want none", n)
	}
}

// looker is Endpoints without etcd.
func looker(v *village, b *bridge) *Endpoints {
	return &Endpoints{stations: b, roster: v.a.roster, keys: make(map[ether.Addr]ownKey)}
}

func TestWhatWasSightedBeforeTheTablesIsToldAgain(t *testing.T) {
	v, b := newVillage(t), new(bridge)
	tables := v.a.tables
	v.a.tables = nil
	e := looker(v, b)
	b.see(mac(7), "")
	e.look(v.now)
	if len(v.a.stations) != 0 {
		t.Error("a station was taken in without tables")
	}
	e.Hear(tables)
	e.look(v.now.Add(lookEvery))
	e.look(v.now.Add(2 * lookEvery))
	if v.a.stations[mac(7)] == nil {
		t.Error("the station was not taken in")
	}
}

func TestAStationsLastFramesDoNotBringItBack(t *testing.T) {
	v, b := newVillage(t), new(bridge)
	e := looker(v, b)
	v.a.sees(mac(7))
	v.b.see(mac(7), netip.Addr{}, v.now)
	v.b.write()
	b.see(mac(7), "") // before it left
	b.leave()
	e.Hear(v.a.in.board.tables(v.h.rev, v.a.in.network))
	e.look(v.now)
	e.look(v.now.Add(lookEvery))
	v.settle()
	v.a.wants(mac(7), "")
	v.b.wants(mac(7), `{"IPs":[],"Seq":1,"Schema":1}`)
}

// While etcd is away nobody takes in sightings, and nobody asks: that time is no
// silence.
func TestAnOutageOfEtcdForgetsNoStation(t *testing.T) {
	v, b := newVillage(t), new(bridge)
	e := looker(v, b)
	v.a.sees(mac(7), "10.10.9.7")
	e.look(v.now)
	v.now = v.now.Add(2 * defaultMaxAge)
	e.look(v.now)
	v.settle()
	v.a.wants(mac(7), `{"IPs":["10.10.9.7"],"Seq":0,"Schema":1}`)
	for range int(defaultMaxAge / ageEvery) {
		v.now = v.now.Add(ageEvery)
		e.look(v.now)
	}
	v.settle()
	v.a.wants(mac(7), "")
	if n := len(b.asked); n != 4 {
		t.Errorf("asked %d times before it was forgotten, want 4", n)
	}
}
