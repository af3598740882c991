package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
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

// A move of the host's own address is no reason to believe a list that is doubted,
// or to begin anew with doubting it.
func TestAHoldOutlivesAMoveOfTheHost(t *testing.T) {
	const doubted, moved = "etcd lacks much of what it had", "192.0.2.33"
	c := newEtcd(t, 2).populate([]string{"--mass-delete-hold", "1h"}, nil)
	c.before()
	c.equal(c.Hosts...)
	h, other := c.Hosts[0], c.Hosts[1]
	c.everywhere(func(e *lab.Etcd) error { return os.RemoveAll(e.DataDir) })
	must(t, h.Agent.WaitOutput(c.ctx, doubted))
	c.put("/config", clusterConfig)
	c.registered(c.Hosts...)
	must(t, h.Readdress(c.ctx, netip.MustParseAddr(moved)), other.Agent.WaitOutput(c.ctx, "adding subnet: "+h.Subnet.Masked().String()+" PublicIP: "+moved))
	c.lease(110)
	eventually(c.ctx, t, h.Name+" hears of what is new", func() (bool, string) {
		routes := routesOf(t, h)
		return strings.Contains(routes, "10.10.110.0/24"), routes
	})
	if routes := routesOf(t, h); !strings.Contains(routes, "10.10.100.0/24") {
		t.Errorf("what etcd lacks is gone: %s", routes)
	}
	if n := strings.Count(h.Agent.Output(), doubted); n != 1 {
		t.Errorf("%q was said %d times, want once", doubted, n)
	}
}

// An etcd that comes back with an older content, under revisions that were used
// before, is followed too.
func TestEtcdRestoredFromAnOlderCopy(t *testing.T) {
	c := newEtcd(t, 3).populate(briefHold, nil)
	c.before()
	c.equal(c.Hosts...)
	flow := c.traffic(c.Hosts...)
	c.everywhere(saved)
	c.after()
	c.equal(c.Hosts...)
	c.everywhere(restored)
	c.registered(c.Hosts...)
	c.equal(c.Hosts...)
	flow.intact()
	for _, h := range c.Hosts {
		must(t, h.Agent.WaitOutput(c.ctx, "etcd's history is another one"))
	}
}

// saved keeps a copy of what a member has, restored brings it back.
func saved(e *lab.Etcd) error { return os.CopyFS(e.DataDir+".old", os.DirFS(e.DataDir)) }

func restored(e *lab.Etcd) error {
	return errors.Join(os.RemoveAll(e.DataDir), os.Rename(e.DataDir+".old", e.DataDir))
}

// One agent hears of nothing until the restored etcd has come further than the
// agent knew the other one: no revision tells it that history is another one,
// and the values it knows have revisions that other values have now.
func TestEtcdRestoredAndGrownSince(t *testing.T) {
	c := newEtcd(t, 3).populate([]string{"--mass-delete-hold", "1s"}, nil)
	h := c.Hosts[2]
	c.before()
	c.equal(c.Hosts...)
	flow := c.traffic(c.others(h)...)
	c.everywhere(saved)
	grow := func() {
		for i := range 30 { // more than agents write of their own accord
			c.put("/uvtep/future/x", fmt.Sprint(i))
		}
	}
	c.put(staticOf(32), `{"IPs":["10.10.200.32"],"VTEP":"192.0.2.140"}`)
	grow()
	c.after()
	c.equal(c.Hosts...)
	must(t, h.Agent.Signal(syscall.SIGSTOP))
	c.everywhere(restored)
	c.put(staticOf(31), `{"IPs":["10.10.200.31"],"VTEP":"192.0.2.141"}`)
	c.put(leaseKey(102), leaseValue(112, netip.MustParseAddr("192.0.2.113")))
	for range 4 {
		grow()
	}
	must(t, h.Agent.Signal(syscall.SIGCONT))
	c.equal(c.Hosts...)
	connected(c.ctx, t, c.Lab)
	flow.intact()
}
