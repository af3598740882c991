package bench

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/etcdsync"
)

// nodeOf is the identity that a host keeps in its state directory.
func nodeOf(t testing.TB, h *lab.Host) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(h.StateDir, "node-id"))
	must(t, err)
	return strings.TrimSpace(string(b))
}

// told waits until a host's agent tells of exactly one conflict of a kind, and
// checks that it names all of what is given, in its log and in its counters.
func told(ctx context.Context, t testing.TB, h *lab.Host, kind etcdsync.ConflictKind, names ...string) {
	t.Helper()
	var got []etcdsync.Conflict
	eventually(ctx, t, h.Name+" tells of a conflict of kind "+string(kind), func() (bool, string) {
		got = slices.DeleteFunc(readStats(ctx, t, h).Conflicts, func(c etcdsync.Conflict) bool { return c.Kind != kind })
		return len(got) == 1, h.Agent.Tail(5)
	})
	for _, name := range names {
		if !strings.Contains(got[0].String(), name) {
			t.Errorf("%s: got %s, want %s named", h.Name, got[0], name)
		}
	}
	must(t, h.Agent.WaitOutput(ctx, strings.SplitN(got[0].String(), ":", 2)[0]))
}

// etcdAsked runs a command of uvtep that asks etcd and returns what it wrote.
func etcdAsked(ctx context.Context, t *testing.T, l *lab.Lab, args ...string) string {
	t.Helper()
	p, err := l.Hosts[0].Start(program, append(args, "--etcd-endpoints", strings.Join(l.EtcdURLs(), ","))...)
	must(t, err)
	if err := p.Wait(ctx); err != nil {
		t.Fatalf("uvtep %v: %v\n%s", args, err, p.Output())
	}
	return p.Output()
}

// untold waits until a host's agent tells of no conflict any more.
func untold(ctx context.Context, t testing.TB, h *lab.Host) {
	t.Helper()
	eventually(ctx, t, h.Name+" tells of no conflict", func() (bool, string) {
		n := readStats(ctx, t, h).ConflictCount
		return n == 0, h.Agent.Tail(5)
	})
}

// Two hosts that say that they are at one address are named by everybody, and
// it is over when one of them gets its own.
func TestHostsWithOnePublicAddressAreNamed(t *testing.T) {
	l, ctx := newLab(t, lab.Config{})
	startAgents(ctx, t, l.Hosts[:2])
	twin := l.Hosts[2]
	must(t, twin.StartAgent(ctx, "--public-ip", "192.0.2.2", "--liveness-ttl", "2s"))
	for _, h := range l.Hosts {
		told(ctx, t, h, etcdsync.SameAddress, "192.0.2.2:4789", nodeOf(t, l.Hosts[1]), nodeOf(t, twin), "10.10.2.0/24", twin.Subnet.Masked().String())
	}
	out := etcdAsked(ctx, t, l, "subnets")
	if strings.Count(out, "WARNING: two hosts have one public address and port: 192.0.2.2:4789") != 1 {
		t.Errorf("uvtep subnets: got\n%s", out)
	}
	out = uvtep(ctx, t, l.Hosts[0], "stats")
	if strings.Count(out, "WARNING: two hosts have one public address and port: 192.0.2.2:4789") != 1 || !strings.Contains(out, "conflicts ") {
		t.Errorf("uvtep stats: got\n%s", out)
	}
	must(t, twin.Agent.Stop(ctx), twin.StartAgent(ctx))
	for _, h := range l.Hosts {
		untold(ctx, t, h)
	}
	must(t, l.Hosts[0].Agent.WaitOutput(ctx, "no longer: two hosts have one public address and port"))
	must(t, l.AddContainers(ctx, 1))
	connected(ctx, t, l)
}

func TestHostsWithOneMACAddressAreNamed(t *testing.T) {
	l, ctx := newLab(t, lab.Config{})
	startAgents(ctx, t, l.Hosts[:1])
	startAgents(ctx, t, l.Hosts[1:], "--mac", "02:00:5e:10:00:01")
	for _, h := range l.Hosts {
		told(ctx, t, h, etcdsync.SameMAC, "02:00:5e:10:00:01", nodeOf(t, l.Hosts[1]), nodeOf(t, l.Hosts[2]), "10.10.2.0/24", "10.10.3.0/24")
	}
	must(t, l.Hosts[2].Agent.Stop(ctx), l.Hosts[2].StartAgent(ctx))
	for _, h := range l.Hosts {
		untold(ctx, t, h)
	}
}

// Two hosts with one state directory do not fight for what both call theirs.
func TestACopiedStateDirectoryIsNamed(t *testing.T) {
	l, ctx := newLab(t, lab.Config{})
	original, copied := l.Hosts[1], l.Hosts[2]
	must(t, l.Hosts[0].StartAgent(ctx), original.StartAgent(ctx))
	must(t, os.CopyFS(copied.StateDir, os.DirFS(original.StateDir)))
	start := time.Now()
	must(t, copied.StartAgent(ctx))
	node := nodeOf(t, copied)
	for _, h := range l.Hosts {
		told(ctx, t, h, etcdsync.SameNode, node, "192.0.2.2", "192.0.2.3")
	}
	for _, h := range l.Hosts[1:] {
		must(t, h.Agent.WaitOutput(ctx, "two hosts have one node id"))
	}
	// They go on putting their host records in each other's place, at leisure.
	key := prefix + "/uvtep/hosts/" + node + "/host"
	n, err := l.Version(ctx, key)
	must(t, err)
	eventually(ctx, t, "the record was written twice more", func() (bool, string) {
		now, err := l.Version(ctx, key)
		must(t, err)
		return now >= n+2, ""
	})
	if n, err = l.Version(ctx, key); err != nil || float64(n) > 2*time.Since(start).Seconds()+2 {
		t.Errorf("the record was written %d times in %s, %v; want once a second by each at most", n, time.Since(start), err)
	}
	subnets, err := l.List(ctx, prefix+"/subnets/")
	if must(t, err); len(subnets) != 3 {
		t.Errorf("leases: got %v, want one a host", subnets)
	}
	steady(t, l)
}
