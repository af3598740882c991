package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/insomniacslk/dhcp/dhcpv4/server4"

	"github.com/uvtep/uvtep/bench/lab"
)

// The stations of the DHCP test: one that gives addresses away, and what it gives.
var (
	dhcpServer = netip.MustParsePrefix("10.10.50.1/24")
	dhcpOffer  = netip.MustParsePrefix("10.10.50.7/24")
)

// serveDHCP answers DHCP on a station's eth0 until the test ends.
func serveDHCP(t *testing.T, n *lab.Node) {
	t.Helper()
	reply := map[dhcpv4.MessageType]dhcpv4.MessageType{
		dhcpv4.MessageTypeDiscover: dhcpv4.MessageTypeOffer, dhcpv4.MessageTypeRequest: dhcpv4.MessageTypeAck,
	}
	handle := func(conn net.PacketConn, peer net.Addr, m *dhcpv4.DHCPv4) {
		r, err := dhcpv4.NewReplyFromRequest(m,
			dhcpv4.WithMessageType(reply[m.MessageType()]), dhcpv4.WithServerIP(dhcpServer.Addr().AsSlice()),
			dhcpv4.WithYourIP(dhcpOffer.Addr().AsSlice()), dhcpv4.WithNetmask(net.CIDRMask(dhcpOffer.Bits(), 32)),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(dhcpServer.Addr().AsSlice())), dhcpv4.WithLeaseTime(600))
		if err == nil {
			_, err = conn.WriteTo(r.ToBytes(), peer)
		}
		if err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("answer %s: %v", m.MessageType(), err)
		}
	}
	var s *server4.Server
	must(t, n.Do(func() (err error) {
		s, err = server4.NewServer("eth0", &net.UDPAddr{IP: net.IPv4zero, Port: dhcpv4.ServerPort}, handle)
		return err
	}))
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve() }() // it ends when it is closed
	t.Cleanup(func() { _ = s.Close(); <-ended })
}

// A station gets its address from one behind another host: its questions, and the
// answers, are broadcast, and go through the tunnel because the network floods.
// With what an operator says of the two they then talk.
func TestDHCPThroughANetworkThatFloods(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2, AgentArgs: []string{"--no-subnet", "--bridge", "lan"}})
	must(t, l.StartAgents(ctx, "--flood"))
	var stations [2]*lab.Node
	for i, h := range l.Hosts {
		n, err := h.AddBridged(ctx, "lan", "s1")
		must(t, err)
		stations[i] = n
	}
	client, server := stations[0], stations[1]
	must(t, server.AddAddr("eth0", dhcpServer))
	serveDHCP(t, server)
	lease := askDHCP(ctx, t, client)
	if got, _ := netip.AddrFromSlice(lease.ACK.YourIPAddr.To4()); got != dhcpOffer.Addr() {
		t.Fatalf("got the address %s, want %s", got, dhcpOffer.Addr())
	}
	must(t, client.AddAddr("eth0", dhcpOffer))
	for i, ip := range []netip.Addr{dhcpOffer.Addr(), dhcpServer.Addr()} {
		dev, err := stations[i].Link("eth0")
		must(t, err)
		must(t, l.Put(ctx, prefix+"/uvtep/static/1/"+dev.MAC.String(), fmt.Sprintf(`{"IPs":[%q],"VTEP":%q}`, ip, l.Hosts[i].Addr)))
	}
	eventually(ctx, t, "client and server reach each other", func() (bool, string) { return done(client.Reach(ctx, dhcpServer.Addr())) })
	if s := readStats(ctx, t, l.Hosts[0]); s.Verdicts["Replicate"].Frames == 0 || s.Verdicts["DropFloodRate"].Frames != 0 {
		t.Errorf("the client's host has replicated %d frames and dropped %d", s.Verdicts["Replicate"].Frames, s.Verdicts["DropFloodRate"].Frames)
	}
}

// askDHCP asks for an address on a station's eth0, again and again: the hosts may
// not know of each other yet.
func askDHCP(ctx context.Context, t *testing.T, n *lab.Node) *nclient4.Lease {
	t.Helper()
	var c *nclient4.Client
	must(t, n.Do(func() (err error) {
		c, err = nclient4.New("eth0", nclient4.WithRetry(100), nclient4.WithTimeout(300*time.Millisecond))
		return err
	}))
	defer func() { _ = c.Close() }()
	lease, err := c.Request(ctx, dhcpv4.WithBroadcast(true))
	must(t, err)
	return lease
}
