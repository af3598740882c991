//go:build full

package bench

import (
	"sync"
	"testing"
	"time"
)

func TestFullEtcdQuorumLostForAMinute(t *testing.T) {
	for _, how := range []string{"killed", "frozen"} {
		t.Run(how, func(t *testing.T) { quorumLost(t, how, time.Minute) })
	}
}

func TestFullEtcdChurnsForAMinute(t *testing.T) { churns(t, 20*time.Second) }

// Fifty agents, each a process on a host of its own, that start at once.
func TestFullEtcdCrowdOfAgentsSharesNoSubnet(t *testing.T) {
	c := newEtcd(t, crowd)
	c.patient(3 * time.Minute)
	var wg sync.WaitGroup
	var errs [crowd]error
	for i, h := range c.Hosts {
		wg.Go(func() { errs[i] = h.StartAgent(c.ctx, "--queues", "1") })
	}
	wg.Wait()
	must(t, errs[:]...)
	if n := c.neverShared(); n != crowd {
		t.Errorf("%d subnets are leased, want %d", n, crowd)
	}
	c.equal(c.Hosts...)
	c.registered(c.Hosts...)
}
