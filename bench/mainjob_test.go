package bench

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

func TestThreeHostsReachEachOtherWithoutKernelVXLAN(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{})
	connected(ctx, t, l)
	for _, h := range l.Hosts {
		links, err := h.Links()
		must(t, err)
		for _, i := range links {
			if i.Type == "vxlan" {
				t.Errorf("%s has the vxlan device %s", h.Name, i.Name)
			}
		}
		if got := strings.Count(routesOf(t, h), "via"); got != 2 {
			t.Errorf("%s has %d routes through its TAP, want one for each of the 2 others: %s", h.Name, got, routesOf(t, h))
		}
	}
	// The hosts themselves reach the containers and each other's TAP address.
	far := l.Hosts[2]
	if _, err := l.Hosts[0].Ping(ctx, far.Containers[0].Addr, lab.Pings{}); err != nil {
		t.Errorf("host 1 to a container on host 3: %v", err)
	}
	if _, err := l.Hosts[0].Ping(ctx, far.Subnet.Masked().Addr(), lab.Pings{}); err != nil {
		t.Errorf("host 1 to the TAP of host 3: %v", err)
	}
	for _, h := range l.Hosts {
		s := readStats(ctx, t, h)
		for name, n := range s.Verdicts {
			// Multicast is the kernel's own chatter on a new interface.
			if strings.HasPrefix(name, "Drop") && name != "DropMulticast" && n.Frames > 0 {
				t.Errorf("%s: %d frames met %s", h.Name, n.Frames, name)
			}
		}
		if s.Counts["SendRefused"]+s.Counts["WriteRefused"] > 0 {
			t.Errorf("%s: refused %v", h.Name, s.Counts)
		}
	}
}

// The figures of uvtep's predecessor: an underlay of 1460 bytes and the lease
// 10.10.238.0/24 gave docker --bip=10.10.238.1/24 --mtu=1410.
func TestPredecessorsFigures(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2, UnderlayMTU: 1460})
	must(t, l.Hosts[0].StartAgent(ctx, "--subnet", "10.10.238.0/24", "--log-format", "console"))
	h := l.Hosts[0]
	out, err := exec.Command(program, "docker-opts", "--subnet-file", h.SubnetFile).Output()
	must(t, err)
	if got, want := string(out), "--bip=10.10.238.1/24 --ip-masq=true --mtu=1410\n"; got != want {
		t.Errorf("docker-opts: got %q, want %q", got, want)
	}
	tap, err := h.Link(h.TAP)
	must(t, err)
	if tap.MTU != 1410 {
		t.Errorf("TAP: got MTU %d, want 1410", tap.MTU)
	}
	if got := fmt.Sprint(tap.Addrs); !strings.Contains(got, "10.10.238.0/32") {
		t.Errorf("TAP: got addresses %s, want 10.10.238.0/32", got)
	}
	must(t, l.Hosts[1].StartAgent(ctx))
	second := l.Hosts[1]
	mac := tap.MAC.String()
	must(t, second.Agent.WaitOutput(ctx, "adding subnet: 10.10.238.0/24 PublicIP: 192.0.2.1 VtepMAC: "+mac))
	for _, line := range []string{
		"Determining IP address of default interface",
		"Using interface with name eth0 and address 192.0.2.1",
		"Defaulting external address to interface address (192.0.2.1)",
		"TAP device created",
		"subnet key expired in: ",
		"create subnet: 10.10.238.0, net mask: 24",
		"MTU: 1410",
		"VXLan HardwareAddr: " + mac,
		"Running backend",
	} {
		if !strings.Contains(h.Agent.Output(), line) {
			t.Errorf("the first host did not log %q", line)
		}
	}
	for _, line := range []string{"calling AddARP: ", "calling AddFDB: "} {
		must(t, second.Agent.WaitOutput(ctx, line))
	}
	connectedAfter(ctx, t, l)
}

// connectedAfter adds a container a host and tries all pairs.
func connectedAfter(ctx context.Context, t *testing.T, l *lab.Lab) {
	t.Helper()
	must(t, l.AddContainers(ctx, 1))
	connected(ctx, t, l)
}

func TestPredecessorsCommandLine(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2})
	must(t, l.Hosts[0].StartAgent(ctx))
	h := l.Hosts[1]
	p, err := h.Start(program, "-etcdEndpoint", l.EtcdURLs()[0], "--state-dir", h.StateDir,
		"--subnet-file", h.SubnetFile, "--admin-socket", h.AdminSocket)
	must(t, err)
	must(t, p.WaitOutput(ctx, "Running backend"))
	must(t, p.WaitOutput(ctx, "adding subnet: "))
	eventually(ctx, t, "there is a route to the first host", func() (bool, string) {
		return strings.Count(routesOf(t, h), "via") == 1, routesOf(t, h)
	})
}

func TestEnvironmentSpeaksForFlags(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2})
	must(t, l.Hosts[0].StartAgent(ctx))
	h := l.Hosts[1]
	t.Setenv("FLANNELD_ETCD_ENDPOINTS", l.EtcdURLs()[0]) // flanneld's twin
	t.Setenv("FLANNELD_SUBNET_FILE", "/nonexistent/loses")
	t.Setenv("UVTEP_SUBNET_FILE", h.SubnetFile) // ours wins over flanneld's
	t.Setenv("UVTEP_TAP", "other")
	t.Setenv("UVTEP_STATE_DIR", h.StateDir)
	t.Setenv("UVTEP_NO_SUCH_FLAG", "is ignored")
	p, err := h.Start(program, "run", "--admin-socket", h.AdminSocket, "--tap", "flagwins")
	must(t, err)
	must(t, p.WaitOutput(ctx, "adding subnet: "))
	if _, err := h.Link("flagwins"); err != nil {
		t.Errorf("the command line lost against the environment: %v", err)
	}
}

// What leaves a host must be VXLAN to an independent decoder as well, captured
// behind the host's device.
func TestGopacketReadsWhatLeavesTheHost(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	a, b := l.Hosts[0], l.Hosts[1]
	wire, err := b.Wire("eth0")
	must(t, err)
	defer func() { _ = wire.Close() }()
	from, to := a.Containers[0], b.Containers[0]
	_, err = from.Ping(ctx, to.Addr, lab.Pings{Count: 1})
	must(t, err)
	f, err := wire.Find(ctx, func(f lab.Frame) bool {
		v, ok := parse(f, 4789)
		return ok && !f.Outgoing && v.inner.Type() == ether.TypeIPv4 && ether.IPv4(v.inner.Payload()).Protocol() == 1
	})
	must(t, err)

	p := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatal(e.Error())
	}
	var kinds []string
	for _, y := range p.Layers() {
		kinds = append(kinds, y.LayerType().String())
	}
	if got, want := strings.Join(kinds, "/"), "Ethernet/IPv4/UDP/VXLAN/Ethernet/IPv4/ICMPv4/Payload"; got != want {
		t.Fatalf("got layers %s, want %s", got, want)
	}
	outer := p.Layers()[1].(*layers.IPv4)
	udp := p.Layers()[2].(*layers.UDP)
	vx := p.Layers()[3].(*layers.VXLAN)
	inner := p.Layers()[4].(*layers.Ethernet)
	ip := p.Layers()[5].(*layers.IPv4)
	tapA, err := a.Link(a.TAP)
	must(t, err)
	tapB, err := b.Link(b.TAP)
	must(t, err)
	for _, c := range []struct{ what, got, want string }{
		{"outer source", outer.SrcIP.String(), "192.0.2.1"},
		{"outer destination", outer.DstIP.String(), "192.0.2.2"},
		{"outer TTL", fmt.Sprint(outer.TTL), "64"},
		{"outer flags", outer.Flags.String(), "DF"},
		{"outer TOS", fmt.Sprint(outer.TOS), "0"},
		{"UDP destination port", fmt.Sprint(uint16(udp.DstPort)), "4789"},
		{"I flag", fmt.Sprint(vx.ValidIDFlag), "true"},
		{"VNI", fmt.Sprint(vx.VNI), "1"},
		{"VXLAN header", fmt.Sprintf("% x", vx.Contents), "08 00 00 00 00 00 01 00"},
		{"inner source MAC", inner.SrcMAC.String(), tapA.MAC.String()},
		{"inner destination MAC", inner.DstMAC.String(), tapB.MAC.String()},
		{"inner source", ip.SrcIP.String(), from.Addr.String()},
		{"inner destination", ip.DstIP.String(), to.Addr.String()},
		{"inner TTL, one hop from the container", fmt.Sprint(ip.TTL), "63"},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %s, want %s", c.what, c.got, c.want)
		}
	}
	if udp.SrcPort < 49152 {
		t.Errorf("UDP source port %d is below 49152", udp.SrcPort)
	}
	if int(udp.Length) != len(vx.Contents)+len(vx.Payload)+8 {
		t.Errorf("UDP length %d does not fit %d bytes of VXLAN", udp.Length, len(vx.Contents)+len(vx.Payload))
	}
}

// The kernel's own vxlan device is the independent peer, registered in etcd by
// hand as flannel writes it.
func TestKernelVXLANPeer(t *testing.T) {
	for _, c := range []struct {
		name     string
		conf     lab.KernelConfig
		underlay lab.Condition
		args     []string
	}{
		{"that sends outer checksums", lab.KernelConfig{UDPCSum: true}, lab.Bare, nil},
		{"that sends none, as flannel's", lab.KernelConfig{}, lab.Bare, nil},
		// The underlay's veths as they are by default: superframes with unfinished
		// checksums come in a single datagram.
		{"on the same machine", lab.KernelConfig{UDPCSum: true}, lab.VethGSO, nil},
		{"on the same machine, flannel's", lab.KernelConfig{}, lab.VethGSO, nil},
		{"on the same machine, with a plain TAP", lab.KernelConfig{}, lab.VethGSO, []string{"--offload", "off"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, ctx := newLab(t, lab.Config{Hosts: 3, Underlay: c.underlay})
			startAgents(ctx, t, l.Hosts[:2], c.args...)
			c.conf.Subnet = netip.MustParsePrefix("10.10.200.0/24")
			peer, err := l.Hosts[2].AddKernelPeer(c.conf)
			must(t, err)
			for _, h := range l.Hosts[:2] {
				tap, err := h.Link(h.TAP)
				must(t, err)
				must(t, peer.Add(lab.Remote{Subnet: h.Subnet.Masked(), VTEP: h.Addr, MAC: tap.MAC}))
			}
			key, value := peer.Lease()
			must(t, l.Put(ctx, prefix+"/"+key, value))
			must(t, l.AddContainers(ctx, 1))
			for _, h := range l.Hosts[:2] {
				eventually(ctx, t, "there is a route to the kernel peer", func() (bool, string) {
					return strings.Contains(routesOf(t, h), "10.10.200.0/24"), routesOf(t, h)
				})
			}
			connected(ctx, t, l)
		})
	}
}

func TestRestartKeepsSubnetAndMACAndForwardsMeanwhile(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{})
	h := l.Hosts[1]
	before, err := h.Link(h.TAP)
	must(t, err)
	subnet, routes := h.Subnet, routesOf(t, h)
	must(t, h.Agent.Stop(ctx))
	if code := h.Agent.ExitCode(); code != 0 {
		t.Errorf("SIGTERM: got exit status %d, want 0", code)
	}
	// A stop leaves everything, so that the restart finds it.
	still, err := h.Link(h.TAP)
	must(t, err)
	leases, err := l.List(ctx, prefix+"/subnets/")
	must(t, err)
	if still.Index != before.Index || len(leases) != 3 {
		t.Errorf("after SIGTERM: TAP has index %d (was %d), %d leases (want 3)", still.Index, before.Index, len(leases))
	}
	must(t, h.StartAgent(ctx))
	after, err := h.Link(h.TAP)
	must(t, err)
	if h.Subnet != subnet || after.MAC.String() != before.MAC.String() || after.Index != before.Index {
		t.Errorf("after the restart: subnet %s, MAC %s, index %d; want %s, %s, %d", h.Subnet, after.MAC, after.Index, subnet, before.MAC, before.Index)
	}
	must(t, h.Agent.WaitOutput(ctx, "Returning existing device"))
	eventually(ctx, t, "the routes are back", func() (bool, string) { return routesOf(t, h) == routes, routesOf(t, h) })
	connected(ctx, t, l)

	// Killed, it comes back the same way.
	h.Agent.Kill()
	must(t, h.StartAgent(ctx))
	if h.Subnet != subnet {
		t.Errorf("after SIGKILL: subnet %s, want %s", h.Subnet, subnet)
	}
	connected(ctx, t, l)
}

func TestStopAnswersAtOnceWhileNothingIsThere(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2})
	h := l.Hosts[1]
	p, err := h.Start(program, h.AgentArgs()...) // no etcd anywhere
	must(t, err)
	must(t, p.WaitOutput(ctx, "etcd"))
	must(t, p.Signal(syscall.SIGTERM))
	must(t, p.Wait(ctx))
	if code := p.ExitCode(); code != 0 {
		t.Errorf("got exit status %d, want 0", code)
	}
}
