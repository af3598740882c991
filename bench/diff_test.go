package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// sorts of things that differ from run to run, and what stands for them.
var masks = []struct {
	what *regexp.Regexp
	mask string
}{
	{regexp.MustCompile(`[0-9a-f]{2}(:[0-9a-f]{2}){5}`), "MAC"},
	{regexp.MustCompile(`revision \d+`), "revision N"},
	{regexp.MustCompile(`/\S+\.sock`), "SOCKET"},
	{regexp.MustCompile(`: error reading server preface: [^;]*`), ""}, // grpc may know that, or not
}

func masked(s string) string {
	for _, m := range masks {
		s = m.what.ReplaceAllString(s, m.mask)
	}
	return s
}

// onHost are the flags by which a command finds what belongs to a host of the lab.
func onHost(h *lab.Host, extra ...string) []string {
	return append([]string{"--admin-socket", h.AdminSocket, "--state-dir", h.StateDir}, extra...)
}

// diffSays runs `uvtep diff` once, and wants an exit status and an output.
func diffSays(ctx context.Context, t testing.TB, h *lab.Host, status int, want string, extra ...string) {
	t.Helper()
	code, said := runOn(ctx, t, h, append([]string{"diff"}, onHost(h, extra...)...)...)
	if diff := cmp.Diff(want, masked(said)); code != status || diff != "" {
		t.Errorf("uvtep diff: exit status %d, want %d; output (-want +got):\n%s", code, status, diff)
	}
}

// sameAgain waits until `uvtep diff` finds nothing any more.
func sameAgain(ctx context.Context, t testing.TB, h *lab.Host) {
	t.Helper()
	eventually(ctx, t, "uvtep diff finds nothing", func() (bool, string) {
		code, said := runOn(ctx, t, h, append([]string{"diff"}, onHost(h)...)...)
		return code == 0, said
	})
}

// freeze stops a process, and waits until each of its threads has: one may be at
// work for a moment still.
func freeze(ctx context.Context, t testing.TB, p *lab.Process) {
	t.Helper()
	must(t, p.Signal(syscall.SIGSTOP))
	eventually(ctx, t, "all threads are stopped", func() (bool, string) {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID))
		must(t, err)
		for _, name := range stats {
			b, _ := os.ReadFile(name)
			if i := bytes.LastIndexByte(b, ')'); i < 0 || len(b) < i+3 || b[i+2] != 'T' {
				return false, string(b)
			}
		}
		return len(stats) > 0, ""
	})
}

func TestDiffNamesWhatDiffersUntilItIsPutRight(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2, IPv6: true})
	bin, err := lab.BuildEtcd(ctx)
	must(t, err)
	es, err := l.StartEtcd(ctx, bin, 1)
	must(t, err)
	startAgents(ctx, t, l.Hosts)
	h, e := l.Hosts[0], es[0]
	sameAgain(ctx, t, h)
	diffSays(ctx, t, h, 0, "")
	far := netip.MustParsePrefix("10.10.2.0/24")
	away := "uvtep diff: etcd not compared: read \"/coreos.com/network/config\" from etcd: no answer within 2s; " +
		"is etcd up, and is --etcd-endpoints right?; the agent's tables, of revision N, stand in for it\n"

	// Etcd is silent: the rest is compared. What is foreign the agent leaves alone.
	must(t, e.Pause())
	diffSays(ctx, t, h, 0, away)
	part := netip.MustParsePrefix("10.10.2.128/25")
	must(t, h.AddRoute("eth0", part, netip.MustParseAddr("192.0.2.254")))
	diffSays(ctx, t, h, 2, away+"+ route 10.10.2.128/25 via 192.0.2.254 dev eth0 proto 3: in kernel, not in agent\n")
	must(t, h.DeleteRoute("eth0", part))
	keptTables(ctx, t, h, "subnets/10.10.2.0-24")

	// The agent is stopped too, so that it puts nothing right.
	freeze(ctx, t, h.Agent)
	must(t, h.DeleteRoute(h.TAP, far), h.SetMAC(h.TAP, net.HardwareAddr{2, 0, 0, 0, 0, 9}))
	stopped := "uvtep diff: agent not compared: the agent at SOCKET has not answered within 2s: is it stopped (SIGSTOP), or the machine out of breath?\n"
	changed := func(who string) string {
		return "- route 10.10.2.0/24 via 10.10.2.0: in " + who + ", not in kernel; key subnets/10.10.2.0-24; revision N\n" +
			"- tap address MAC: in " + who + ", not in kernel\n+ tap address MAC: in kernel, not in " + who + "\n"
	}
	diffSays(ctx, t, h, 2, stopped+"uvtep diff: etcd not compared: read \"/coreos.com/network/config\" from etcd: no answer within 2s; "+
		"is etcd up, and is --etcd-endpoints right?\nuvtep diff: the tables that the agent keeps for its next start, of revision N, stand in for etcd\n"+
		changed("cache"), "--etcd-endpoints", e.URL)
	must(t, e.Resume())
	diffSays(ctx, t, h, 2, stopped+changed("etcd"), "--etcd-endpoints", e.URL)
	must(t, h.Agent.Signal(syscall.SIGCONT))
	sameAgain(ctx, t, h)

	// The agent does not hear of a key.
	unblock, err := h.Block(lab.Block{TCP: true, FromPort: 2379, From: e.Addr})
	must(t, err)
	mac := ether.Addr{2, 0, 0, 0, 0, 0x77}
	putLease(ctx, t, l, "10.10.77.0/24", netip.MustParseAddr("192.0.2.77"), mac)
	past := []string{"--etcd-endpoints", "http://" + netip.AddrPortFrom(e.Addr6, 2379).String()}
	from := ": in etcd, not in agent; key subnets/10.10.77.0-24; revision N\n"
	diffSays(ctx, t, h, 2, "- fdb MAC dst 192.0.2.77"+from+"- vtep 192.0.2.77:4789: in etcd, not in agent\n"+
		"- neigh 10.10.77.0 lladdr MAC"+from+"- route 10.10.77.0/24 via 10.10.77.0"+from, past...)
	code, said := runOn(ctx, t, h, append([]string{"diff", "-j"}, onHost(h, past...)...)...)
	var v struct {
		Etcd, Agent struct {
			Read     bool
			Revision int64
		}
		Differences []struct{ Sign, About, Key string }
	}
	must(t, json.Unmarshal([]byte(said), &v))
	if code != 2 || !v.Etcd.Read || !v.Agent.Read || v.Etcd.Revision <= v.Agent.Revision || len(v.Differences) != 4 || v.Differences[0].Key != "subnets/10.10.77.0-24" {
		t.Errorf("uvtep diff -j: exit status %d, %s", code, said)
	}
	must(t, unblock())
	sameAgain(ctx, t, h)

	// A configuration that is gone or broken changes nothing, and is named.
	config, err := l.List(ctx, prefix+"/config")
	must(t, err, l.Put(ctx, prefix+"/config", "{"))
	code, said = runOn(ctx, t, h, append([]string{"diff"}, onHost(h)...)...)
	if code != 2 || !strings.Contains(said, "+ config Backend.Port 4789: in agent, not in etcd; key config\n") || strings.Contains(said, "fdb") {
		t.Errorf("a broken configuration: exit status %d, %s", code, said)
	}
	must(t, l.Put(ctx, prefix+"/config", config[prefix+"/config"]))
	sameAgain(ctx, t, h)
	must(t, h.Agent.Stop(ctx))
	diffSays(ctx, t, h, 1, "uvtep diff: agent not compared: no agent at SOCKET; start `uvtep run`, or say where with --admin-socket (one that waits for etcd the first time has no socket yet: see its log)\n", "--etcd-endpoints", e.URL)
	code, said = runOn(ctx, t, h, "diff", "--admin-socket", h.AdminSocket, "--state-dir", t.TempDir(), "--etcd-endpoints", e.URL)
	if code != 1 || !strings.Contains(said, "holds no node id") || !strings.Contains(said, "nothing to compare the kernel with") {
		t.Errorf("without anything to compare with: exit status %d, %s", code, said)
	}
}
