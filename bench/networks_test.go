package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
)

// vniOf is the VNI of a network of the tests, whose range is 10.<VNI>.0.0/16.
var vniOf = map[string]int{"blue": 11, "red": 12}

func tapOf(network string) string { return fmt.Sprintf("uvtep.%d", vniOf[network]) }

// newNetworks is a lab with an etcd that holds the configurations of these
// networks.
func newNetworks(t testing.TB, networks ...string) (*lab.Lab, context.Context, *lab.Etcd) {
	t.Helper()
	l, ctx := newLab(t, lab.Config{})
	bin, err := lab.BuildEtcd(ctx)
	must(t, err)
	es, err := l.StartEtcd(ctx, bin, 1)
	must(t, err)
	for _, n := range networks {
		initNetwork(ctx, t, l, n)
	}
	return l, ctx, es[0]
}

func etcdArg(l *lab.Lab) string { return "--etcd-endpoints=" + strings.Join(l.EtcdURLs(), ",") }

func initNetwork(ctx context.Context, t testing.TB, l *lab.Lab, name string) {
	t.Helper()
	v := vniOf[name]
	code, said := runOn(ctx, t, l.Hosts[0], "network", "init", "--network-name", name, "--network", fmt.Sprintf("10.%d.0.0/16", v), "--vni", fmt.Sprint(v), etcdArg(l))
	if code != 0 {
		t.Fatalf("init %s: %d, %s", name, code, said)
	}
}

// inNetworks is the command line of an agent in these networks.
func inNetworks(l *lab.Lab, h *lab.Host, names []string, extra ...string) []string {
	args := []string{"run", "--state-dir", h.StateDir, "--subnet-file", h.SubnetFile, "--admin-socket", h.AdminSocket, etcdArg(l)}
	for _, n := range names {
		args = append(args, "--network-name", n)
	}
	return append(args, extra...)
}

// startIn starts such an agent, and waits until it is in these networks.
func startIn(ctx context.Context, t testing.TB, l *lab.Lab, h *lab.Host, names []string, extra ...string) {
	t.Helper()
	p, err := h.Start(program, inNetworks(l, h, names, extra...)...)
	must(t, err)
	h.Agent = p
	for _, n := range names {
		joined(ctx, t, h, n)
	}
}

// joined waits until an agent is in a network.
func joined(ctx context.Context, t testing.TB, h *lab.Host, network string) {
	t.Helper()
	eventually(ctx, t, h.Name+" is in "+network, func() (bool, string) {
		for line := range strings.Lines(h.Agent.Output()) {
			if strings.Contains(line, `"network":"`+network+`"`) && strings.Contains(line, "Running backend") {
				return true, ""
			}
		}
		return false, h.Agent.Tail(10)
	})
}

// envOf is the subnet file of a network, and the address that it gives the host.
func envOf(t testing.TB, h *lab.Host, network string) (path string, addr netip.Addr) {
	t.Helper()
	path = filepath.Join(filepath.Dir(h.SubnetFile), network+".env")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, netip.Addr{}
	}
	must(t, err)
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "FLANNEL_SUBNET="); ok {
			p, err := netip.ParsePrefix(v)
			must(t, err)
			return path, p.Masked().Addr()
		}
	}
	t.Fatalf("%s has no subnet:\n%s", path, b)
	return "", netip.Addr{}
}

// meet pings between all of these hosts in a network.
func meet(ctx context.Context, t testing.TB, network string, hosts ...*lab.Host) {
	t.Helper()
	for _, a := range hosts {
		for _, b := range hosts {
			if _, to := envOf(t, b, network); a != b {
				if err := a.Reach(ctx, to); err != nil {
					t.Fatalf("%s: %s to %s (%s): %v", network, a.Name, b.Name, to, err)
				}
			}
		}
	}
}

func TestTwoNetworksOnEachOfThreeHosts(t *testing.T) {
	l, ctx, etcd := newNetworks(t, "blue")
	both, h := []string{"blue", "red"}, l.Hosts[2]
	// One that has no configuration yet is waited for while the other works.
	for _, h := range l.Hosts {
		p, err := h.Start(program, inNetworks(l, h, both)...)
		must(t, err)
		h.Agent = p
		joined(ctx, t, h, "blue")
	}
	meet(ctx, t, "blue", l.Hosts...)
	if code, said := runOn(ctx, t, h, "status", "--admin-socket", h.AdminSocket); code != 0 || !strings.Contains(said, "network red is not joined") {
		t.Errorf("status: %d, %s", code, said)
	}
	initNetwork(ctx, t, l, "red")
	for _, h := range l.Hosts {
		joined(ctx, t, h, "red")
	}
	meet(ctx, t, "red", l.Hosts...)
	meet(ctx, t, "blue", l.Hosts...)
	showsBoth(ctx, t, l, h)

	// A configuration that goes, and one that a start would refuse, change nothing.
	must(t, l.Delete(ctx, prefix+"/red/config"))
	must(t, l.Put(ctx, prefix+"/red/config", `{"Network":"10.12.0.0/16","Backend":{"Type":"vxlan","VNI":11,"Port":4789}}`))
	must(t, h.Agent.WaitOutput(ctx, "would be refused at a start"))
	meet(ctx, t, "red", l.Hosts...)
	// A TAP that goes takes nothing but itself along.
	must(t, h.DeleteLink(tapOf("red")), h.Agent.WaitOutput(ctx, "TAP device is gone; making it anew"))
	meet(ctx, t, "blue", l.Hosts...)
	meet(ctx, t, "red", l.Hosts...)

	// An underlay that moves takes both along.
	const moved = "192.0.2.33"
	must(t, h.Readdress(ctx, netip.MustParseAddr(moved)))
	for _, n := range both {
		_, subnet := envOf(t, h, n)
		for _, other := range l.Hosts[:2] {
			must(t, other.Agent.WaitOutput(ctx, "adding subnet: "+subnet.String()+"/24 PublicIP: "+moved))
		}
		meet(ctx, t, n, l.Hosts...)
	}

	// A start refuses what cannot be, and says what to change.
	must(t, h.Agent.Stop(ctx))
	code, said := runOn(ctx, t, h, inNetworks(l, h, both)...)
	if code != 2 || !strings.Contains(said, "both have VNI 11") || !strings.Contains(said, prefix+"/red/config") {
		t.Errorf("one VNI: %d, %s", code, said)
	}
	must(t, l.Put(ctx, prefix+"/red/config", `{"Network":"10.11.128.0/17","Backend":{"Type":"vxlan","VNI":12,"Port":4789}}`))
	if code, said := runOn(ctx, t, h, inNetworks(l, h, both)...); code != 2 || !strings.Contains(said, "overlap (10.11.0.0/16, 10.11.128.0/17)") {
		t.Errorf("one range: %d, %s", code, said)
	}
	must(t, l.Put(ctx, prefix+"/red/config", `{"Network":"10.12.0.0/16","Backend":{"Type":"vxlan","VNI":12,"Port":4790}}`))
	if code, said := runOn(ctx, t, h, inNetworks(l, h, both)...); code != 2 || !strings.Contains(said, "UDP ports 4789 and 4790") {
		t.Errorf("two ports: %d, %s", code, said)
	}
	must(t, l.Put(ctx, prefix+"/red/config", `{"Network":"10.12.0.0/16","Backend":{"Type":"vxlan","VNI":12,"Port":4789}}`))

	// Without red, which leaves nothing on the host that would lead frames astray.
	env, red := envOf(t, h, "red")
	startIn(ctx, t, l, h, []string{"blue"})
	if _, err := h.Link(tapOf("red")); !errors.Is(err, lab.ErrNoLink) {
		t.Errorf("red's TAP is there still: %v", err)
	}
	if _, err := os.Stat(env); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("red's subnet file is there still: %v", err)
	}
	meet(ctx, t, "blue", l.Hosts...)
	meet(ctx, t, "red", l.Hosts[:2]...)
	// And with it again, in the place that it had.
	must(t, h.Agent.Stop(ctx))
	startIn(ctx, t, l, h, []string{"red", "blue"})
	if _, is := envOf(t, h, "red"); is != red {
		t.Errorf("came back to red with %s, want %s", is, red)
	}
	meet(ctx, t, "red", l.Hosts...)
	meet(ctx, t, "blue", l.Hosts...)

	// A start without etcd goes on in both.
	etcd.Kill()
	must(t, h.Agent.Stop(ctx))
	startIn(ctx, t, l, h, both)
	meet(ctx, t, "red", l.Hosts...)
	meet(ctx, t, "blue", l.Hosts...)
	must(t, etcd.Restart(ctx))

	// For good, of both.
	if code, said := runOn(ctx, t, h, downArgs(l, h)...); code != 1 || !strings.Contains(said, "stop it first") {
		t.Fatalf("with an agent: got %d, %s", code, said)
	}
	must(t, h.Agent.Stop(ctx))
	code, said = runOn(ctx, t, h, downArgs(l, h)...)
	for _, want := range []string{"removed uvtep.11", "removed uvtep.12", "blue.env", "red.env", "released 10.11.", "released 10.12."} {
		if code != 0 || !strings.Contains(said, want) {
			t.Errorf("down: %d, %s; want %q", code, said, want)
		}
	}
	keys, err := l.List(ctx, prefix)
	must(t, err)
	for key, value := range keys {
		if strings.Contains(value, `"`+moved+`"`) {
			t.Errorf("left in etcd: %s = %s", key, value)
		}
	}
}

// showsBoth looks at what the commands say of an agent in blue and red.
func showsBoth(ctx context.Context, t *testing.T, l *lab.Lab, h *lab.Host) {
	t.Helper()
	for _, command := range []string{"fdb", "neigh", "route", "link", "stats", "status"} {
		code, said := runOn(ctx, t, h, command, "--admin-socket", h.AdminSocket)
		for _, tap := range []string{"uvtep.11", "uvtep.12"} {
			if code != 0 || !strings.Contains(said, tap) {
				t.Errorf("uvtep %s: %d, and not of %s:\n%s", command, code, tap, said)
			}
		}
	}
	for name, ip := range map[string]string{"blue": "10.11.", "red": "10.12."} {
		if code, said := runOn(ctx, t, h, "subnets", "--network-name", name, etcdArg(l)); code != 0 || strings.Count(said, ip) != 3 || strings.Count(said, "10.1") != 3 {
			t.Errorf("uvtep subnets of %s: %d\n%s", name, code, said)
		}
		if code, said := runOn(ctx, t, h, "diff", "--network-name", name, "--admin-socket", h.AdminSocket); code != 0 {
			t.Errorf("uvtep diff of %s: %d\n%s", name, code, said)
		}
		if code, said := runOn(ctx, t, h, "doctor", "--network-name", name, "--admin-socket", h.AdminSocket); code > 3 || !strings.Contains(said, "the agent answers") {
			t.Errorf("uvtep doctor of %s: %d\n%s", name, code, said)
		}
	}
	if code, said := runOn(ctx, t, h, "diff", "--admin-socket", h.AdminSocket); code == 0 || !strings.Contains(said, "say which with --network-name") {
		t.Errorf("uvtep diff of no network: %d\n%s", code, said)
	}
	if code, said := runOn(ctx, t, h, "doctor", "--admin-socket", h.AdminSocket); code != 1 || !strings.Contains(said, "say which with --network-name") {
		t.Errorf("uvtep doctor of no network: %d\n%s", code, said)
	}
}

// Stations of one MAC and one IP address, each in both networks and on another
// host in each: whom one meets tells which network its frames are in.
func TestStationsOfOneAddressInTwoNetworksAreTwo(t *testing.T) {
	l, ctx, _ := newNetworks(t, "blue", "red")
	names := []string{"blue", "red"}
	for _, h := range l.Hosts {
		p, err := h.Start(program, inNetworks(l, h, names, "--no-subnet", "--bridge", "blue=brblue", "--bridge", "red=brred")...)
		must(t, err)
		h.Agent = p
		for _, n := range names {
			joined(ctx, t, h, n)
		}
	}
	// Station 1 is on the first host in both, station 2 on the second in blue and
	// the third in red, station 3 in blue alone.
	add := func(h *lab.Host, network string, i int) *lab.Station {
		s, err := h.AddStation(ctx, "br"+network, fmt.Sprintf("%s%d", network, i), net.HardwareAddr(stationMAC(i)), 1450, stationAddrs(i)[:1]...)
		must(t, err)
		return s
	}
	from, to := map[string]*lab.Station{}, map[string]*lab.Station{}
	for i, n := range names {
		from[n], to[n] = add(l.Hosts[0], n, 1), add(l.Hosts[1+i], n, 2)
	}
	third := add(l.Hosts[2], "blue", 3)
	var all sync.WaitGroup
	for _, s := range []*lab.Station{from["blue"], to["blue"], third, from["red"], to["red"]} {
		all.Go(func() { _, _ = s.Ping(ctx, netip.MustParseAddr("10.20.0.99"), lab.Pings{Count: 1}) }) // tells who is there
	}
	all.Wait()
	must(t, from["blue"].Reach(ctx, third.Addr), third.Reach(ctx, from["blue"].Addr))
	for _, n := range names {
		must(t, from[n].Reach(ctx, to[n].Addr), to[n].Reach(ctx, from[n].Addr))
		conn := echoing(ctx, t, from[n], to[n].Node) // the server is there in this network alone
		echoes(t, conn)
	}
	// Nobody in red has the third's address, and nobody answers for it.
	if got, err := from["red"].Ping(ctx, third.Addr, lab.Pings{Count: 1}); err == nil && got.Received > 0 {
		t.Errorf("red reached a station of blue: %v", got)
	}
	for i, want := range []string{"192.0.2.2", "192.0.2.3"} {
		_, said := runOn(ctx, t, l.Hosts[0], "fdb", "--admin-socket", l.Hosts[0].AdminSocket)
		line := net.HardwareAddr(stationMAC(2)).String() + " dev " + tapOf(names[i]) + " dst " + want
		if !strings.Contains(said, line) {
			t.Errorf("%s: no %q in\n%s", names[i], line, said)
		}
		code, said := runOn(ctx, t, l.Hosts[0], "endpoints", "list", "--network-name", names[i], etcdArg(l))
		if code != 0 || !strings.Contains(said, want) || strings.Contains(said, net.HardwareAddr(stationMAC(3)).String()) != (i == 0) {
			t.Errorf("endpoints of %s: %d\n%s", names[i], code, said)
		}
	}
	for _, n := range names {
		if path, addr := envOf(t, l.Hosts[0], n); addr.IsValid() {
			t.Errorf("%s: a subnet file %s on a host without a subnet", n, path)
		}
	}
}
