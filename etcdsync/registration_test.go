package etcdsync

import (
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// registered is a host with a running registration.
type registered struct {
	*testEtcd
	*Registration
	claim Claim
	log   *logBook
	key   string
	moved chan subnets // what Resubnet was called with
}

func (e *testEtcd) register(c Claim) *registered {
	e.Helper()
	s, log := e.store()
	r := &registered{testEtcd: e, log: log, moved: make(chan subnets, 16)}
	c.Resubnet = func(reg *Registration) { r.moved <- reg.held() }
	r.claim = c
	r.Registration = e.acquire(s, c)
	r.key = subnetsDir + subnets{r.Subnet(), r.Subnet6()}.name()
	e.run(r.Registration.Run)
	return r
}

// awaitMove returns the subnets that the host had to take.
func (r *registered) awaitMove() subnets {
	r.Helper()
	select {
	case s := <-r.moved:
		return s
	case <-r.ctx.Done():
		r.Fatal("the host took no other subnet")
		return subnets{}
	}
}

// noMove fails if the host had to take another subnet.
func (r *registered) noMove() {
	r.Helper()
	select {
	case s := <-r.moved:
		r.Errorf("the subnet became %s", s)
	default:
	}
}

func TestALostLeaseIsTakenAgainWithTheSameSubnet(t *testing.T) {
	tests := []struct {
		name   string
		breaks func(*registered)
		watch  func(*registered) string // the key that must come back
	}{
		{"the subnet's lease revoked", func(r *registered) { r.revoke(r.key) }, func(r *registered) string { return r.key }},
		{"the host record's lease revoked", func(r *registered) { r.revoke(hostKey(r.claim.NodeID)) }, func(r *registered) string { return hostKey(r.claim.NodeID) }},
		{"the subnet key deleted", func(r *registered) { r.del(r.key) }, func(r *registered) string { return r.key }},
		{"the host record deleted", func(r *registered) { r.del(hostKey(r.claim.NodeID)) }, func(r *registered) string { return hostKey(r.claim.NodeID) }},
		{"everything deleted", func(r *registered) { r.testEtcd.del("", clientv3.WithPrefix()) }, func(r *registered) string { return r.key }},
	}
	e := startEtcd(t)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := e.register(claim(i + 1))
			key := tt.watch(r)
			was, _ := e.value(key)
			rev := e.put("marker", "")
			tt.breaks(r)
			e.await(key, rev, func(value string, lease clientv3.LeaseID) bool { return value == was && lease != 0 })
			if names := e.names(subnetsDir); !slices.Contains(names, strings.TrimPrefix(r.key, subnetsDir)) {
				t.Errorf("keys: got %v, want %s again", names, r.key)
			}
			r.noMove()
		})
	}
}

func (r *registered) revoke(key string) {
	r.Helper()
	_, id := r.value(key)
	if _, err := r.client.Revoke(r.ctx, id); err != nil {
		r.Fatal(err)
	}
}

func TestAKeyThatSomebodyElseWroteIsTheirs(t *testing.T) {
	tests := []struct{ name, value string }{
		{"another uvtep", leaseOf(nodeB, "192.0.2.99", mac(99))},
		{"flannel, which overwrites without looking", leaseOf("", "192.0.2.99", mac(99))},
		{"flannel on this very host", leaseOf("", "192.0.2.1", mac(99))},
		{"a copy of this host", leaseOf(claim(1).NodeID, "192.0.2.99", mac(1))},
		{"rubbish", "rubbish"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := startEtcd(t)
			r := e.register(claim(1))
			old := r.held()
			e.put(r.key, tt.value)
			now := r.awaitMove()
			if now.overlap(old) || !r.claim.Network.contains(now.v4) {
				t.Errorf("got %s, want another subnet than %s", now, old)
			}
			if value, _ := e.value(r.key); value != tt.value {
				t.Errorf("their key: got %s, want it untouched", value)
			}
			e.awaitLog(r.log, `"level":"error"`)
			e.awaitLog(r.log, "own subnet key was overwritten by another host")
			value, lease := e.value(subnetsDir + now.name())
			if !strings.Contains(value, r.claim.NodeID) || lease == 0 {
				t.Errorf("our new key: got %s, lease %x", value, lease)
			}
		})
	}
}

// Two hosts with one node id each put their record in the place of the other's:
// both are told, and neither does so more often than once a second.
func TestACopyOfAHostIsToldOfAndNotFoughtWith(t *testing.T) {
	e := startEtcd(t)
	original := claim(1)
	original.NoSubnet = true
	copied := original
	copied.PublicIP = addr("192.0.2.99")
	a, b := e.register(original), e.register(copied)
	for _, r := range []*registered{a, b} {
		e.awaitLog(r.log, "two hosts have one node id")
		e.awaitLog(r.log, `"node `+original.NodeID+` at `+r.claim.PublicIP.String()+` (this host)"`)
	}
	start, key := time.Now(), hostKey(original.NodeID)
	rev := e.put("marker", "")
	for range 2 { // one of each
		var now string
		e.await(key, rev, func(value string, _ clientv3.LeaseID) bool { now = value; return true })
		rev = e.put("marker", now)
	}
	if took := time.Since(start); took < time.Second {
		t.Errorf("both wrote within %s", took)
	}
	if n, _ := a.log.count("two hosts have one node id"); n != 1 {
		t.Errorf("log: got %d lines, want 1", n)
	}
}

// A host that asks for one subnet only has none when a copy of it takes that.
func TestAHostWithoutItsSubnetLooksAfterItsRecord(t *testing.T) {
	e := startEtcd(t)
	c := claim(1)
	c.Want = prefix("10.10.1.0/24")
	r := e.register(c)
	rev := e.put(r.key, leaseOf(c.NodeID, "192.0.2.99", mac(1)))
	e.awaitLog(r.log, "two hosts have one node id")
	e.awaitLog(r.log, "this host has no subnet; asking again")
	e.put(hostKey(c.NodeID), hostOf("192.0.2.99"))
	e.await(hostKey(c.NodeID), rev, func(value string, _ clientv3.LeaseID) bool { return strings.Contains(value, c.PublicIP.String()) })
}

func TestASubnetTakenWhileWeWereAwayIsTheirs(t *testing.T) {
	e := startEtcd(t)
	s, log := e.store()
	r := &registered{testEtcd: e, log: log, moved: make(chan subnets, 1)}
	c := claim(1)
	c.Resubnet = func(reg *Registration) { r.moved <- reg.held() }
	r.Registration = e.acquire(s, c)
	old := r.held()
	e.put(subnetsDir+old.name(), leaseOf(nodeB, "192.0.2.99", mac(99)))
	e.run(r.Run)
	if now := r.awaitMove(); now.overlap(old) {
		t.Errorf("got %s, want another subnet than %s", now, old)
	}
}

func TestAnAddressThatChangesIsWrittenInPlace(t *testing.T) {
	e := startEtcd(t)
	r := e.register(claim(1))
	_, before := e.value(r.key)
	rev := e.put("marker", "")
	r.Update(addr("198.51.100.7"), addr("fd00::7"))
	both := `"PublicIP":"198.51.100.7","PublicIPv6":"fd00::7"`
	e.await(r.key, rev, func(value string, lease clientv3.LeaseID) bool {
		return strings.Contains(value, both) && lease == before
	})
	e.await(hostKey(r.claim.NodeID), rev, func(value string, _ clientv3.LeaseID) bool { return strings.Contains(value, both) })
	r.noMove()
}

func TestEtcdMayGoAndComeBack(t *testing.T) {
	e := startEtcd(t)
	r := e.register(claim(1))
	peer := e.register(claim(2))
	w := e.follow(r.Registration.store, 1, 0)
	w.routes(peer.Subnet().String())

	e.stop()
	e.awaitLog(r.log, "etcd does not answer")
	e.start()
	e.awaitLog(r.log, "etcd answers again")
	third := e.register(claim(3))
	want := []string{peer.Subnet().String(), third.Subnet().String()}
	if third.Subnet().Addr().Less(peer.Subnet().Addr()) {
		slices.Reverse(want)
	}
	w.routes(want...)
	for _, t2 := range w.published() {
		if t2.Routes.Len() == 0 {
			t.Errorf("tables at revision %d are empty", t2.Rev)
		}
	}
	r.noMove()
	peer.noMove()
}

func TestAnEtcdThatCameBackEmptyIsFilledAgainBeforeItIsBelieved(t *testing.T) {
	e := startEtcd(t)
	r, peer := e.register(claim(1)), e.register(claim(2))
	w := e.follow(r.Registration.store, 1, time.Hour)
	w.routes(peer.Subnet().String())
	e.wipe()
	for _, host := range []*registered{r, peer} {
		e.await(host.key, 1, func(value string, _ clientv3.LeaseID) bool { return strings.Contains(value, host.claim.NodeID) })
	}
	third := e.register(claim(3))
	w.until("with the new host's entry", func(t *Tables) bool {
		_, ok := t.FDB.Lookup(1, third.claim.MAC)
		return ok
	})
	for _, t2 := range w.published() {
		if _, ok := t2.FDB.Lookup(1, peer.claim.MAC); !ok {
			t.Errorf("tables at revision %d lack the peer", t2.Rev)
		}
	}
	r.noMove()
	peer.noMove()
}

func TestAReservationIsKeptWithoutALeaseOfItsOwn(t *testing.T) {
	e := startEtcd(t)
	e.put(subnetsDir+"10.10.7.0-24", leaseOf("", "192.0.2.1", mac(9)))
	r := e.register(claim(1))
	rev := e.put("marker", "")
	r.Update(addr("192.0.2.1"), addr("fd00::1"))
	e.await(r.key, rev, func(value string, lease clientv3.LeaseID) bool {
		return strings.Contains(value, "fd00::1") && lease == 0
	})
	if !r.Expires().IsZero() {
		t.Errorf("it expires at %s", r.Expires())
	}
}

func TestBothLeasesAreKeptAliveBeyondTheirTime(t *testing.T) {
	e := startEtcd(t)
	c := claim(1)
	c.LeaseTTL, c.LivenessTTL = time.Second, time.Second // etcd makes it two
	r := e.register(c)
	_, lease := e.value(r.key)
	_, liveness := e.value(hostKey(c.NodeID))
	first := r.Expires()
	if left := time.Until(first); left <= 0 || left > 3*time.Second {
		t.Errorf("time left: got %s, want about two seconds", left)
	}
	e.eventually("the lease to outlive its time", func() bool { return time.Now().After(first.Add(time.Second)) })
	for what, until := range map[string]time.Time{"subnet": r.Expires(), "host record": r.Lives()} {
		if !until.After(time.Now()) {
			t.Errorf("expiry of the %s: got %s, which has passed", what, until)
		}
	}
	for name, want := range map[string]clientv3.LeaseID{r.key: lease, hostKey(c.NodeID): liveness} {
		if _, got := e.value(name); got != want {
			t.Errorf("%s: got lease %x, want %x still", name, got, want)
		}
	}
}

func TestAStopLeavesEverything(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	r := e.acquire(s, claim(1))
	stop := e.run(r.Run)
	before := e.names("")
	stop()
	if after := e.names(""); len(before) != 2 || !slices.Equal(before, after) {
		t.Errorf("keys: got %v, want %v", after, before)
	}
}
