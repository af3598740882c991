package bench

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
)

// runOn runs a command of uvtep's on a host, and returns its exit status and
// what it wrote.
func runOn(ctx context.Context, t testing.TB, h *lab.Host, args ...string) (int, string) {
	t.Helper()
	p, err := h.Start(program, args...)
	must(t, err)
	select {
	case <-p.Done():
	case <-ctx.Done():
		t.Fatalf("uvtep %v does not end:\n%s", args, p.Output())
	}
	return p.ExitCode(), p.Output()
}

// downArgs is `uvtep down` on a host of the lab.
func downArgs(l *lab.Lab, h *lab.Host, extra ...string) []string {
	return append([]string{"down", "--state-dir", h.StateDir, "--subnet-file", h.SubnetFile, "--admin-socket", h.AdminSocket,
		"--etcd-endpoints", strings.Join(l.EtcdURLs(), ",")}, extra...)
}

func TestDownTakesTheHostOutOfTheNetwork(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 3})
	startAgents(ctx, t, l.Hosts[:1])
	startAgents(ctx, t, l.Hosts[1:], "--ip-masq")
	h := l.Hosts[1]
	must(t, l.AddContainers(ctx, 1))
	for _, h := range l.Hosts {
		eventually(ctx, t, h.Name+" knows all others", func() (bool, string) { return strings.Count(routesOf(t, h), "via") == 2, routesOf(t, h) })
	}

	// Not while the agent runs.
	if code, said := runOn(ctx, t, h, downArgs(l, h)...); code != 1 || !strings.Contains(said, "stop it first") {
		t.Fatalf("with an agent: got %d, %s", code, said)
	}
	if code, said := runOn(ctx, t, h, downArgs(l, h, "--admin-socket", "/none")...); code != 1 || !strings.Contains(said, "serves UDP port 4789") {
		t.Fatalf("with an agent whose socket is elsewhere: got %d, %s", code, said)
	}
	must(t, h.Agent.Stop(ctx))
	code, said := runOn(ctx, t, h, downArgs(l, h)...)
	for _, want := range []string{"removed uvtep.1", "removed " + h.SubnetFile, "released 10.10.2.0/24"} {
		if code != 0 || !strings.Contains(said, want) {
			t.Errorf("got %d, %s; want %q", code, said, want)
		}
	}
	if _, err := h.Link(h.TAP); !errors.Is(err, lab.ErrNoLink) {
		t.Errorf("the TAP is there still: %v", err)
	}
	if _, err := os.Stat(h.SubnetFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the subnet file is there still: %v", err)
	}
	if code, said := runOn(ctx, t, h, downArgs(l, h)...); code != 0 || strings.Contains(said, "removed") || strings.Contains(said, "released") {
		t.Errorf("a second time: got %d, %s", code, said)
	}
	keys, err := l.List(ctx, prefix)
	must(t, err)
	for key, value := range keys {
		if strings.Contains(key, "10.10.2.0") || strings.Contains(value, `"192.0.2.2"`) {
			t.Errorf("left in etcd: %s = %s", key, value)
		}
	}
	for _, other := range []*lab.Host{l.Hosts[0], l.Hosts[2]} {
		must(t, other.Agent.WaitOutput(ctx, "removing subnet: 10.10.2.0/24"))
	}
	// It may come back, and is the same host.
	must(t, h.StartAgent(ctx))
	if got := h.Subnet.Masked().String(); got != "10.10.2.0/24" {
		t.Errorf("came back with %s", got)
	}
	connected(ctx, t, l)
}

func TestDownWithoutEtcdClearsTheHost(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 1})
	startAgents(ctx, t, l.Hosts)
	h := l.Hosts[0]
	must(t, h.Agent.Stop(ctx)) // and its etcd with it
	code, said := runOn(ctx, t, h, downArgs(l, h)...)
	if code != 1 || !strings.Contains(said, "removed uvtep.1") || !strings.Contains(said, "stays leased until its time is over") {
		t.Errorf("got %d, %s", code, said)
	}
	if _, err := h.Link(h.TAP); !errors.Is(err, lab.ErrNoLink) {
		t.Errorf("the TAP is there still: %v", err)
	}
}
