package bench

import (
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
)

// shortLived are arguments of an agent whose etcd leases run out while a test
// looks on. etcd makes them two seconds at least.
var shortLived = []string{"--lease-ttl", "2s", "--liveness-ttl", "1s"}

// A host that does not reach etcd, and all the other hosts, forwards what it
// knows. Those who do reach etcd drop it when its leases have run out, and take
// it back as it was.
func TestEtcdOutOfReachForOneHost(t *testing.T) {
	c := newCluster(t, shortLived...)
	h := c.Hosts[2]
	others := c.others(h)
	c.lease(100)
	c.equal(c.Hosts...)
	flow := c.traffic(others...)
	before := holdings(c.ctx, t, h)
	mend := c.cut(h)
	c.expired(h)
	c.del(leaseKey(100))
	c.equal(others...)
	holdStill(c.ctx, t, before, h)
	c.forwardsTo(h, others[0])
	must(t, mend())
	c.registered(h)
	c.equal(c.Hosts...)
	connected(c.ctx, t, c.Lab)
	flow.intact()
}

// forwardsTo makes sure that datagrams from a host still arrive at one that
// does not know it any more, and drops them.
func (c *cluster) forwardsTo(h, far *lab.Host) {
	c.t.Helper()
	sent := readStats(c.ctx, c.t, h).Verdicts["Forward"].Frames
	dropped := readStats(c.ctx, c.t, far).Verdicts["DropUnknownVTEP"].Frames
	eventually(c.ctx, c.t, h.Name+" forwards, and "+far.Name+" drops", func() (bool, string) {
		knock(c.t, h.Containers[0].Node, far.Containers[0].Addr.String())
		s := readStats(c.ctx, c.t, h).Verdicts["Forward"].Frames - sent
		d := readStats(c.ctx, c.t, far).Verdicts["DropUnknownVTEP"].Frames - dropped
		return s > 0 && d > 0, fmt.Sprintf("%d forwarded, %d dropped", s, d)
	})
}

// What an agent could not hear about is gone from etcd's history when it
// listens again.
func TestEtcdCompactedUnderAStalledWatch(t *testing.T) {
	t.Run("agent frozen", func(t *testing.T) {
		c := newCluster(t)
		h := c.Hosts[2]
		c.before()
		c.equal(c.Hosts...)
		flow := c.traffic(c.others(h)...)
		must(t, h.Agent.Signal(syscall.SIGSTOP))
		// More than fits into all that lies between etcd and the agent.
		for i := range 400 {
			c.put(fmt.Sprintf("/uvtep/future/%d", i%7), strings.Repeat("x", 3000))
		}
		c.after()
		must(t, c.Compact(c.ctx), h.Agent.Signal(syscall.SIGCONT))
		must(t, h.Agent.WaitOutput(c.ctx, "required revision has been compacted"))
		c.equal(c.Hosts...)
		connected(c.ctx, t, c.Lab)
		flow.intact()
	})
	t.Run("agent cut off", func(t *testing.T) {
		c := newCluster(t)
		h := c.Hosts[2]
		c.before()
		c.equal(c.Hosts...)
		flow := c.traffic(c.Hosts...)
		mend := c.cut(h)
		// So that the watch has ended, and lists do not get through.
		must(t, h.Agent.WaitOutput(c.ctx, `read \"`+prefix+`/\" from etcd`))
		c.after()
		must(t, c.Compact(c.ctx))
		must(t, mend())
		c.equal(c.Hosts...)
		flow.intact()
	})
}

const (
	nodeA = "/uvtep/hosts/000000000000000000000000000000aa"
	nodeB = "/uvtep/hosts/000000000000000000000000000000bb"
	nodeC = "/uvtep/hosts/000000000000000000000000000000cc"
)

// before and after are etcd's content of all kinds, and what many changes make
// of it: of each kind something is kept, changed, moved, added and deleted.
func (c *cluster) before() {
	c.t.Helper()
	for i := range byte(4) {
		c.lease(100 + i)
	}
	for i, node := range []string{nodeA, nodeB, nodeC} {
		c.put(node+"/host", fmt.Sprintf(`{"PublicIP":"192.0.2.%d","PublicIPv6":null,"Port":4789,"VNIs":[1]}`, 120+i))
		c.put(endpointOf(node, 10+i), fmt.Sprintf(`{"IPs":["10.10.200.%d"],"Seq":0}`, 10+i))
		c.put(endpointOf(node, 20+i), fmt.Sprintf(`{"IPs":["10.10.200.%d"],"Seq":0}`, 20+i))
		c.put(staticOf(30+i), fmt.Sprintf(`{"IPs":["10.10.200.%d"],"VTEP":"192.0.2.130"}`, 30+i))
	}
}

func (c *cluster) after() {
	c.t.Helper()
	c.del(leaseKey(100))
	c.put(leaseKey(101), leaseValue(111, netip.MustParseAddr("192.0.2.111"))) // another host's
	c.put(leaseKey(102), leaseValue(102, netip.MustParseAddr("192.0.2.112"))) // the same one elsewhere
	c.lease(104)
	c.del(nodeA + "/host")       // and all that is behind it
	c.del(endpointOf(nodeB, 11)) // gone
	c.del(endpointOf(nodeC, 22)) // gone, and back
	c.put(endpointOf(nodeC, 22), `{"IPs":["10.10.200.22","fd00::22"],"Seq":0}`)
	c.put(endpointOf(nodeC, 21), `{"IPs":["10.10.200.21"],"Seq":1}`) // moved; where it was nobody knows yet
	c.put(endpointOf(nodeC, 40), `{"IPs":["10.10.200.40"],"Seq":0}`)
	c.del(staticOf(30))
	c.put(staticOf(31), `{"IPs":["10.10.200.31","10.10.200.61"],"VTEP":"192.0.2.131"}`)
	c.put(staticOf(33), `{"IPs":["10.10.200.33"],"VTEP":"192.0.2.130"}`)
}

func endpointOf(node string, i int) string {
	return fmt.Sprintf("%s/endpoints/1/02:00:00:00:08:%02x", node, i)
}

func staticOf(i int) string { return fmt.Sprintf("/uvtep/static/1/02:00:00:00:08:%02x", i) }

// A host that dies is gone from etcd when its leases have run out, which takes
// longer when the leader changes, and then from all tables at once. Its subnet
// is its own again when it comes back.
func TestEtcdLeasesOfADeadHostRunOut(t *testing.T) {
	c := newCluster(t, shortLived...)
	h := c.Hosts[2]
	others := c.others(h)
	flow := c.traffic(others...)
	h.Agent.Kill()
	leader := c.leader()
	leader.Kill()
	c.expired(h)
	c.equal(others...)
	for name, r := range holdings(c.ctx, t, others...) {
		if text := fmt.Sprint(r); strings.Contains(text, h.Addr.String()) || strings.Contains(text, h.Subnet.Masked().Addr().String()) {
			t.Errorf("%s still knows of the dead host: %s", name, text)
		}
	}
	must(t, leader.Restart(c.ctx), h.StartAgent(c.ctx))
	c.registered(h)
	c.equal(c.Hosts...)
	connected(c.ctx, t, c.Lab)
	flow.intact()
}
