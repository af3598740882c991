package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// finding is what `uvtep doctor -j` prints of each.
type finding struct{ Check, Severity, Text, Fix string }

// findings reads the output of `uvtep doctor -j` without what is ok.
func findings(t testing.TB, said string) []finding {
	t.Helper()
	var v struct{ Findings []finding }
	if err := json.Unmarshal([]byte(said), &v); err != nil {
		t.Fatalf("uvtep doctor -j: %v:\n%s", err, said)
	}
	return slices.DeleteFunc(v.Findings, func(f finding) bool { return f.Severity == "ok" })
}

// doctorFinds wants an exit status and exactly so many findings, each given as
// severity, check, a part of its text, and a part of its fix.
func doctorFinds(ctx context.Context, t testing.TB, h *lab.Host, what string, status int, want [][4]string, extra ...string) {
	t.Helper()
	code, said := runOn(ctx, t, h, append([]string{"doctor", "-j"}, onHost(h, extra...)...)...)
	found := findings(t, said)
	for _, w := range want {
		i := slices.IndexFunc(found, func(f finding) bool {
			return f.Severity == w[0] && f.Check == w[1] && strings.Contains(f.Text, w[2]) && strings.Contains(f.Fix, w[3])
		})
		if i < 0 {
			t.Errorf("%s: no finding %q among %+v", what, w, found)
			continue
		}
		found = slices.Delete(found, i, i+1)
	}
	if len(found) > 0 || code != status {
		t.Errorf("%s: exit status %d, want %d; findings that nobody expected: %+v", what, code, status, found)
	}
}

const healthy = `ok       agent           the agent answers at SOCKET
ok       tun             /dev/net/tun works
ok       permission      allowed to configure the network
ok       port            UDP port 4789 is the agent's
ok       underlay        the tunnel starts from eth0, 192.0.2.1
ok       registration    etcd has this host where it is
ok       firewall        the firewall lets UDP 4789 pass
ok       rp-filter       rp_filter drops nothing of the overlay
ok       mtu             frames of 1450 bytes fit all the way
ok       routes          no other route leads into the overlay
ok       forwarding      the kernel passes on what is for containers
ok       forward-policy  the firewall passes on what is for containers
ok       docker          docker0 has an address of this host's subnet
ok       tap             uvtep.1 is there and up
ok       tap-manager     no other program manages uvtep.1
ok       offload         all features of the data path are in use
ok       checksum        eth0 completes checksums
ok       buffers         the sockets have the buffers they asked for
ok       drops           no datagram was dropped for want of room
ok       conntrack       the table of connections has room
ok       peers           1 other host, and a way to each
ok       echo            VXLAN gets through to 1 other host and back
ok       etcd            etcd answers at 1 endpoint
ok       clock           this host's clock is etcd's to within 30s
ok       tables          the tables are etcd's, of revision N
ok       conflicts       no two hosts have one address, MAC address, node id or subnet
`

// What a command sees outside of the agent's network namespace is another host, as it
// were, whatever the agent says of its own.
func TestDoctorAndDiffAreForTheAgentsHost(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	for _, command := range []string{"doctor", "diff"} {
		out, err := exec.CommandContext(ctx, program, command, "--admin-socket", l.Hosts[0].AdminSocket).CombinedOutput()
		code := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		}
		want := fmt.Sprintf("the agent runs in another network namespace, and what is here is none of its host's: `nsenter -t %d -n %s %s", l.Hosts[0].Agent.PID, program, command)
		if code != 1 || !strings.Contains(string(out), want) {
			t.Errorf("%s: exit status %d, printed\n%s, want 1 and %s", command, code, out, want)
		}
	}
}

func TestDoctorNamesWhatIsWrong(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2, Underlay: lab.PlainWire})
	bin, err := lab.BuildEtcd(ctx)
	must(t, err)
	es, err := l.StartEtcd(ctx, bin, 1)
	must(t, err)
	startAgents(ctx, t, l.Hosts)
	must(t, l.AddContainers(ctx, 1))
	connected(ctx, t, l)
	h, far, e := l.Hosts[0], l.Hosts[1], es[0]
	code, said := runOn(ctx, t, h, append([]string{"doctor"}, onHost(h)...)...)
	said = optional.ReplaceAllString(masked(said), "")
	if diff := cmp.Diff(optional.ReplaceAllString(healthy, ""), said); code != 0 || diff != "" {
		t.Fatalf("a healthy host: exit status %d (-want +got):\n%s", code, diff)
	}
	none := [][4]string(nil)

	unblock, err := h.Block(lab.Block{})
	must(t, err)
	unanswered := [4]string{"warning", "echo", "10.10.2.0/24 at 192.0.2.2:4789: VXLAN gets to the peer but its answers are dropped on the way back", "uvtep probe " + nodeOf(t, far)}
	doctorFinds(ctx, t, h, "a closed port", 4, [][4]string{unanswered, {"error", "firewall", "drops what comes from 192.0.2.2 on UDP 4789: nftables inet lab1, chain input, hook input, rule ", "nft insert rule inet lab1 input udp dport 4789 accept"}})
	must(t, unblock())

	// The other host is half there: its port closed, its agent stopped.
	unblock, err = far.Block(lab.Block{})
	must(t, err)
	doctorFinds(ctx, t, h, "a closed port at the other end", 3, [][4]string{{"warning", "echo", "10.10.2.0/24 at 192.0.2.2:4789: VXLAN is dropped on the way to the peer, but plain UDP passes", "uvtep doctor on that host"}})
	must(t, unblock())
	freeze(ctx, t, far.Agent)
	doctorFinds(ctx, t, h, "an agent that hangs at the other end", 3, [][4]string{{"warning", "echo", "the peer's agent does not answer, but its host does", "uvtep doctor on that host"}})
	must(t, far.Agent.Signal(syscall.SIGCONT))

	must(t, h.SetMTU(h.TAP, 1500))
	doctorFinds(ctx, t, h, "a TAP too wide", 3, [][4]string{
		{"warning", "mtu", "somebody set the MTU of uvtep.1 to 1500; the agent chose 1450", "ip link set uvtep.1 mtu 1450"},
		{"warning", "mtu", "the underlay eth0 takes 1500 bytes, and full frames of uvtep.1 (MTU 1500) make 1550", "mtu 1450"},
	})
	must(t, h.SetMTU(h.TAP, 1450), h.SetMTU("docker0", 1500))
	doctorFinds(ctx, t, h, "a bridge too wide", 3, [][4]string{{"warning", "mtu", "docker0 has an MTU of 1500, but uvtep.1 has 1450", "--mtu=1450"}})
	must(t, h.SetMTU("docker0", 1450), h.Sysctl("net/ipv4/ip_forward", "0"))
	doctorFinds(ctx, t, h, "no forwarding", 4, [][4]string{{"error", "forwarding", "net.ipv4.ip_forward is off: containers reach nobody", "sysctl -w net.ipv4.ip_forward=1"}})
	stray := netip.MustParsePrefix("10.10.200.0/24")
	must(t, h.Sysctl("net/ipv4/ip_forward", "1"), h.AddRoute("eth0", stray, netip.MustParseAddr("192.0.2.254")))
	doctorFinds(ctx, t, h, "a stray route", 3, [][4]string{{"warning", "routes", "10.10.200.0/24 via 192.0.2.254 dev eth0", "ip route delete 10.10.200.0/24 via 192.0.2.254 dev eth0"}})
	must(t, h.DeleteRoute("eth0", stray))
	doctorFinds(ctx, t, h, "all of that put right", 0, none)

	// Somebody who may not ask the agent.
	p, err := h.StartAs(65534, program, append([]string{"doctor", "-j"}, onHost(h, "--etcd-endpoints", e.URL)...)...)
	must(t, err)
	_ = p.Wait(ctx)
	if fs := findings(t, p.Output()); p.ExitCode() != 3 || fs[0].Check != "agent" || !strings.Contains(fs[0].Text, "not allowed to ask the agent") {
		t.Errorf("as nobody: exit status %d, %+v", p.ExitCode(), fs)
	}

	// A host that is gone, and one that never was.
	must(t, far.Agent.Stop(ctx))
	records, err := l.List(ctx, prefix+"/uvtep/hosts/")
	must(t, err)
	for key, value := range records {
		if strings.Contains(value, `"192.0.2.2"`) {
			must(t, l.Delete(ctx, key))
		}
	}
	doctorFinds(ctx, t, h, "a host that is gone", 0, [][4]string{{"note", "peers", "192.0.2.2 has no host record any more", "uvtep subnets release 10.10.2.0/24"}})
	ghost := putLease(ctx, t, l, "10.10.66.0/24", netip.MustParseAddr("192.0.2.66"), ether.Addr{2, 0, 0, 0, 0, 0x66})
	must(t, h.Sysctl("net/ipv4/neigh/eth0/mcast_solicit", "1"), h.Sysctl("net/ipv4/neigh/eth0/retrans_time_ms", "100"))
	eventually(ctx, t, "a neighbour is silent", func() (bool, string) {
		knock(t, h.Node, "192.0.2.66")
		code, said := runOn(ctx, t, h, append([]string{"doctor", "-j"}, onHost(h)...)...)
		return code == 3 && strings.Contains(said, "192.0.2.66 (flannel at 192.0.2.66) does not answer on eth0 when its MAC address is asked for"), said
	})
	must(t, l.Delete(ctx, ghost))

	// Without its agent: its port is taken.
	gone := [4]string{"error", "agent", "no agent runs here, and one did", "uvtep run"}
	doctorFinds(ctx, t, far, "no agent", 4, [][4]string{gone}, "--etcd-endpoints", e.URL)
	var c net.PacketConn
	must(t, far.Do(func() (err error) {
		c, err = net.ListenPacket("udp", "192.0.2.2:4789")
		return err
	}))
	doctorFinds(ctx, t, far, "a port that is taken", 4, [][4]string{gone, {"error", "port", "UDP port 4789 at 192.0.2.2 is held by bench.test (process ", "kill "}}, "--etcd-endpoints", e.URL)
	must(t, c.Close())

	// Without etcd, and without anything.
	e.Kill()
	must(t, h.Agent.WaitOutput(ctx, "etcd does not answer"))
	doctorFinds(ctx, t, h, "no etcd", 4, [][4]string{
		{"error", "etcd", "etcd at " + e.URL + " does not serve", "is etcd up"}, {"warning", "tables", "the agent has not heard from etcd since ", "bring etcd back"},
	})
	if err := os.WriteFile(h.AdminSocket+"2", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	doctorFinds(ctx, t, h, "an agent that cannot be found", 4, [][4]string{
		{"error", "etcd", "does not serve", ""}, {"warning", "agent", "uvtep (process ", "--admin-socket"},
	}, "--admin-socket", h.AdminSocket+"2", "--etcd-endpoints", e.URL)
}

// optional are lines about what kernels differ in.
var optional = regexp.MustCompile(`(?m)^.*  (conntrack|offload|checksum) .*\n(.*fix: .*\n)?`)
