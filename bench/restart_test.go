package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/bench/lab"
)

// withEtcd is a lab with a real etcd of so many members, an agent and a
// container on every host.
func withEtcd(t testing.TB, c lab.Config, members int) (*lab.Lab, context.Context, []*lab.Etcd) {
	t.Helper()
	l, ctx := newLab(t, c)
	bin, err := lab.BuildEtcd(ctx)
	must(t, err)
	es, err := l.StartEtcd(ctx, bin, members)
	must(t, err)
	startAgents(ctx, t, l.Hosts)
	must(t, l.AddContainers(ctx, 1))
	connected(ctx, t, l)
	return l, ctx, es
}

// tables is the file in which an agent keeps its tables.
func tables(h *lab.Host) string { return filepath.Join(h.StateDir, "tables.1") }

// keptTables waits until the file holds a text.
func keptTables(ctx context.Context, t testing.TB, h *lab.Host, text string) []byte {
	t.Helper()
	var b []byte
	eventually(ctx, t, "the tables on disk hold "+text, func() (bool, string) {
		var err error
		b, err = os.ReadFile(tables(h))
		return err == nil && bytes.Contains(b, []byte(text)), string(b)
	})
	return b
}

func TestAStartWithoutEtcdForwardsFromTheLastTables(t *testing.T) {
	l, ctx, es := withEtcd(t, lab.Config{}, 1)
	h := l.Hosts[1]
	subnet := h.Subnet
	es[0].Kill()
	for _, end := range []struct {
		name string
		how  func() error
	}{
		{"stopped", func() error { return h.Agent.Stop(ctx) }},
		{"killed", func() error { h.Agent.Kill(); return nil }},
	} {
		must(t, end.how())
		must(t, os.Remove(h.SubnetFile), h.StartAgent(ctx)) // as after a reboot
		must(t, h.Agent.WaitOutput(ctx, "forwarding from the tables of the last run until etcd answers"))
		connected(ctx, t, l)
		if h.Subnet != subnet {
			t.Fatalf("%s: started with %s, want %s", end.name, h.Subnet, subnet)
		}
		if s := readStats(ctx, t, h); s.Stale == "" || s.Revision == 0 {
			t.Errorf("%s: stale since %q, revision %d; want both", end.name, s.Stale, s.Revision)
		}
	}
	// A move makes them no fresher.
	must(t, h.Readdress(ctx, netip.MustParseAddr("192.0.2.22")))
	eventually(ctx, t, "it begins afresh with the same tables", func() (bool, string) {
		return strings.Count(h.Agent.Output(), "forwarding from the tables of the last run") == 2, h.Agent.Tail(5)
	})
	if s := readStats(ctx, t, h); s.Stale == "" {
		t.Error("the tables of the last run are told of as fresh after a move")
	}
	// A change that was made while nobody could hear of it.
	must(t, es[0].Restart(ctx))
	key := "subnets/10.10.77.0-24"
	must(t, l.Put(ctx, prefix+"/"+key, `{"PublicIP":"192.0.2.60","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:77"}}`))
	for _, h := range l.Hosts {
		must(t, h.Agent.WaitOutput(ctx, "adding subnet: 10.10.77.0/24"))
	}
	eventually(ctx, t, "the tables are no longer stale", func() (bool, string) {
		s := readStats(ctx, t, h)
		return s.Stale == "", s.Stale
	})
	keptTables(ctx, t, h, key)
	connected(ctx, t, l)
}

// Tables on disk that cannot be trusted are no tables, and no reason to fail.
func TestDamagedTablesOnDiskAreNotUsed(t *testing.T) {
	l, ctx, es := withEtcd(t, lab.Config{Hosts: 2}, 1)
	h := l.Hosts[1]
	must(t, h.Agent.Stop(ctx))
	b := keptTables(ctx, t, h, "subnets/10.10.1.0-24")
	must(t, os.WriteFile(tables(h), bytes.Replace(b, []byte("192.0.2.1"), []byte("192.0.2.9"), 1), 0o644))
	es[0].Kill()
	must(t, h.StartAgent(ctx))
	must(t, h.Agent.WaitOutput(ctx, "tables of the last run cannot be used; waiting for etcd"))
	if s := readStats(ctx, t, h); s.Revision != 0 {
		t.Errorf("forwards by revision %d of a damaged file", s.Revision)
	}
	must(t, es[0].Restart(ctx))
	connected(ctx, t, l)
}

// A configuration that vanishes or stops parsing changes nothing, at a start
// either.
func TestTheLastGoodConfigurationStands(t *testing.T) {
	l, ctx, _ := withEtcd(t, lab.Config{Hosts: 2}, 1)
	h := l.Hosts[1]
	for _, spoil := range []func() error{
		func() error { return l.Put(ctx, prefix+"/config", `{"Network":"10.10.0.0/99"}`) },
		func() error { return l.Delete(ctx, prefix+"/config") },
	} {
		must(t, spoil())
		must(t, h.Agent.Stop(ctx), h.StartAgent(ctx))
		if !strings.Contains(h.Agent.Output(), "going on with the last good network configuration") {
			t.Errorf("nothing is said of the configuration:\n%s", h.Agent.Tail(20))
		}
		connected(ctx, t, l)
	}
	// The host that was told --network brings it back when it starts.
	must(t, l.Hosts[0].Agent.Stop(ctx), l.Hosts[0].StartAgent(ctx))
	must(t, l.Hosts[0].Agent.WaitOutput(ctx, "network configuration written"))
	connected(ctx, t, l)
}

// A start that took the network of the last run, since etcd was silent, writes
// nothing by it when etcd turns out to have another: it joins that one. What is of
// another prefix is no last run's.
func TestAStartThatMissedAnotherNetworkJoinsIt(t *testing.T) {
	l, ctx, es := withEtcd(t, lab.Config{Hosts: 2}, 1)
	h := l.Hosts[1]
	must(t, h.Agent.Stop(ctx), l.Delete(ctx, prefix+"/subnets/10.10.2.0-24"))
	must(t, l.Put(ctx, prefix+"/config", `{"Network":"10.77.0.0/16","Backend":{"Type":"vxlan","VNI":7,"Port":4789}}`))
	must(t, es[0].Pause())
	p, err := h.Start(program, h.AgentArgs()...)
	must(t, err)
	h.Agent = p
	must(t, p.WaitOutput(ctx, "starting as in the last run"))
	must(t, es[0].Resume(), p.WaitOutput(ctx, "joining that one"), p.WaitOutput(ctx, "create subnet: 10.77."))
	history, err := l.History(ctx)
	must(t, err)
	for i, e := range history {
		if !e.Deleted && strings.HasSuffix(e.Key, "/subnets/10.10.2.0-24") && slices.ContainsFunc(history[:i], func(o lab.Event) bool { return strings.Contains(o.Value, `"VNI":7`) }) {
			t.Errorf("the old network's subnet was leased after it had gone: %s", e.Value)
		}
	}
	must(t, p.Stop(ctx))

	p, err = h.Start(program, append(h.AgentArgs(), "--etcd-prefix", "/other/network")...)
	must(t, err)
	must(t, p.WaitOutput(ctx, "no network configuration in etcd yet"))
	keys, err := l.List(ctx, "/other/")
	must(t, err)
	if len(keys) != 0 {
		t.Errorf("written under another prefix: %v", keys)
	}
	must(t, p.Stop(ctx))

	// Nor does a disk that takes nothing keep it from a network that is new to it.
	must(t, unix.Mount(h.StateDir, h.StateDir, "", unix.MS_BIND, ""), unix.Mount("", h.StateDir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	defer func() { _ = unix.Unmount(h.StateDir, unix.MNT_DETACH) }()
	must(t, l.Put(ctx, prefix+"/config", `{"Network":"10.77.0.0/16","Backend":{"Type":"vxlan","VNI":8,"Port":4789}}`))
	p, err = h.Start(program, h.AgentArgs()...)
	must(t, err, p.WaitOutput(ctx, "MAC address not kept"), p.WaitOutput(ctx, "Running backend"))
}

// A network that gets another VNI gets another TAP. That of the last run goes, with
// its routes, unless it is another agent's by now.
func TestAnotherVNILeavesNoTAPBehind(t *testing.T) {
	l, ctx, _ := withEtcd(t, lab.Config{Hosts: 2}, 1)
	h := l.Hosts[1]
	network := func(prefix string, vni, port int) {
		t.Helper()
		must(t, l.Put(ctx, prefix+"/config", fmt.Sprintf(`{"Network":"10.10.0.0/16","Backend":{"Type":"vxlan","VNI":%d,"Port":%d}}`, vni, port)))
	}
	args := h.AgentArgs()
	i := slices.Index(args, "--tap")
	args = slices.Delete(args, i, i+2) // named by the VNI
	again := func() {
		t.Helper()
		must(t, h.Agent.Stop(ctx))
		p, err := h.Start(program, args...)
		must(t, err, p.WaitOutput(ctx, "Running backend"))
		h.Agent = p
	}
	taps := func() (names string) {
		t.Helper()
		for _, tap := range []string{"uvtep.1", "uvtep.7"} {
			_, err := h.Link(tap)
			if err == nil {
				names += tap + " "
			} else if !errors.Is(err, lab.ErrNoLink) {
				t.Fatal(err)
			}
		}
		return strings.TrimSpace(names)
	}
	for _, vni := range []int{7, 1} {
		network(prefix, vni, 4789)
		again()
		want := fmt.Sprintf("uvtep.%d", vni)
		eventually(ctx, t, "the TAP is "+want+" alone", func() (bool, string) { got := taps(); return got == want, got })
	}

	network("/other", 1, 4790)
	must(t, h.Agent.Stop(ctx))
	dir := t.TempDir()
	other, err := h.Start(program, "run", "--etcd-endpoints", l.EtcdURLs()[0], "--etcd-prefix", "/other", "--iface", "eth0", "--state-dir", dir,
		"--subnet-file", filepath.Join(dir, "subnet.env"), "--admin-socket", filepath.Join(dir, "sock"))
	must(t, err, other.WaitOutput(ctx, "Running backend"))
	its, err := h.Link("uvtep.1")
	must(t, err)
	network(prefix, 7, 4789)
	p, err := h.Start(program, args...)
	must(t, err, p.WaitOutput(ctx, "Running backend"))
	h.Agent = p
	left := func(when string) {
		t.Helper()
		if now, err := h.Link("uvtep.1"); err != nil || now.Index != its.Index || taps() != "uvtep.1 uvtep.7" {
			t.Errorf("%s the other agent's TAP was removed: the TAPs are %q, %v", when, taps(), err)
		}
	}
	left("while it ran")
	must(t, other.Stop(ctx))
	again()
	left("when it was stopped")
}

// A first start may wait long for etcd; the underlay is where it is then.
func TestAStartThatWaitedLooksForTheUnderlayAgain(t *testing.T) {
	l, ctx, es := withEtcd(t, lab.Config{Hosts: 2}, 1)
	h := l.Hosts[1]
	must(t, h.Agent.Stop(ctx), os.RemoveAll(h.StateDir), os.MkdirAll(h.StateDir, 0o755))
	es[0].Kill()
	p, err := h.Start(program, h.AgentArgs()...)
	must(t, err)
	h.Agent = p
	must(t, p.WaitOutput(ctx, "no answer"), h.Readdress(ctx, netip.MustParseAddr("192.0.2.22")), es[0].Restart(ctx))
	must(t, p.WaitOutput(ctx, "Running backend"))
	must(t, l.Hosts[0].Agent.WaitOutput(ctx, "PublicIP: 192.0.2.22 "))
}

// The host with the embedded etcd forwards before that serves, and when it cannot:
// its address may be another now.
func TestTheHostOfTheEmbeddedEtcdForwardsWithoutIt(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[0]
	connected(ctx, t, l)
	keptTables(ctx, t, h, "subnets/10.10.2.0-24")
	args, was := h.AgentArgs(), h.Addr
	must(t, h.Readdress(ctx, netip.MustParseAddr("192.0.2.22")))
	must(t, h.Agent.WaitOutput(ctx, "the embedded etcd serves on an address that this host may not have any more"))
	must(t, h.Agent.Stop(ctx))
	p, err := h.Start(program, args...)
	must(t, err)
	h.Agent = p
	must(t, p.WaitOutput(ctx, "the embedded etcd cannot be started; going on without it"))
	must(t, p.WaitOutput(ctx, "forwarding from the tables of the last run"), p.WaitOutput(ctx, "Running backend"))
	must(t, h.Readdress(ctx, was), p.WaitOutput(ctx, "etcd answers again"))
	connected(ctx, t, l)
	if p.Ended() {
		t.Error("the agent ended")
	}
	must(t, p.Stop(ctx), os.WriteFile(filepath.Join(h.StateDir, "etcd", "member", "snap", "db"), []byte("rubbish"), 0o600))
	p, err = h.Start(program, args...)
	must(t, err)
	h.Agent = p
	must(t, p.WaitOutput(ctx, "going on without it until the agent is restarted"), p.WaitOutput(ctx, "Running backend"))
	connected(ctx, t, l)
}

// A port that the kernel chooses is another one at each start.
func TestAnEmbeddedEtcdOnAFreePortIsFoundAtEachStart(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 1})
	h := l.Hosts[0]
	for range 2 {
		p, err := h.Start(program, "run", "--state-dir", h.StateDir, "--subnet-file", h.SubnetFile, "--admin-socket", h.AdminSocket, "--tap", h.TAP,
			"--network", network4, "--embedded-etcd", "--embedded-etcd-listen", "http://127.0.0.1:0")
		must(t, err, p.WaitOutput(ctx, "subnet key expired in"), p.Stop(ctx))
	}
}
