package bench

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

// fails runs an agent that must end by itself with an exit status and words.
func fails(t *testing.T, h *lab.Host, l *lab.Lab, code int, says []string, args ...string) {
	t.Helper()
	ctx := t.Context()
	p, err := h.Start(program, args...)
	must(t, err)
	_ = p.Wait(ctx)
	if p.ExitCode() != code {
		t.Errorf("got exit status %d, want %d", p.ExitCode(), code)
	}
	for _, w := range says {
		if !strings.Contains(p.Output(), w) {
			t.Errorf("it did not say %q; it said:\n%s", w, p.Output())
		}
	}
}

func TestFaultyFlagsAreAllReportedAndNothingIsOpened(t *testing.T) {
	l, _ := newLab(t, lab.Config{Hosts: 1})
	h := l.Hosts[0]
	fails(t, h, l, 2, []string{"--mac", "--queues", "--ttl", "--source-port-range", "--subnet"},
		"run", "--mac", "zz", "--queues", "0", "--ttl", "900", "--source-port-range", "5", "--subnet", "10.10.3.9/24", "--state-dir", h.StateDir)
	fails(t, h, l, 2, []string{"unknown flag"}, "run", "--no-such-flag")
	fails(t, h, l, 2, []string{"unknown command"}, "no-such-command")
	links, err := h.Links()
	must(t, err)
	for _, i := range links {
		if i.Type == "tuntap" {
			t.Errorf("%s was made", i.Name)
		}
	}
}

func TestTakenPortIsNamed(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2})
	must(t, l.Hosts[0].StartAgent(ctx))
	h := l.Hosts[1]
	var held net.PacketConn
	must(t, h.Do(func() (err error) {
		held, err = net.ListenPacket("udp4", "0.0.0.0:4789")
		return err
	}))
	fails(t, h, l, 1, []string{"4789", "is taken"}, h.AgentArgs()...)
	must(t, held.Close(), h.StartAgent(ctx))
}

func TestSecondAgentOnAHostIsRefusedAndTheFirstGoesOn(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[1]
	fails(t, h, l, 1, []string{"another uvtep agent"}, "run", "--etcd-endpoints", l.EtcdURLs()[0], "--tap", "second",
		"--state-dir", t.TempDir(), "--subnet-file", t.TempDir()+"/env", "--admin-socket", t.TempDir()+"/sock")
	connected(ctx, t, l)
}

func TestNoNetworkConfigurationIsWaitedFor(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2})
	bin, err := lab.BuildEtcd(ctx)
	must(t, err)
	_, err = l.StartEtcd(ctx, bin, 1)
	must(t, err)
	h := l.Hosts[1]
	p, err := h.Start(program, h.AgentArgs()...)
	must(t, err)
	must(t, p.WaitOutput(ctx, "uvtep network init"))
	init, err := h.Start(program, "network", "init", "--network", "10.10.0.0/16", "--etcd-endpoints", l.EtcdURLs()[0])
	must(t, err, init.Wait(ctx))
	must(t, p.WaitOutput(ctx, "Running backend"))
}

func TestConfigurationThatDoesNotFitEndsTheStart(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 1})
	bin, err := lab.BuildEtcd(ctx)
	must(t, err)
	_, err = l.StartEtcd(ctx, bin, 1)
	must(t, err)
	h := l.Hosts[0]
	args := []string{"run", "--etcd-endpoints", l.EtcdURLs()[0], "--state-dir", h.StateDir, "--subnet-file", h.SubnetFile, "--admin-socket", h.AdminSocket}
	for _, c := range []struct {
		name, config string
		says         []string
	}{
		{"no JSON", `{"Network":`, []string{"network configuration"}},
		{"two faults", `{"Network":"10.10.0.0/16","SubnetLen":40,"Backend":{"Type":"vxlan","VNI":99999999}}`, []string{"SubnetLen", "VNI"}},
		{"another backend", `{"Network":"10.10.0.0/16","Backend":{"Type":"host-gw"}}`, []string{"host-gw"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			must(t, l.Put(ctx, prefix+"/config", c.config))
			fails(t, h, l, 2, c.says, args...)
		})
	}
}

func TestNoFreeSubnetIsSaid(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 3})
	bin, err := lab.BuildEtcd(ctx)
	must(t, err)
	_, err = l.StartEtcd(ctx, bin, 1)
	must(t, err)
	// Room for exactly one subnet: SubnetMin is SubnetMax.
	must(t, l.Put(ctx, prefix+"/config", `{"Network":"10.10.0.0/16","SubnetLen":24,"SubnetMin":"10.10.5.0","SubnetMax":"10.10.5.0","Backend":{"Type":"vxlan","VNI":1,"Port":4789}}`))
	must(t, l.Hosts[1].StartAgent(ctx))
	if got := l.Hosts[1].Subnet.Masked().String(); got != "10.10.5.0/24" {
		t.Errorf("got %s, want 10.10.5.0/24", got)
	}
	fails(t, l.Hosts[2], l, 1, []string{"no free subnet"}, l.Hosts[2].AgentArgs()...)
}

func TestWithoutRightsItSaysWhichAreMissing(t *testing.T) {
	needRoot(t)
	cmd := exec.Command(program, "run", "--state-dir", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	must(t, exec.Command("chmod", "-R", "a+rX", strings.TrimSuffix(program, "/uvtep")).Run())
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(string(out), "CAP_NET_ADMIN") {
		t.Errorf("got %v and %q; want exit status 1 and a word on CAP_NET_ADMIN", err, out)
	}
}

// Bad datagrams are dropped, each with its counter, and cost nothing else: the
// good frame that follows each arrives.
func TestBadDatagramsAreCountedAndCostNothingElse(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2})
	startAgents(ctx, t, l.Hosts[:1])
	h, outside := l.Hosts[0], l.Hosts[1]
	// The second host is a known VTEP, but no agent runs there: the test speaks for it.
	mac := ether.Addr{2, 0, 0, 0, 0, 0x77}
	putLease(ctx, t, l, "10.10.77.0/24", outside.Addr, mac)
	eventually(ctx, t, "the tables with the VTEP are in force", func() (bool, string) {
		return strings.Contains(routesOf(t, h), "10.10.77.0/24"), routesOf(t, h)
	})
	tap, err := h.Link(h.TAP)
	must(t, err)
	own := ether.Addr(tap.MAC)
	inside, err := h.Wire(h.TAP)
	must(t, err)
	defer func() { _ = inside.Close() }()

	var conn, stranger net.Conn
	to := net.JoinHostPort(h.Addr.String(), "4789")
	must(t, outside.Do(func() (err error) {
		conn, err = net.Dial("udp4", to)
		return err
	}))
	must(t, outside.AddAddr("eth0", netip.MustParsePrefix("192.0.2.66/24")))
	must(t, outside.Do(func() (err error) {
		d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(192, 0, 2, 66)}}
		stranger, err = d.Dial("udp4", to)
		return err
	}))

	frame := func(dst, src ether.Addr, number uint16) []byte {
		f := make(ether.Frame, 60)
		ether.PutHeader(f, dst, src, 0x88b5)
		binary.BigEndian.PutUint16(f.Payload(), number)
		return f
	}
	wrap := func(flags byte, vni uint32, f []byte) []byte {
		d := make([]byte, encap.HeaderLen, encap.HeaderLen+len(f))
		d[0] = flags
		binary.BigEndian.PutUint32(d[4:], vni<<8)
		return append(d, f...)
	}
	good := func(n uint16) []byte { return frame(own, mac, n) }
	cases := []struct {
		name string
		conn net.Conn
		d    []byte
		want string
	}{
		{"empty", conn, nil, "DropRuntDatagram"},
		{"seven bytes", conn, make([]byte, 7), "DropRuntDatagram"},
		{"no I flag", conn, wrap(0, 1, good(0)), "DropNoVNI"},
		{"another VNI", conn, wrap(8, 2, good(0)), "DropForeignVNI"},
		{"an unknown sender", stranger, wrap(8, 1, good(0)), "DropUnknownVTEP"},
		{"no inner frame", conn, wrap(8, 1, nil), "DropRuntFrame"},
		{"an inner frame of 13 bytes", conn, wrap(8, 1, good(0)[:13]), "DropRuntFrame"},
		{"our own MAC as source", conn, wrap(8, 1, frame(own, own, 0)), "DropOwnSource"},
		{"a broadcast source", conn, wrap(8, 1, frame(own, ether.Broadcast, 0)), "DropInnerSource"},
		{"a BPDU", conn, wrap(8, 1, frame(ether.Addr{1, 0x80, 0xc2, 0, 0, 0}, mac, 0)), "DropInnerLinkControl"},
		{"a tagged frame", conn, wrap(8, 1, append(append(append([]byte{}, good(0)[:12]...), 0x81, 0, 0, 5), good(0)[12:]...)), "DropTagged"},
	}
	for i, c := range cases {
		before := readStats(ctx, t, h).Verdicts
		_, err := c.conn.Write(c.d)
		must(t, err)
		number := uint16(1000 + i)
		_, err = conn.Write(wrap(8, 1, good(number)))
		must(t, err)
		f, err := inside.Find(ctx, func(f lab.Frame) bool { return ether.Frame(f.Data).Type() == 0x88b5 })
		must(t, err)
		if got := binary.BigEndian.Uint16(ether.Frame(f.Data).Payload()); got != number {
			t.Errorf("%s: frame %d came through, want only the good one, %d", c.name, got, number)
		}
		// Another sender may be another lane's, which is not done when this one is.
		eventually(ctx, t, c.name+" is counted as "+c.want+" and as nothing else", func() (bool, string) {
			changed := changes(before, readStats(ctx, t, h).Verdicts)
			return changed == "Deliver+1 "+c.want+"+1 ", changed
		})
	}
}

// changes says by how much the counters on datagrams grew, in the order of
// their names. What the TAP hands over is the kernel's own business.
func changes(before, after map[string]verdictCount) string {
	out := ""
	for _, name := range slices.Sorted(maps.Keys(after)) {
		if n := after[name].Frames - before[name].Frames; n > 0 && inboundVerdicts[name] {
			out += fmt.Sprintf("%s+%d ", name, n)
		}
	}
	return out
}
