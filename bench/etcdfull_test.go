//go:build full

package bench

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
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

func TestFullEtcdMembersIsolatedInTurn(t *testing.T) {
	membersInTurn(t, func(c *cluster, e *lab.Etcd) (undo func() error) {
		undo = c.isolate(e)
		eventually(c.ctx, t, e.Name+" has lost its leader", func() (bool, string) {
			s, err := e.Status(c.ctx)
			return err == nil && !s.Led, fmt.Sprint(s, err)
		})
		return undo
	})
}

func TestFullEtcdMembersKilledInTurn(t *testing.T) {
	membersInTurn(t, func(c *cluster, e *lab.Etcd) (undo func() error) {
		e.Kill()
		return func() error { return e.Restart(c.ctx) }
	})
}

// Faults of all kinds, each for a moment, one or several at a time, under
// churn and traffic.
func TestFullEtcdStorm(t *testing.T) {
	c := newCluster(t)
	c.patient(2 * time.Minute)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c.before()
	c.equal(c.Hosts...)
	flow := c.traffic(c.Hosts...)
	churn := c.churn()
	for range 12 {
		var undo all
		for range 1 + random.IntN(2) {
			undo = append(undo, c.trouble(random))
		}
		<-time.After(time.Duration(random.IntN(8000)) * time.Millisecond)
		must(t, undo.do(), c.revive())
	}
	t.Logf("%d changes", churn())
	c.equal(c.Hosts...)
	c.registered(c.Hosts...)
	flow.intact()
}

// revive starts all members that are dead, together: one alone may not serve.
func (c *cluster) revive() error {
	dead := slices.DeleteFunc(slices.Clone(c.members), func(e *lab.Etcd) bool { return !e.Process.Ended() })
	return c.RestartEtcd(c.ctx, dead...)
}

// trouble begins a fault, and returns what ends it.
func (c *cluster) trouble(random *rand.Rand) (undo func() error) {
	c.t.Helper()
	e := c.members[random.IntN(len(c.members))]
	h := c.Hosts[random.IntN(len(c.Hosts))]
	switch random.IntN(5) {
	case 0:
		c.t.Logf("%s killed", e.Name)
		e.Kill()
		return func() error { return nil } // see revive
	case 1:
		c.t.Logf("%s frozen", e.Name)
		_ = e.Pause() // may be dead
		return func() error { _ = e.Resume(); return nil }
	case 2:
		c.t.Logf("%s isolated", e.Name)
		return c.isolate(e)
	case 3:
		c.t.Logf("%s cut off", h.Name)
		return c.cut(h)
	}
	c.t.Log("history compacted")
	_ = c.Compact(c.ctx) // nobody may answer
	return func() error { return nil }
}

// isolate is silence between a member and the others, all of which everybody
// else still reaches. What it returns mends it.
func (c *cluster) isolate(e *lab.Etcd) (mend func() error) {
	c.t.Helper()
	var undo all
	for _, o := range c.members {
		if o != e {
			must(c.t, undo.silence(e.Node, o.Node, 2380), undo.silence(o.Node, e.Node, 2380))
		}
	}
	return undo.do
}
