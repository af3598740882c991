package etcdsync

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
)

// An etcd that is full takes no writes. Hosts go on hearing of what is taken
// away, keep their leases, and new ones wait.
func TestAFullEtcdCostsNewHostsAlone(t *testing.T) {
	g := startGuarded(t, "http", func(c *embed.Config) { c.QuotaBackendBytes = 1 << 20 })
	g.client = g.as("", "", nil)
	s, log := g.dial(Options{})
	c := claim(1)
	c.LivenessTTL = 2 * time.Second
	r := g.acquire(s, c)
	g.run(r.Run)
	w := g.follow(s, 100, 0)
	g.put(leaseB, leaseOf(nodeB, "192.0.2.222", mac(222)))
	w.until("with both", func(t *Tables) bool { return has(t, 1, c.MAC) && has(t, 1, mac(222)) })

	filling := strings.Repeat("x", 64<<10)
	var err error
	for !errors.Is(err, rpctypes.ErrNoSpace) {
		if _, err = g.client.Put(g.ctx, "/elsewhere", filling); err != nil && !errors.Is(err, rpctypes.ErrNoSpace) {
			t.Fatal(err)
		}
	}
	got := make(chan *Registration, 1)
	g.run(func(ctx context.Context) error {
		r, err := s.Acquire(ctx, claim(3))
		if err == nil {
			got <- r
		}
		return err
	})
	g.awaitLog(log, "etcd is full: compact and defragment it")
	g.del(leaseB)
	w.until("with the deletion", func(t *Tables) bool { return !has(t, 1, mac(222)) })
	g.passed(time.Now().Add(3 * time.Second))
	if value, _ := g.value(hostKey(c.NodeID)); value == "" {
		t.Error("the lease of a host that was there ran out")
	}

	status, err := g.client.Status(g.ctx, g.endpoint)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.client.Compact(g.ctx, status.Header.Revision, clientv3.WithCompactPhysical()); err != nil {
		t.Fatal(err)
	}
	if _, err := g.client.Defragment(g.ctx, g.endpoint); err != nil {
		t.Fatal(err)
	}
	if _, err := g.client.AlarmDisarm(g.ctx, &clientv3.AlarmMember{}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-got:
	case <-g.ctx.Done():
		t.Fatal("the new host did not register")
	}
	w.until("with the new host", func(t *Tables) bool { return has(t, 1, mac(3)) && has(t, 1, c.MAC) })
	if n, _ := log.count("an etcd lease of ours is gone"); n != 0 {
		t.Error("a lease of a host that was there was lost")
	}
	if n, _ := log.count("etcd refuses"); n != 1 {
		t.Errorf("got %d lines about it, want 1:\n%s", n, strings.Join(log.lines, ""))
	}
}
