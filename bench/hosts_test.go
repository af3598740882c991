package bench

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// A host that joins, changes its address and its MAC, and leaves: what the
// others send follows each time, and nothing stale is left.
func TestHostAddedChangedRemoved(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2})
	h, far := l.Hosts[0], l.Hosts[1]
	startAgents(ctx, t, l.Hosts[:1])
	wire, err := h.Wire("eth0")
	must(t, err)
	defer func() { _ = wire.Close() }()

	// next is the next datagram that the host sends to a VTEP of the test, if
	// one comes before it is worth knocking again.
	next := func() (v vxlan, ok bool) {
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		f, err := wire.Find(short, func(f lab.Frame) bool {
			v, ok := parse(f, 4789)
			return ok && f.Outgoing && v.inner.Type() == ether.TypeIPv4
		})
		if err != nil {
			return v, false
		}
		return parse(f, 4789)
	}
	const subnet, route = "10.10.77.0/24", "10.10.77.0/24 via 10.10.77.0 onlink=true"
	// The VTEPs are addresses of the other host, where no agent listens.
	first, second := netip.MustParseAddr("192.0.2.101"), netip.MustParseAddr("192.0.2.102")
	mac1, mac2 := ether.Addr{2, 0, 0, 0, 0, 0x71}, ether.Addr{2, 0, 0, 0, 0, 0x72}
	for _, ip := range []netip.Addr{first, second} {
		must(t, far.AddAddr("eth0", netip.PrefixFrom(ip, 24)))
	}
	for _, step := range []struct {
		name string
		ip   netip.Addr
		mac  ether.Addr
	}{
		{"added", first, mac1},
		{"with another public IP", second, mac1},
		{"with another MAC", second, mac2},
		{"with both as before", first, mac1},
	} {
		putLease(ctx, t, l, subnet, step.ip, step.mac)
		must(t, h.Agent.WaitOutput(ctx, "adding subnet: "+subnet+" PublicIP: "+step.ip.String()+" VtepMAC: "+step.mac.String()))
		eventually(ctx, t, step.name+": the route is there", func() (bool, string) { return routesOf(t, h) == route, routesOf(t, h) })
		// The host's kernel may know the old MAC for a moment; the announcement
		// into the TAP corrects it. The last word must be the new one.
		eventually(ctx, t, step.name+": frames go to "+step.ip.String(), func() (bool, string) {
			knock(t, h.Node, "10.10.77.5")
			v, ok := next()
			if !ok {
				return false, "nothing sent"
			}
			got := v.outer.Dst().String() + " " + v.inner.Dst().String()
			return v.outer.Dst() == step.ip && v.inner.Dst() == step.mac, got
		})
	}
	must(t, l.Delete(ctx, prefix+"/subnets/10.10.77.0-24"))
	must(t, h.Agent.WaitOutput(ctx, "removing subnet: "+subnet))
	eventually(ctx, t, "the route is gone", func() (bool, string) { return routesOf(t, h) == "", routesOf(t, h) })

	// A frame to the old MAC, straight into the TAP's other side, goes nowhere.
	tap, err := h.Wire(h.TAP)
	must(t, err)
	defer func() { _ = tap.Close() }()
	link, err := h.Link(h.TAP)
	must(t, err)
	before := readStats(ctx, t, h).Verdicts["DropUnknownUnicast"].Frames
	for _, mac := range []ether.Addr{mac1, mac2} {
		f := make(ether.Frame, 60)
		ether.PutHeader(f, mac, ether.Addr(link.MAC), 0x88b5)
		must(t, tap.Send(f))
	}
	eventually(ctx, t, "both frames are dropped", func() (bool, string) {
		n := readStats(ctx, t, h).Verdicts["DropUnknownUnicast"].Frames - before
		return n == 2, strings.Repeat("dropped ", int(n))
	})
}

func TestStrangersKeyCostsItselfAlone(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	strange := map[string]string{
		"/subnets/not-a-subnet":    `{"PublicIP":"192.0.2.50"}`,
		"/subnets/10.10.99.0-24":   `this is no JSON`,
		"/subnets/10.10.98.0-24":   `{"PublicIP":"not an address","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:09"}}`,
		"/subnets/10.10.97.0-24":   `{"PublicIP":"192.0.2.51","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"ff:ff:ff:ff:ff:ff"}}`,
		"/subnets/10.10.96.0-24":   `{"PublicIP":"192.0.2.52","BackendType":"udp"}`,
		"/subnets/10.10.95.0-99":   `{}`,
		"/somebody/elses":          `1`,
		"/uvtep/static/1/zz":       `{}`,
		"/uvtep/hosts/x/host":      `{`,
		"/subnets/10.10.94.0-24":   strings.Repeat("x", 100_000),
		"/subnets/192.168.0.0-24":  `{"PublicIP":"192.0.2.53","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:0a"}}`,
		"/subnets/10.10.93.0-24&x": `{}`,
	}
	for key, value := range strange {
		must(t, l.Put(ctx, prefix+key, value))
	}
	// A good host put after them arrives, so all of them were met.
	putLease(ctx, t, l, "10.10.92.0/24", netip.MustParseAddr("192.0.2.60"), ether.Addr{2, 0, 0, 0, 0, 0x92})
	for _, h := range l.Hosts {
		must(t, h.Agent.WaitOutput(ctx, "adding subnet: 10.10.92.0/24"))
		eventually(ctx, t, "exactly the good routes are there", func() (bool, string) {
			got := routesOf(t, h)
			return strings.Count(got, "via") == 2 && strings.Contains(got, "10.10.92.0/24"), got
		})
	}
	connected(ctx, t, l)
	// A host that starts with all of them there is not disturbed either.
	must(t, l.Hosts[1].Agent.Stop(ctx), l.Hosts[1].StartAgent(ctx))
	connected(ctx, t, l)
}

func TestStrangersRoutesOfOursArePurgedAtStart(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[1]
	putLease(ctx, t, l, "10.10.77.0/24", netip.MustParseAddr("192.0.2.60"), ether.Addr{2, 0, 0, 0, 0, 0x77})
	must(t, h.Agent.WaitOutput(ctx, "adding subnet: 10.10.77.0/24"))
	want := routesOf(t, h)
	eventually(ctx, t, "two routes are there", func() (bool, string) {
		want = routesOf(t, h)
		return strings.Count(want, "via") == 2, want
	})
	must(t, h.Agent.Stop(ctx))
	if got := routesOf(t, h); got != want {
		t.Errorf("a stop changed the routes: got %s, want %s", got, want)
	}
	must(t, l.Delete(ctx, prefix+"/subnets/10.10.77.0-24")) // lost while the agent is away
	must(t, h.StartAgent(ctx))
	eventually(ctx, t, "the route of the host that left is gone", func() (bool, string) {
		got := routesOf(t, h)
		return strings.Count(got, "via") == 1 && !strings.Contains(got, "10.10.77.0"), got
	})
	connected(ctx, t, l)
}

func TestTAPDeletedUnderTheAgentComesBackWithAll(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[0]
	before, err := h.Link(h.TAP)
	must(t, err)
	routes := routesOf(t, h)
	for range 3 {
		must(t, h.DeleteLink(h.TAP))
		eventually(ctx, t, "the TAP is back with its routes", func() (bool, string) {
			i, err := h.Link(h.TAP)
			if err != nil {
				return false, err.Error()
			}
			return i.Up && i.MAC.String() == before.MAC.String() && i.MTU == before.MTU && routesOf(t, h) == routes, routesOf(t, h)
		})
		connected(ctx, t, l)
	}
	if h.Agent.Ended() {
		t.Error("the agent ended")
	}
}

func TestTAPAndRoutesChangedByOthersArePutRight(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[0]
	before, err := h.Link(h.TAP)
	must(t, err)
	routes := routesOf(t, h)
	right := func() (bool, string) {
		i, err := h.Link(h.TAP)
		must(t, err)
		return i.Up && i.MAC.String() == before.MAC.String() && routesOf(t, h) == routes, i.MAC.String() + " " + routesOf(t, h)
	}
	must(t, h.SetMAC(h.TAP, []byte{2, 0, 0, 9, 9, 9}))
	eventually(ctx, t, "the MAC is put back", right)
	must(t, h.SetUp(h.TAP, false))
	eventually(ctx, t, "the TAP is up again with its routes", right)
	connected(ctx, t, l)

	// An MTU that somebody sets is theirs: reported and left alone.
	must(t, h.SetMTU(h.TAP, 1300))
	must(t, h.Agent.WaitOutput(ctx, "left as it is"))
	if i, err := h.Link(h.TAP); err != nil || i.MTU != 1300 {
		t.Errorf("got MTU %d, %v; want the 1300 that somebody set", i.MTU, err)
	}
}

func TestForwardingGoesOnWithoutEtcd(t *testing.T) {
	l, ctx := newLab(t, lab.Config{})
	bin, err := lab.BuildEtcd(ctx)
	must(t, err)
	members, err := l.StartEtcd(ctx, bin, 1)
	must(t, err)
	startAgents(ctx, t, l.Hosts)
	must(t, l.AddContainers(ctx, 1))
	connected(ctx, t, l)
	members[0].Kill()
	connected(ctx, t, l)
	must(t, members[0].Restart(ctx))
	putLease(ctx, t, l, "10.10.77.0/24", netip.MustParseAddr("192.0.2.60"), ether.Addr{2, 0, 0, 0, 0, 0x77})
	for _, h := range l.Hosts {
		must(t, h.Agent.WaitOutput(ctx, "adding subnet: 10.10.77.0/24"))
	}
	connected(ctx, t, l)
}
