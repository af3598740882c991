package etcdsync

import (
	"context"
	"testing"
	"time"
)

// followOn goes on from where a spectator's run ended, as a host does whose own
// addresses changed.
func (w *spectator) followOn(s *Store, hold time.Duration, d *Doubt) *spectator {
	w.Helper()
	var last []byte
	if w.stop != nil {
		last = w.cache()
	}
	c := claim(1)
	next := &spectator{testEtcd: w.testEtcd, changed: make(chan struct{})}
	next.stop = w.run(func(ctx context.Context) error {
		return s.Follow(ctx, FollowConfig{
			Network: c.Network, NodeID: c.NodeID, MAC: c.MAC, MassDeleteHold: hold, Doubt: d,
			Publish: next.publish, Save: next.save, Last: opened(last), Resumed: last != nil,
		})
	})
	return next
}

// A list that is doubted, also in what it says differently, is so for as long as
// the hold lasts, whatever becomes of the host's own addresses.
func TestAHoldGoesOnWhenTheHostMoves(t *testing.T) {
	other := startEtcd(t) // of another history
	other.put(leaseB, leaseOf(nodeB, "192.0.2.22", mac(22)))
	other.client.Close()
	other.stop()
	e := startEtcd(t)
	s, log := e.store()
	e.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	e.put("subnets/10.10.3.0-24", leaseOf(nodeC, "192.0.2.3", mac(3)))
	d := new(Doubt)
	w := (&spectator{testEtcd: e}).followOn(s, time.Hour, d)
	w.routes("10.10.2.0/24", "10.10.3.0/24")
	e.stop()
	e.dir = other.dir
	e.start()
	e.awaitLog(log, "etcd lacks much of what it had")

	w = w.followOn(s, time.Hour, d)
	e.put("subnets/10.10.4.0-24", leaseOf("", "192.0.2.4", mac(4)))
	got := w.routes("10.10.2.0/24", "10.10.3.0/24", "10.10.4.0/24")
	if _, ok := got.FDB.Lookup(1, mac(2)); !ok {
		t.Error("what is doubted came into force when the host moved")
	}
	if n, _ := log.count("etcd lacks much of what it had"); n != 1 {
		t.Errorf("log: got %d words of doubt, want that of the hold that runs", n)
	}

	w.stop()
	d.until = time.Now() // the hour is over
	w = w.followOn(s, time.Hour, d)
	got = w.routes("10.10.2.0/24", "10.10.4.0/24")
	if _, ok := got.FDB.Lookup(1, mac(22)); !ok {
		t.Error("after the hold etcd's own value is not in force")
	}
	w.stop()
	if *d != (Doubt{}) {
		t.Errorf("left %+v, want nothing", *d)
	}
}
