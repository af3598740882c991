package bench

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

const (
	network4 = "10.10.0.0/16"
	network6 = "fd00:10::/48"
)

// newFamilies is a lab with IPv6 on the underlay, a real etcd, and a network of
// these ranges in it ("" for none).
func newFamilies(t testing.TB, c lab.Config, range4, range6 string) (*lab.Lab, context.Context) {
	t.Helper()
	c.IPv6 = true
	l, ctx := newLab(t, c)
	bin, err := lab.BuildEtcd(ctx)
	must(t, err)
	_, err = l.StartEtcd(ctx, bin, 1)
	must(t, err)
	args := []string{"network", "init", "--etcd-endpoints", l.Hosts[0].EtcdURLs()[0]}
	if range4 != "" {
		args = append(args, "--network", range4)
	}
	if range6 != "" {
		args = append(args, "--ipv6-network", range6)
	}
	p, err := l.Hosts[0].Start(program, args...)
	must(t, err)
	if err := p.Wait(ctx); err != nil {
		t.Fatalf("uvtep %v: %v\n%s", args, err, p.Output())
	}
	return l, ctx
}

// populated starts an agent on every host and adds a container behind each.
func populated(ctx context.Context, t testing.TB, l *lab.Lab, extra ...string) {
	t.Helper()
	for _, h := range l.Hosts {
		must(t, h.StartAgent(ctx, extra...))
	}
	must(t, l.AddContainers(ctx, 1))
}

// addrsOf are a container's addresses.
func addrsOf(c *lab.Container) []netip.Addr {
	return slices.DeleteFunc([]netip.Addr{c.Addr, c.Addr6}, func(a netip.Addr) bool { return !a.IsValid() })
}

// reaches pings and sends TCP from one host's container to another's, over all
// families that they have.
func reaches(ctx context.Context, t testing.TB, from, to *lab.Host) {
	t.Helper()
	a, b := from.Containers[0], to.Containers[0]
	for _, at := range addrsOf(b) {
		if err := a.Reach(ctx, at); err != nil {
			t.Fatalf("%s to %s: %v", a.Name, b.Name, err)
		}
		if _, err := a.TCP(ctx, b.Node, lab.Flow{Bytes: 1 << 20, At: at}); err != nil {
			t.Fatalf("TCP from %s to %s at %s: %v", a.Name, b.Name, at, err)
		}
	}
}

// all pairs of hosts reach each other.
func allReach(ctx context.Context, t testing.TB, l *lab.Lab) {
	t.Helper()
	for _, a := range l.Hosts {
		for _, b := range l.Hosts {
			if a != b {
				reaches(ctx, t, a, b)
			}
		}
	}
}

// mtuIs fails unless a host's TAP and subnet file say so.
func mtuIs(t testing.TB, h *lab.Host, want int) {
	t.Helper()
	i, err := h.Link(h.TAP)
	must(t, err)
	if i.MTU != want || h.MTU != want {
		t.Errorf("%s: TAP has MTU %d, containers are told %d; want %d", h.Name, i.MTU, h.MTU, want)
	}
}

func TestADualStackOverlayOverIPv4(t *testing.T) {
	l, ctx := newFamilies(t, lab.Config{Hosts: 2, Without6: []int{1, 2}}, network4, network6)
	populated(ctx, t, l)
	allReach(ctx, t, l)
	for i, h := range l.Hosts {
		mtuIs(t, h, 1450)
		far := l.Hosts[1-i]
		dev, err := h.Link(h.TAP)
		must(t, err)
		for _, s := range []netip.Prefix{h.Subnet, h.Subnet6} {
			want := netip.PrefixFrom(s.Masked().Addr(), s.Addr().BitLen())
			if !slices.Contains(dev.Addrs, want) {
				t.Errorf("%s: the TAP has %v, want %s among them", h.Name, dev.Addrs, want)
			}
		}
		for _, s := range []netip.Prefix{far.Subnet, far.Subnet6} {
			want := s.Masked().String() + " via " + s.Masked().Addr().String() + " onlink=true"
			if got := routesOf(t, h); !strings.Contains(got, want) {
				t.Errorf("%s: routes are %s, want %s among them", h.Name, got, want)
			}
		}
		env, err := os.ReadFile(h.SubnetFile)
		must(t, err)
		for _, want := range []string{"FLANNEL_NETWORK=" + network4, "FLANNEL_IPV6_NETWORK=" + network6, "FLANNEL_IPV6_SUBNET=" + h.Subnet6.String(), "FLANNEL_SUBNET=" + h.Subnet.String()} {
			if !strings.Contains(string(env), want+"\n") {
				t.Errorf("%s: the subnet file lacks %s:\n%s", h.Name, want, env)
			}
		}
	}
}

// outer6 is a VXLAN datagram over IPv6 as seen on the underlay.
func outer6(f lab.Frame) (ip ether.IPv6, udp ether.UDP, ok bool) {
	e := ether.Frame(f.Data)
	if !e.Valid() || e.Type() != ether.TypeIPv6 || !ether.IPv6(e.Payload()).Valid() {
		return nil, nil, false
	}
	ip = ether.IPv6(e.Payload())
	udp = ether.UDP(ip.Payload())
	return ip, udp, ip.NextHeader() == 17 && udp.Valid() && udp.DstPort() == 4789
}

func TestAnUnderlayOfIPv6Alone(t *testing.T) {
	for _, overlay := range []struct{ name, range4, range6 string }{
		{"an IPv4 overlay", network4, ""},
		{"a dual-stack overlay", network4, network6},
		{"an IPv6 overlay", "", network6},
	} {
		t.Run(overlay.name, func(t *testing.T) {
			l, ctx := newFamilies(t, lab.Config{Hosts: 2, Without4: []int{1, 2}}, overlay.range4, overlay.range6)
			populated(ctx, t, l)
			for _, h := range l.Hosts {
				mtuIs(t, h, 1430)
			}
			allReach(ctx, t, l)
			fits6(ctx, t, l)
		})
	}
}

// fits6 fails unless full frames of the overlay fit into the underlay's IPv6
// datagrams, unfragmented and with a checksum.
func fits6(ctx context.Context, t testing.TB, l *lab.Lab) {
	t.Helper()
	a, b := l.Hosts[0].Containers[0], l.Hosts[1].Containers[0]
	wire, err := l.Hosts[0].Wire("eth0")
	must(t, err)
	defer func() { _ = wire.Close() }()
	for _, at := range addrsOf(b) {
		_, err := a.TCP(ctx, b.Node, lab.Flow{Bytes: 256 << 10, At: at})
		must(t, err)
	}
	full := 0
	for full < 50 {
		f, err := wire.Next(ctx)
		must(t, err)
		if e := ether.Frame(f.Data); !e.Valid() || e.Type() == ether.TypeIPv4 {
			t.Fatalf("an IPv4 frame on the underlay: %x", f.Data)
		}
		ip, udp, ok := outer6(f)
		if !ok {
			continue
		}
		n := ether.IPv6HeaderLen + len(ip.Payload())
		if n > 1500 || udp.Checksum() == 0 {
			t.Fatalf("a datagram of %d bytes with checksum %#x, want 1500 at most and a checksum", n, udp.Checksum())
		}
		if n == 1500 {
			full++
		}
	}
	for _, h := range l.Hosts {
		if s := readStats(ctx, t, h).Underlay; s.TooBig > 0 || s.Refused > 0 {
			t.Errorf("%s: %d too big, %d refused", h.Name, s.TooBig, s.Refused)
		}
	}
}

// Hosts of one family reach those of both, and learn which they cannot reach.
// To a host that is reached over IPv6 less fits, and senders are told so.
func TestHostsOfBothFamiliesAmongHostsOfOne(t *testing.T) {
	l, ctx := newFamilies(t, lab.Config{Without6: []int{2}, Without4: []int{3}}, network4, network6)
	populated(ctx, t, l)
	both, four, six := l.Hosts[0], l.Hosts[1], l.Hosts[2]
	mtuIs(t, both, 1450)
	mtuIs(t, four, 1450)
	mtuIs(t, six, 1430)
	for _, h := range []*lab.Host{four, six} {
		reaches(ctx, t, both, h)
		reaches(ctx, t, h, both)
	}
	routes, err := both.Routes(both.TAP)
	must(t, err)
	for _, r := range routes {
		want := 0
		if r.Dst == six.Subnet.Masked() || r.Dst == six.Subnet6.Masked() {
			want = 1430
		}
		if r.Via.IsValid() && r.MTU != want {
			t.Errorf("route to %s has MTU %d, want %d", r.Dst, r.MTU, want)
		}
	}
	from, to := both.Containers[0], six.Containers[0]
	for _, at := range addrsOf(to) {
		echo := lab.Pings{Count: 1, Size: 1450 - 20 - 8, Timeout: 200 * time.Millisecond}
		if at.Is6() {
			echo.Size -= 20
		}
		eventually(ctx, t, "echoes as long as the MTU reach "+at.String(), func() (bool, string) {
			_, err := from.Ping(ctx, at, echo)
			return err == nil, errorText(err)
		})
	}
	if s := readStats(ctx, t, both).Underlay; s.TooBig > 0 || s.Refused > 0 {
		t.Errorf("%d datagrams were too big, %d refused", s.TooBig, s.Refused)
	}
	for _, pair := range [][2]*lab.Host{{four, six}, {six, four}} {
		from, to := pair[0], pair[1]
		must(t, from.Agent.WaitOutput(ctx, "a host cannot be reached"))
		if !strings.Contains(from.Agent.Output(), nodeOf(t, to)) {
			t.Errorf("%s does not name %s", from.Name, to.Name)
		}
		eventually(ctx, t, "what cannot be sent is counted", func() (bool, string) {
			knock(t, from.Containers[0].Node, to.Containers[0].Addr.String())
			return readStats(ctx, t, from).Underlay.Refused > 0, ""
		})
	}
	steady(t, l)
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAnIPv6AddressThatChangesIsFollowed(t *testing.T) {
	l, ctx := newFamilies(t, lab.Config{Hosts: 2, Without4: []int{1, 2}}, network4, network6)
	populated(ctx, t, l)
	allReach(ctx, t, l)
	h := l.Hosts[1]
	for _, address := range []string{"2001:db8::22", "2001:db8::2"} {
		must(t, h.Readdress(ctx, netip.MustParseAddr(address)))
		must(t, l.Hosts[0].Agent.WaitOutput(ctx, "PublicIP: "+address+" "))
		allReach(ctx, t, l)
	}
	// One that the kernel still asks about, while the one before is gone.
	next := netip.MustParseAddr("2001:db8::33")
	must(t, h.DeleteAddr("eth0", netip.PrefixFrom(h.Addr6, 64)), h.AddTentative("eth0", netip.PrefixFrom(next, 64)), h.AddDefault6("eth0"))
	must(t, l.Hosts[0].Agent.WaitOutput(ctx, "PublicIP: 2001:db8::33 "))
	allReach(ctx, t, l)
	steady(t, l)
}

// An address that the kernel still asks about, or is about to lose, is no reason
// to fail.
func TestAnIPv6AddressThatIsNotReadyIsWaitedFor(t *testing.T) {
	l, ctx := newFamilies(t, lab.Config{Hosts: 2, Without4: []int{1, 2}}, network4, "")
	h := l.Hosts[1]
	address := netip.PrefixFrom(h.Addr6, 64)
	must(t, h.DeleteAddr("eth0", address), h.AddTentative("eth0", address))
	must(t, h.AddDefault6("eth0"))
	populated(ctx, t, l)
	allReach(ctx, t, l)
	must(t, h.Agent.Stop(ctx), h.Deprecate("eth0", address), h.StartAgent(ctx))
	allReach(ctx, t, l)
	steady(t, l)
}

// A host of both families is not told of without its IPv6 address while the kernel
// asks about that, which takes longer than an address is waited for otherwise.
func TestAnIPv6AddressThatIsGivenAgainIsKept(t *testing.T) {
	l, ctx := newFamilies(t, lab.Config{Hosts: 2}, network4, network6)
	populated(ctx, t, l)
	h := l.Hosts[1]
	address := netip.PrefixFrom(h.Addr6, 64)
	must(t, h.DeleteAddr("eth0", address), h.AddTentative("eth0", address))
	must(t, h.Agent.WaitOutput(ctx, `"is":"192.0.2.2/24 2001:db8::2/64"`))
	allReach(ctx, t, l)
	history, err := l.History(ctx)
	must(t, err)
	for _, e := range history {
		if strings.Contains(e.Value, `"PublicIP":"192.0.2.2","PublicIPv6":null`) {
			t.Errorf("told of without it: %s = %s", e.Key, e.Value)
		}
	}
}
