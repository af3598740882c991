package bench

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Two hundred changes a second, while the member that leads is killed and comes
// back: every frame is accounted for, and the tables are etcd's in the end.
func TestEtcdChurnsWhileTheLeaderIsKilled(t *testing.T) { churns(t, 2*time.Second) }

// churns changes etcd for a while before, during and after the leader's
// absence.
func churns(t *testing.T, while time.Duration) {
	c := newEtcd(t, 3)
	c.patient(3 * while)
	c.put("/config", quietConfig)
	c.populate(nil, nil)
	c.put(nodeA+"/host", `{"PublicIP":"192.0.2.120","PublicIPv6":null,"Port":4789,"VNIs":[1]}`)
	before := c.ledgers()
	flow := c.traffic(c.Hosts...)
	churn := c.churn()
	<-time.After(while)
	leader := c.leader()
	leader.Kill()
	c.lease(100) // etcd takes changes again
	<-time.After(while)
	must(t, leader.Restart(c.ctx))
	<-time.After(while)
	t.Logf("%d changes", churn())
	c.equal(c.Hosts...)
	sent, received := flow.intact()
	for i, after := range c.ledgers() {
		h := c.Hosts[i]
		if got, want := after.Verdicts["Forward"].Frames-before[i].Verdicts["Forward"].Frames, sent[h.Name]; got != want {
			t.Errorf("%s: forwarded %d frames, its container sent %d", h.Name, got, want)
		}
		if got, want := after.Verdicts["Deliver"].Frames-before[i].Verdicts["Deliver"].Frames, received[h.Name]; got != want {
			t.Errorf("%s: delivered %d frames, its container received %d", h.Name, got, want)
		}
		if out, in := after.drops(false)-before[i].drops(false), after.drops(true)-before[i].drops(true); out+in > 0 {
			t.Errorf("%s: dropped %d frames and %d datagrams", h.Name, out, in)
		}
		if err := after.consistent(); err != nil {
			t.Errorf("%s: %v", h.Name, err)
		}
	}
}

// ledgers are the counters of all hosts.
func (c *cluster) ledgers() (all []stats) {
	c.t.Helper()
	for _, h := range c.Hosts {
		all = append(all, readStats(c.ctx, c.t, h))
	}
	return all
}

// churn puts, moves and deletes static entries and endpoints, until the function
// that it returns is called; that tells how many changes etcd took.
func (c *cluster) churn() (end func() int64) {
	var (
		stop  = make(chan struct{})
		wg    sync.WaitGroup
		beats = make(chan int)
		taken atomic.Int64
	)
	wg.Go(func() {
		defer close(beats)
		tick := time.NewTicker(time.Second / 200)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			select {
			case <-stop:
				return
			case beats <- i:
			}
		}
	})
	for range 4 { // so that a change under way does not hold up the next
		wg.Go(func() {
			for i := range beats {
				if c.change(i) == nil {
					taken.Add(1)
				}
			}
		})
	}
	return func() int64 { close(stop); wg.Wait(); return taken.Load() }
}

// change makes one change; what becomes of it while etcd has no leader nobody
// knows.
func (c *cluster) change(i int) error {
	n := i / 4 % 50
	switch i % 4 {
	case 0:
		return c.Put(c.ctx, prefix+staticOf(n), fmt.Sprintf(`{"IPs":["10.10.201.%d"],"VTEP":"192.0.2.%d"}`, n, 130+i%40))
	case 1:
		return c.Put(c.ctx, prefix+endpointOf(nodeA, 100+n), fmt.Sprintf(`{"IPs":["10.10.202.%d"],"Seq":%d}`, n, i))
	case 2:
		return c.Delete(c.ctx, prefix+staticOf((n+25)%50))
	}
	return c.Delete(c.ctx, prefix+endpointOf(nodeA, 100+(n+25)%50))
}
