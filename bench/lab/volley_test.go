//go:build linux

package lab

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestVolleyArrivesWholeBothWays(t *testing.T) {
	l := newLab(t, Config{Hosts: 2, UnderlaySteered: true, IPv6: true})
	a, b := l.Hosts[0], l.Hosts[1]
	acquaint(t, a, b)
	acquaint(t, b, a)
	for _, v := range []Volley{
		{At: [2]netip.Addr{a.Addr, b.Addr}},
		{At: [2]netip.Addr{a.Addr6, b.Addr6}, Flows: 3, Rounds: 5, Burst: 20, Size: 61, Segment: true},
	} {
		want := int64(64 * 50 * 4)
		if v.Flows != 0 {
			want = int64(v.Flows * v.Rounds * v.Burst)
		}
		out, err := a.Volley(patient(t), b.Node, v)
		if err != nil {
			t.Error(err)
		}
		for i, got := range out {
			if got.Sent != want || got.Received != want || got.Doubled+got.Reordered+got.Overrun > 0 {
				t.Errorf("%v, direction %d: got %+v, want %d", v.At, i, got, want)
			}
		}
	}
}

// acquaint makes one host the neighbour of another for good: what waits for an
// answer to ARP is overtaken by what is sent right after it.
func acquaint(t *testing.T, h, with *Host) {
	t.Helper()
	far, err := with.Link(hostDev)
	err = errors.Join(err, h.AddNeighbour(hostDev, with.Addr, far.MAC), h.AddNeighbour(hostDev, with.Addr6, far.MAC))
	if err != nil {
		t.Fatal(err)
	}
}

// Nothing is received on one side: what was sent is told, and what is missing.
func TestVolleyTellsWhatIsLost(t *testing.T) {
	l := newLab(t, Config{Hosts: 2})
	a, b := l.Hosts[0], l.Hosts[1]
	if err := l.fabric.SetUp(b.Name, false); err != nil {
		t.Fatal(err)
	}
	calls := make(chan struct{}, 2)
	out, err := a.Volley(patient(t), b.Node, Volley{
		At: [2]netip.Addr{a.Addr, b.Addr}, Flows: 2, Rounds: 3, Burst: 1, Flood: true, Sent: func() { calls <- struct{}{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, got := range out {
		if got.Sent != 6 || got.Received != 0 {
			t.Errorf("direction %d: got %+v, want 6 sent, none received", i, got)
		}
	}
	if len(calls) != 2 {
		t.Errorf("Sent was called %d times, want 2", len(calls))
	}
}

func TestSalvoTellsWhatIsNotAsItWasSent(t *testing.T) {
	var ends [2]*net.UDPConn
	for i := range ends {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		ends[i] = c
	}
	for _, damage := range []func(b []byte) []byte{
		func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		func(b []byte) []byte { b[7]++; return b }, // another number
		func(b []byte) []byte { return b[:len(b)-1] },
		func(b []byte) []byte { return append(b, 0) },
		func(b []byte) []byte { return b[:3] },
	} {
		s := newSalvo(Volley{Flows: 1, Size: 100}.withDefaults(), ends[:1], ends[1:])
		b := make([]byte, 100)
		s.put(b, 5)
		if _, err := ends[0].WriteTo(damage(b), ends[1].LocalAddr()); err != nil {
			t.Fatal(err)
		}
		if err := s.collect(0); !errors.Is(err, ErrCorrupt) {
			t.Errorf("% x: got %v, want %v", b, err, ErrCorrupt)
		}
	}
}

func TestCountersAreThoseOfTheNamespace(t *testing.T) {
	l := newLab(t, Config{Hosts: 2})
	a, b := l.Hosts[0], l.Hosts[1]
	read := func(n *Node) Counters {
		c, err := n.Counters()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	atA, atB := read(a.Node), read(b.Node)
	c, err := a.Dial(patient(t), "udp4", netip.AddrPortFrom(b.Addr, 9).String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write([]byte("nobody there")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil { // the ICMP error
		t.Error("something answered")
	}
	names := []string{"UdpNoPorts", "UdpOutDatagrams", "IcmpInDestUnreachs", "IcmpOutDestUnreachs"}
	for name, c := range map[string]struct{ got, want Counters }{
		"sender":   {read(a.Node).Since(atA).Only(names...), Counters{"UdpOutDatagrams": 1, "IcmpInDestUnreachs": 1}},
		"receiver": {read(b.Node).Since(atB).Only(names...), Counters{"UdpNoPorts": 1, "IcmpOutDestUnreachs": 1}},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	for _, name := range []string{"TcpExtTCPOFOQueue", "Udp6InErrors", "IpExtInOctets"} {
		if _, ok := atA[name]; !ok {
			t.Errorf("there is no counter %s", name)
		}
	}
}

func TestDroppedTellsWhatADeviceThrewAway(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	h := l.Hosts[0]
	// The kernel tells its multicast groups of IPv6 now and then.
	err := errors.Join(h.Sysctl("net/ipv6/conf/"+hostDev+"/disable_ipv6", "1"), l.fabric.SetUp(h.Name, false))
	if err != nil {
		t.Fatal(err)
	}
	before, err := h.Dropped(hostDev)
	if err != nil {
		t.Fatal(err)
	}
	w, err := h.Wire(hostDev)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Close() }()
	for range 3 { // the other end of the veth is down
		_ = w.Send(make([]byte, 60))
	}
	after, _, err := h.UnderlayDropped()
	if err != nil {
		t.Fatal(err)
	}
	if got := after.Out - before.Out + after.Queue - before.Queue; got != 3 {
		t.Errorf("got %+v, before %+v; want 3 more", after, before)
	}
}

func TestSteeringIsForTheWireAlone(t *testing.T) {
	l := newLab(t, Config{Hosts: 1, UnderlaySteered: true})
	for _, n := range []*Node{l.Hosts[0].Node, l.fabric} {
		err := n.Do(func() error {
			b, err := os.ReadFile("/proc/sys/net/core/rps_default_mask")
			if err == nil && strings.Trim(string(b), "0,\n") != "" {
				t.Errorf("%s: devices made from now on are steered too: %s", n.Name, b)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
