package bench

import (
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
)

func TestEtcdLeaderKilled(t *testing.T) {
	c := newCluster(t)
	flow := c.traffic(c.Hosts...)
	leader := c.leader()
	leader.Kill()
	c.lease(100)
	c.equal(c.Hosts...)
	must(t, leader.Restart(c.ctx))
	c.del(leaseKey(100))
	c.equal(c.Hosts...)
	flow.intact()
}

// Each member in turn is frozen, its connections open and silent, so that
// among them are those that serve the agents' watches.
func TestEtcdMembersFrozenInTurn(t *testing.T) {
	membersInTurn(t, func(_ *cluster, e *lab.Etcd) (undo func() error) {
		must(t, e.Pause())
		return e.Resume
	})
}

// membersInTurn does something bad to one member after the other. Etcd as a
// whole goes on, and all hosts follow what changes.
func membersInTurn(t *testing.T, bad func(*cluster, *lab.Etcd) (undo func() error)) {
	c := newCluster(t)
	flow := c.traffic(c.Hosts...)
	for i, e := range c.members {
		undo := bad(c, e)
		c.lease(100 + byte(i))
		if i > 0 {
			c.del(leaseKey(99 + byte(i)))
		}
		written := time.Now()
		c.equal(c.Hosts...)
		t.Logf("without %s: all hosts followed within %v", e.Name, time.Since(written).Round(time.Millisecond))
		must(t, undo())
	}
	c.equal(c.Hosts...)
	flow.intact()
}

func TestEtcdQuorumLost(t *testing.T) {
	for _, how := range []string{"killed", "frozen"} {
		t.Run(how, func(t *testing.T) { quorumLost(t, how, 0) })
	}
}

// quorumLost takes two of three members away: until the agents have noticed,
// and then for a while.
func quorumLost(t *testing.T, how string, while time.Duration) {
	c := newCluster(t)
	c.patient(2 * while)
	flow := c.traffic(c.Hosts...)
	c.lease(100)
	c.equal(c.Hosts...)
	before := holdings(c.ctx, t, c.Hosts...)
	gone := c.members[1:]
	for _, e := range gone {
		if how == "killed" {
			e.Kill()
		} else {
			must(t, e.Pause())
		}
	}
	for _, h := range c.Hosts {
		must(t, h.Agent.WaitOutput(c.ctx, "etcd does not answer"))
	}
	<-time.After(while)
	holdStill(c.ctx, t, before, c.Hosts...)
	for _, e := range gone {
		if how == "frozen" {
			must(t, e.Resume())
		}
	}
	if how == "killed" {
		must(t, c.RestartEtcd(c.ctx, gone...))
	}
	c.leader()
	c.lease(101)
	c.equal(c.Hosts...)
	<-time.After(while) // leases that nobody keeps alive would run out
	c.registered(c.Hosts...)
	flow.intact()
}
