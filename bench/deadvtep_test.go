package bench

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// Datagrams to VTEPs that answer with ICMP, that the kernel has no route to and
// that nobody answers ARP for lie between those to a live one, in the same
// batches. All of the latter arrive.
func TestDeadVTEPsCostTheLiveOneNothing(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 3})
	startAgents(ctx, t, l.Hosts[:2])
	const flows, rounds, burst = 8, 200, 2 // 48 datagrams a round fit into the smallest socket buffer
	h, live := l.Hosts[0], l.Hosts[1]
	must(t, h.AddUnreachable(netip.MustParsePrefix("203.0.113.0/24")))
	dead := map[string]netip.Addr{
		"10.10.77.0/24": l.Hosts[2].Addr, // no agent there: port unreachable
		"10.10.78.0/24": netip.MustParseAddr("203.0.113.7"),
		"10.10.79.0/24": netip.MustParseAddr("192.0.2.150"), // no such host
	}
	for subnet, ip := range dead {
		putLease(ctx, t, l, subnet, ip, ether.Addr{2, 0, 0, 0, 0, ip.As4()[3]})
	}
	eventually(ctx, t, "all routes are there", func() (bool, string) {
		return strings.Count(routesOf(t, h), "via") == 4, routesOf(t, h)
	})
	_, err := h.Ping(ctx, live.Subnet.Masked().Addr(), lab.Pings{Count: 1}) // so that nothing waits for ARP, and is lost while it waits
	must(t, err)
	in, to := listenAt(t, live.Node, live.Subnet.Masked().Addr())
	var conns []net.Conn
	for range flows { // many, so that live and dead share the agent's sockets
		for _, ip := range []string{to, "10.10.77.9:9", to, "10.10.78.9:9", to, "10.10.79.9:9"} {
			c, err := h.Dial(ctx, "udp4", ip)
			must(t, err)
			defer func() { _ = c.Close() }()
			conns = append(conns, c)
		}
	}
	before, kernel := readStats(ctx, t, h), countersOf(t, h.Node)
	for round := range rounds {
		for range burst {
			for _, c := range conns {
				_, err := c.Write(make([]byte, 900))
				must(t, err)
			}
		}
		if got := receive(t, in, 3*flows*burst); got != 3*flows*burst {
			t.Fatalf("round %d: the live VTEP got %d datagrams, want %d", round, got, 3*flows*burst)
		}
	}
	after := readStats(ctx, t, h)
	if got := after.Counts["SendRefused"] - before.Counts["SendRefused"]; got != flows*rounds*burst {
		t.Errorf("%d datagrams were refused, want the %d without a route", got, flows*rounds*burst)
	}
	if got := countersOf(t, h.Node).Since(kernel)["IcmpInDestUnreachs"]; got == 0 {
		t.Error("no ICMP error came, which proves nothing")
	}
	if err := after.consistent(); err != nil {
		t.Error(err)
	}
}

// listenAt opens a UDP socket in a node on a port that the kernel chooses.
func listenAt(t *testing.T, n *lab.Node, at netip.Addr) (c net.PacketConn, addr string) {
	t.Helper()
	must(t, n.Do(func() (err error) {
		c, err = net.ListenPacket("udp", netip.AddrPortFrom(at, 0).String())
		return err
	}))
	t.Cleanup(func() { _ = c.Close() })
	return c, c.LocalAddr().String()
}

// receive takes datagrams until there are enough, and returns how many came.
func receive(t *testing.T, c net.PacketConn, enough int) int {
	t.Helper()
	must(t, c.SetReadDeadline(time.Now().Add(10*time.Second))) // only where one is missing
	buf := make([]byte, 2048)
	for n := range enough {
		if _, _, err := c.ReadFrom(buf); err != nil {
			return n
		}
	}
	return enough
}
