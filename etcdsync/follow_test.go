package etcdsync

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestAHostIsAddedChangedAndRemoved(t *testing.T) {
	e := startEtcd(t)
	s, log := e.store()
	w := e.follow(s, 1, 0)
	w.routes()
	e.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	got := w.routes("10.10.2.0/24")
	if entry, _ := got.FDB.Lookup(1, mac(2)); entry.VTEP.To.String() != "192.0.2.2:4789" || !got.FDB.Accepts(1, addr("192.0.2.2")) {
		t.Errorf("got %+v, want host B's entry", entry)
	}
	e.put(leaseB, leaseOf(nodeB, "192.0.2.22", mac(22)))
	got = w.until("with the new MAC address", func(t *Tables) bool { _, ok := t.FDB.Lookup(1, mac(22)); return ok })
	if got.FDB.Len() != 1 || got.ARP.Len() != 1 || got.FDB.Accepts(1, addr("192.0.2.2")) {
		t.Errorf("got %+v, want the old ones gone", viewOf(got))
	}
	e.del(leaseB)
	if diff := cmp.Diff(viewOf(w.routes()), view{}, cmpNetip, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("left over, got- want+:\n%s", diff)
	}
	if h := s.Heard(); h.Rev < got.Rev || h.At.IsZero() {
		t.Errorf("heard: got %+v, want up to revision %d at least", h, got.Rev)
	}
	rev := e.put("marker", "")
	e.eventually("etcd to be heard up to a change of nothing", func() bool { return s.Heard().Rev >= rev })
	e.awaitLog(log, "adding subnet: 10.10.2.0/24 PublicIP: 192.0.2.2 VtepMAC: 02:00:00:00:00:02")
	e.awaitLog(log, "removing subnet: 10.10.2.0/24")
	for i, t2 := range w.published() {
		if i > 0 && t2.Rev < w.published()[i-1].Rev {
			t.Errorf("revisions went back: %d after %d", t2.Rev, w.published()[i-1].Rev)
		}
	}
}

func TestWhatIsThereAtTheStartComesInOnePiece(t *testing.T) {
	e := startEtcd(t)
	const hosts = 2*pageSize + 7 // more than two pages
	for i := range hosts {
		e.put(fmt.Sprintf("subnets/10.10.%d.%d-30", i/64+1, i%64*4), leaseOf("", fmt.Sprintf("198.18.%d.%d", i/250, i%250+1), mac2(i)))
	}
	s, _ := e.store()
	w := e.follow(s, 1, 0)
	first := w.until("at all", func(*Tables) bool { return true })
	if n := first.Routes.Len(); n != hosts || first.FDB.Len() != hosts || len(first.Changed) != 0 {
		t.Errorf("first tables: got %d routes, %d entries, %d changed, want %d, %d and 0", n, first.FDB.Len(), len(first.Changed), hosts, hosts)
	}
}

func TestAListIsOfOneRevisionHoweverLongItTakes(t *testing.T) {
	e := startEtcd(t)
	const keys = pageSize + 1
	for i := range keys {
		e.put(fmt.Sprintf("uvtep/future/%04d", i), "old")
	}
	s, _ := e.store()
	seen, parts := 0, 0
	at, err := s.list(e.ctx, "uvtep/", func(at header, kvs []*mvccpb.KeyValue) {
		if parts++; parts == 1 {
			e.put(fmt.Sprintf("uvtep/future/%04d", keys-1), "new")
			e.put("uvtep/future/9999", "new")
			e.del("uvtep/future/0001")
		}
		for _, kv := range kvs {
			if seen++; string(kv.Value) != "old" || kv.ModRevision > at.rev {
				t.Errorf("%s: got %s of revision %d in a list at %d", kv.Key, kv.Value, kv.ModRevision, at.rev)
			}
		}
	})
	if err != nil || seen != keys || parts != 2 {
		t.Errorf("got %d keys in %d parts at %v, %v, want %d in 2", seen, parts, at, err, keys)
	}
}

// mac2 is a MAC address for each of many.
func mac2(i int) (m [6]byte) { return [6]byte{0x02, 0x01, 0, 0, byte(i >> 8), byte(i)} }

func TestAStrayKeyDisturbsNobody(t *testing.T) {
	e := startEtcd(t)
	s, log := e.store()
	e.put("subnets/hello", "world")
	e.put("subnets/10.10.5.0-24", "rubbish")
	e.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	w := e.follow(s, 1, 0)
	if got := w.routes("10.10.2.0/24"); got.Skipped != 2 {
		t.Errorf("keys skipped: got %d, want 2", got.Skipped)
	}
	e.put("subnets/world", "hello")
	e.put(leaseB, strings.Repeat("x", 100_000))
	e.put("subnets/10.10.3.0-24", leaseOf(nodeC, "192.0.2.3", mac(3)))
	got := w.routes("10.10.2.0/24", "10.10.3.0/24")
	if got.Skipped != 4 {
		t.Errorf("keys skipped: got %d, want 4", got.Skipped)
	}
	for _, t2 := range w.published() {
		if _, ok := t2.FDB.Lookup(1, mac(2)); !ok {
			t.Errorf("tables at revision %d lack host B", t2.Rev)
		}
	}
	if n, _ := log.count("key skipped"); n != 4 {
		t.Errorf("log: got %d lines about skipped keys, want 4", n)
	}
}

func TestCompactionUnderTheWatchLosesNothing(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	w := e.follow(s, 1, -1) // the one of two hosts that goes is not held
	w.routes()
	e.stop() // the watch cannot hear what comes now
	e.start()
	// Whether it is there again before or after this is compacted, it must
	// come to the same.
	e.put("subnets/10.10.2.0-24", leaseOf(nodeB, "192.0.2.2", mac(2)))
	e.put("subnets/10.10.3.0-24", leaseOf(nodeC, "192.0.2.3", mac(3)))
	e.del("subnets/10.10.2.0-24")
	rev := e.put("marker", "")
	if _, err := e.client.Compact(e.ctx, rev, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	w.routes("10.10.3.0/24")
}

func TestAWatchBehindACompactionReadsEverythingAgain(t *testing.T) {
	e := startEtcd(t)
	s, log := e.store()
	at, err := s.get(e.ctx, configKey)
	if err != nil {
		t.Fatal(err)
	}
	e.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	e.del(leaseB)
	if _, err := e.client.Compact(e.ctx, e.put("subnets/10.10.3.0-24", leaseOf(nodeC, "192.0.2.3", mac(3)))); err != nil {
		t.Fatal(err)
	}
	old := s.watch(e.ctx, headerOf(at.Header), []string{s.prefix}, clientv3.WithPrefix())
	defer old.stop()
	for r := range old.C {
		t.Errorf("a watch from before the compaction delivers %v", r)
	}
	if !compacted(old.err) {
		t.Errorf("got %v, want compacted", old.err)
	}
	w := e.follow(s, 1, 0)
	w.routes("10.10.3.0/24")
	if n, _ := log.count("etcd does not answer"); n != 0 {
		t.Error("a compaction was taken for an outage")
	}
}

func TestAListThatLacksMostIsDoubted(t *testing.T) {
	other := startEtcd(t) // of another history
	other.put("subnets/10.10.2.0-24", leaseOf(nodeB, "192.0.2.21", mac(2)))
	other.client.Close()
	other.stop()
	e := startEtcd(t)
	s, log := e.store()
	e.put("subnets/10.10.2.0-24", leaseOf(nodeB, "192.0.2.2", mac(2)))
	e.put("subnets/10.10.3.0-24", leaseOf(nodeC, "192.0.2.3", mac(3)))
	w := e.follow(s, 1, time.Hour)
	w.routes("10.10.2.0/24", "10.10.3.0/24")
	e.stop()
	e.dir = other.dir
	e.start()
	e.awaitLog(log, "etcd lacks much of what it had")
	e.put("subnets/10.10.4.0-24", leaseOf("", "192.0.2.4", mac(4)))
	got := w.routes("10.10.2.0/24", "10.10.3.0/24", "10.10.4.0/24")
	if entry, _ := got.FDB.Lookup(1, mac(2)); entry.VTEP.To.String() != "192.0.2.2:4789" {
		t.Errorf("host B: got %s, want the address from before", entry.VTEP.To)
	}
	e.put("subnets/10.10.2.0-24", leaseOf(nodeB, "192.0.2.22", mac(2)))
	w.until("with host B's new address", func(t *Tables) bool {
		entry, _ := t.FDB.Lookup(1, mac(2))
		return entry.VTEP != nil && entry.VTEP.To.String() == "192.0.2.22:4789"
	})
	e.del("subnets/10.10.2.0-24") // heard of, and so believed
	w.routes("10.10.3.0/24", "10.10.4.0/24")
}

func TestADoubtedListIsBelievedWhenTheHoldIsOver(t *testing.T) {
	e := startEtcd(t)
	s, log := e.store()
	e.put("subnets/10.10.2.0-24", leaseOf(nodeB, "192.0.2.2", mac(2)))
	w := e.follow(s, 1, 100*time.Millisecond)
	w.routes("10.10.2.0/24")
	e.wipe()
	w.routes()
	if n, _ := log.count("etcd lacks much of what it had"); n != 1 {
		t.Errorf("log: got %d words of doubt, want 1", n)
	}
}

func TestWithoutAHoldEveryListIsBelieved(t *testing.T) {
	e := startEtcd(t)
	s, log := e.store()
	for range 20 {
		e.put("subnets/10.10.2.0-24", leaseOf(nodeB, "192.0.2.2", mac(2)))
		e.put("subnets/10.10.4.0-24", leaseOf(nodeB, "192.0.2.4", mac(4)))
	}
	w := e.follow(s, 1, -1)
	w.routes("10.10.2.0/24", "10.10.4.0/24")
	e.wipe()
	e.put("subnets/10.10.2.0-24", leaseOf(nodeC, "192.0.2.3", mac(3))) // of a lower revision than what is known
	w.until("as they are now", func(t *Tables) bool {
		_, ok := t.FDB.Lookup(1, mac(3))
		return ok && t.FDB.Len() == 1
	})
	if n, _ := log.count("etcd lacks much of what it had"); n != 0 {
		t.Error("a list was doubted")
	}
}

func TestTheConfigurationChangesLive(t *testing.T) {
	e := startEtcd(t)
	s, log := e.store()
	if created, err := s.InitNetwork(e.ctx, claim(1).Network); !created || err != nil {
		t.Fatalf("got %t, %v", created, err)
	}
	w := e.follow(s, 1, 0)
	w.until("without Flood", func(t *Tables) bool { return !t.Network.Flood })
	value, _ := e.value(configKey)
	e.put(configKey, strings.Replace(value, `"Port":4789`, `"Port":4789,"Flood":true`, 1))
	w.until("with Flood", func(t *Tables) bool { return t.Network.Flood })
	e.put(configKey, "rubbish")
	e.del(configKey)
	e.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	if got := w.routes("10.10.2.0/24"); !got.Network.Flood {
		t.Error("the last good configuration does not stand")
	}
	e.awaitLog(log, "network configuration cannot be used")
	e.awaitLog(log, "there is no network configuration in etcd")
}

func TestASlowTakerGetsTheLastTablesAndFollowingDoesNotWait(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	c := claim(1)
	taken, release := make(chan *Tables), make(chan struct{})
	e.run(func(ctx context.Context) error {
		return s.Follow(ctx, FollowConfig{Network: c.Network, NodeID: c.NodeID, Publish: func(t *Tables) {
			select {
			case taken <- t:
			case <-ctx.Done():
				return
			}
			select {
			case <-release:
			case <-ctx.Done():
			}
		}})
	})
	<-taken
	const hosts = 50
	for i := range hosts {
		e.put(fmt.Sprintf("subnets/10.10.%d.0-24", i+1), leaseOf("", fmt.Sprintf("198.18.0.%d", i+1), mac2(i)))
	}
	close(release)
	n := 0
	for t2 := range taken {
		if n++; t2.Routes.Len() == hosts {
			break
		}
	}
	if n > hosts {
		t.Errorf("tables: got %d, want fewer than changes", n)
	}
}

func TestWaitNetworkWaitsForEtcdAndThenForTheConfiguration(t *testing.T) {
	e := startEtcd(t)
	s, log := e.store()
	e.stop()
	got := make(chan Network, 1)
	e.run(func(ctx context.Context) error {
		n, err := s.WaitNetwork(ctx)
		got <- n
		return err
	})
	e.awaitLog(log, "etcd does not answer")
	e.start()
	e.awaitLog(log, "uvtep network init")
	want := claim(1).Network
	if created, err := s.InitNetwork(e.ctx, want); !created || err != nil {
		t.Fatalf("got %t, %v", created, err)
	}
	if diff := cmp.Diff(<-got, want, cmpNetip, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("got- want+:\n%s", diff)
	}
	if created, err := s.InitNetwork(e.ctx, NewNetwork(prefix("10.99.0.0/16"), prefix("fd00::/48"))); created || err != nil {
		t.Errorf("a second configuration: got %t, %v, want it left alone", created, err)
	}
	for _, line := range []string{"etcd does not answer", "uvtep network init", "etcd answers again"} {
		if n, _ := log.count(line); n != 1 {
			t.Errorf("log: got %q %d times, want once", line, n)
		}
	}
}

func TestWaitNetworkEndsAtOnce(t *testing.T) {
	e := startEtcd(t)
	s, log := e.store()
	e.put(configKey, `{"Network":"no"}`)
	if _, err := s.WaitNetwork(e.ctx); err == nil || !strings.Contains(err.Error(), `Network "no"`) {
		t.Errorf("a configuration that does not parse: got %v", err)
	}
	e.del(configKey)
	ctx, cancel := context.WithCancel(e.ctx)
	done := make(chan error)
	go func() {
		_, err := s.WaitNetwork(ctx)
		done <- err
	}()
	e.awaitLog(log, "uvtep network init")
	cancel()
	if err := <-done; err != context.Canceled {
		t.Errorf("told to stop: got %v, want %v", err, context.Canceled)
	}
}
