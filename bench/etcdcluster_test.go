package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// cluster is three hosts with a container each, on an etcd of three members,
// each a process of its own.
type cluster struct {
	*lab.Lab
	t       testing.TB
	ctx     context.Context
	members []*lab.Etcd
}

// clusterConfig is the network, written by hand so that it can be again. It
// floods, so that the VTEPs show in the FDB; the quiet one does not. The agents take subnets below those
// that the tests give to hosts of their own.
const (
	clusterConfig = `{"Network":"10.10.0.0/16","SubnetMin":"10.10.1.0","SubnetMax":"10.10.60.0","Backend":{"Type":"vxlan","VNI":1,"Port":4789,"Flood":true}}`
	quietConfig   = `{"Network":"10.10.0.0/16","SubnetMin":"10.10.1.0","SubnetMax":"10.10.60.0","Backend":{"Type":"vxlan","VNI":1,"Port":4789}}`
)

// newEtcd is a lab with three members of etcd. Such tests wait most of the
// time, and may do so at the same time.
func newEtcd(t testing.TB, hosts int) *cluster {
	t.Helper()
	if p, ok := t.(*testing.T); ok {
		p.Parallel()
	}
	l, ctx := newLab(t, lab.Config{Hosts: hosts, UnderlaySteered: true})
	bin, err := lab.BuildEtcd(ctx)
	must(t, err)
	members, err := l.StartEtcd(ctx, bin, 3)
	must(t, err)
	t.Cleanup(func() {
		for _, e := range members {
			e.Kill() // asked to stop, members that miss each other take seconds
			if t.Failed() {
				t.Logf("%s:\n%s", e.Name, e.Process.Tail(10))
			}
		}
	})
	c := &cluster{Lab: l, t: t, ctx: ctx, members: members}
	c.put("/config", clusterConfig)
	return c
}

// patient gives the rest of a test more time than patience.
func (c *cluster) patient(more time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience+more)
	c.t.Cleanup(cancel)
	c.ctx = ctx
}

// newCluster is newEtcd with an agent and a container on each of three hosts.
// The last host's agent gets more arguments.
func newCluster(t testing.TB, last ...string) *cluster {
	t.Helper()
	return newEtcd(t, 3).populate(nil, last)
}

// populate starts the agents, with some arguments for all and some for the
// last, and the containers.
func (c *cluster) populate(all, last []string) *cluster {
	c.t.Helper()
	for _, h := range c.Hosts {
		args := all
		if h == c.Hosts[len(c.Hosts)-1] {
			args = slices.Concat(all, last)
		}
		must(c.t, h.StartAgent(c.ctx, args...))
	}
	c.equal(c.Hosts...)
	must(c.t, c.AddContainers(c.ctx, 1))
	connected(c.ctx, c.t, c.Lab)
	return c
}

// put and del change etcd, below the prefix; they wait until it takes it.
func (c *cluster) put(key, value string) {
	c.t.Helper()
	eventually(c.ctx, c.t, "etcd takes "+key, func() (bool, string) { return done(c.Put(c.ctx, prefix+key, value)) })
}

func (c *cluster) del(key string) {
	c.t.Helper()
	eventually(c.ctx, c.t, "etcd deletes "+key, func() (bool, string) { return done(c.Delete(c.ctx, prefix+key)) })
}

func done(err error) (bool, string) { return err == nil, fmt.Sprint(err) }

// equal waits until hosts hold what etcd says.
func (c *cluster) equal(hosts ...*lab.Host) {
	c.t.Helper()
	holdWhatEtcdSays(c.ctx, c.t, c.Lab, hosts...)
}

// lease registers host number i (100 to 250) of the test's own.
func (c *cluster) lease(i byte) {
	c.t.Helper()
	c.put(leaseKey(i), leaseValue(i, netip.AddrFrom4([4]byte{192, 0, 2, i})))
}

func leaseKey(i byte) string { return fmt.Sprintf("/subnets/10.10.%d.0-24", i) }

func leaseValue(i byte, ip netip.Addr) string {
	return fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":%q}}`, ip, ether.Addr{2, 0, 0, 0, 9, i})
}

// leader waits until there is one among the members that run.
func (c *cluster) leader() (found *lab.Etcd) {
	c.t.Helper()
	eventually(c.ctx, c.t, "etcd has a leader", func() (bool, string) {
		var state []string
		for _, e := range c.members {
			s, err := e.Status(c.ctx)
			if s.Leads {
				found = e
				return true, ""
			}
			state = append(state, fmt.Sprint(e.Name, " ", err))
		}
		return false, fmt.Sprint(state)
	})
	return found
}

// beat is how often a datagram is sent each way between each pair of containers
// while something is wrong with etcd.
const beat = 2 * time.Millisecond

// traffic is a stream between every two of some hosts' containers.
type traffic struct {
	testing.TB
	ctx     context.Context
	streams []stream
}

// stream is one of them, with its two ends.
type stream struct {
	*lab.Stream
	ends [2]string
}

// traffic begins it.
func (c *cluster) traffic(hosts ...*lab.Host) *traffic {
	c.t.Helper()
	t := &traffic{TB: c.t, ctx: c.ctx}
	c.t.Cleanup(func() {
		for _, s := range t.streams {
			_, _ = s.Stop(c.ctx) // of a test that failed
		}
	})
	for i, a := range hosts {
		for _, b := range hosts[:i] {
			s, err := a.Containers[0].Stream(b.Containers[0].Node, beat)
			must(c.t, err)
			t.streams = append(t.streams, stream{s, [2]string{a.Name, b.Name}})
		}
	}
	return t
}

// intact ends it, and fails if a single datagram was lost, doubled or
// overtaken: between hosts that reach each other nothing of that is etcd's
// matter. It returns how many the containers of each host sent and received.
func (t *traffic) intact() (sent, received map[string]uint64) {
	t.Helper()
	sent, received = map[string]uint64{}, map[string]uint64{}
	for _, s := range t.streams {
		ways, err := s.Stop(t.ctx)
		must(t, err)
		for i, w := range ways {
			from, to := s.ends[i], s.ends[1-i]
			sent[from] += uint64(w.Sent)
			received[to] += uint64(w.Received)
			tell := t.Logf
			if w.Lost()+w.Doubled+w.Reordered+w.Refused > 0 || w.Sent < 10 {
				tell = t.Errorf
			}
			tell("%s to %s: %v", from, to, w)
		}
	}
	return sent, received
}

// others are all hosts but one.
func (c *cluster) others(h *lab.Host) []*lab.Host {
	return slices.DeleteFunc(slices.Clone(c.Hosts), func(o *lab.Host) bool { return o == h })
}

// cut is silence between a host and etcd; it and the other hosts go on reaching
// each other. What it returns mends it.
func (c *cluster) cut(h *lab.Host) (mend func() error) {
	c.t.Helper()
	var undo all
	for _, e := range c.members {
		must(c.t, undo.silence(e.Node, h.Node, 2379), undo.silence(h.Node, e.Node, 2379))
	}
	return undo.do
}

// all are steps back.
type all []func() error

// silence keeps a node from hearing another, on connections to a port of
// either.
func (a *all) silence(n, from *lab.Node, port uint16) error {
	for _, b := range []lab.Block{{TCP: true, Port: port, From: from.Addr}, {TCP: true, FromPort: port, From: from.Addr}} {
		unblock, err := n.Block(b)
		if err != nil {
			return err
		}
		*a = append(*a, unblock)
	}
	return nil
}

// do takes all of them.
func (a all) do() error {
	var errs []error
	for _, f := range a {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// keysOf are the keys in which a host names its address: its subnet and its
// record.
func (c *cluster) keysOf(h *lab.Host) (keys []string, err error) {
	all, err := c.List(c.ctx, prefix+"/")
	for key, value := range all {
		if strings.Contains(value, fmt.Sprintf(`"PublicIP":%q`, h.Addr)) {
			keys = append(keys, strings.TrimPrefix(key, prefix))
		}
	}
	slices.Sort(keys)
	return keys, err
}

// expired waits until etcd knows nothing of a host any more.
func (c *cluster) expired(h *lab.Host) {
	c.t.Helper()
	eventually(c.ctx, c.t, "etcd has forgotten "+h.Name, func() (bool, string) {
		keys, err := c.keysOf(h)
		return err == nil && len(keys) == 0, fmt.Sprint(keys, err)
	})
}

// registered waits until hosts have their subnets and records in etcd: those
// subnets that the hosts' containers are in.
func (c *cluster) registered(hosts ...*lab.Host) {
	c.t.Helper()
	for _, h := range hosts {
		eventually(c.ctx, c.t, h.Name+" is registered", func() (bool, string) {
			keys, err := c.keysOf(h)
			want := "/subnets/" + strings.ReplaceAll(h.Subnet.Masked().String(), "/", "-")
			return err == nil && len(keys) == 2 && keys[0] == want, fmt.Sprint(keys, err)
		})
	}
}
