package bench

import (
	"os"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
)

// briefHold is the hold of lists that lack most of what was there: longer than
// hosts take to register again, and short enough to see its end.
var briefHold = []string{"--mass-delete-hold", "8s"}

// everywhere ends all members, does something to each one's data, and starts
// them again.
func (c *cluster) everywhere(change func(*lab.Etcd) error) {
	c.t.Helper()
	for _, e := range c.members {
		e.Kill()
	}
	for _, e := range c.members {
		must(c.t, change(e))
	}
	must(c.t, c.RestartEtcd(c.ctx, c.members...))
}

// An etcd that comes back empty is not believed before the hosts have had the
// time to register again, each with the subnet that it had. What nobody
// registers again goes.
func TestEtcdWiped(t *testing.T) {
	c := newEtcd(t, 3).populate(briefHold, nil)
	c.before()
	c.equal(c.Hosts...)
	before := holdings(c.ctx, t, c.Hosts...)
	flow := c.traffic(c.Hosts...)
	c.everywhere(func(e *lab.Etcd) error { return os.RemoveAll(e.DataDir) })
	for _, h := range c.Hosts {
		must(t, h.Agent.WaitOutput(c.ctx, "etcd lacks much of what it had"))
		holdStill(c.ctx, t, before, h)
	}
	c.registered(c.Hosts...)
	c.put("/config", clusterConfig)
	c.equal(c.Hosts...)
	flow.intact()
}

// An etcd that comes back with an older content, under revisions that were used
// before, is followed too.
func TestEtcdRestoredFromAnOlderCopy(t *testing.T) {
	c := newEtcd(t, 3).populate(briefHold, nil)
	c.before()
	c.equal(c.Hosts...)
	flow := c.traffic(c.Hosts...)
	c.everywhere(func(e *lab.Etcd) error { return os.CopyFS(e.DataDir+".old", os.DirFS(e.DataDir)) })
	c.after()
	c.equal(c.Hosts...)
	c.everywhere(func(e *lab.Etcd) error {
		must(t, os.RemoveAll(e.DataDir))
		return os.Rename(e.DataDir+".old", e.DataDir)
	})
	c.registered(c.Hosts...)
	c.equal(c.Hosts...)
	flow.intact()
	for _, h := range c.Hosts {
		must(t, h.Agent.WaitOutput(c.ctx, "etcd's history is another one"))
	}
}
