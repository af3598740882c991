package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// stationBridge is the bridge behind each host's TAP.
const stationBridge = "br0"

// newSegment is a lab whose hosts join two bridges into one L2 network, without
// subnets.
func newSegment(t testing.TB, extra ...string) (*lab.Lab, context.Context) {
	t.Helper()
	l, ctx := newLab(t, lab.Config{Hosts: 2})
	for _, h := range l.Hosts {
		must(t, h.StartAgent(ctx, append([]string{"--no-subnet", "--bridge", stationBridge}, extra...)...))
	}
	return l, ctx
}

// newStation makes station number i: a namespace on a host's bridge, 10.20.0.i.
func newStation(ctx context.Context, t testing.TB, h *lab.Host, i int) *lab.Station {
	t.Helper()
	s, err := h.AddStation(ctx, stationBridge, fmt.Sprintf("s%d", i), net.HardwareAddr(stationMAC(i)), 1450, stationAddrs(i)...)
	must(t, err)
	return s
}

func stationMAC(i int) []byte { return []byte{2, 0, 0, 0, 0x20, byte(i)} }

func stationAddrs(i int) []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix(fmt.Sprintf("10.20.0.%d/24", i)), netip.MustParsePrefix(fmt.Sprintf("fd00:20::%d/64", i)),
	}
}

// announced waits until a host announces a station, with all of these texts in
// the value.
func announced(ctx context.Context, t testing.TB, l *lab.Lab, h *lab.Host, i int, want ...string) {
	t.Helper()
	var all string
	eventually(ctx, t, fmt.Sprintf("%s announces station %d with %v", h.Name, i, want), func() (bool, string) {
		all = ""
		value := ""
		for k, v := range endpointsOf(ctx, t, l, h) {
			all += k + " " + v + "\n"
			if strings.HasSuffix(k, "/"+net.HardwareAddr(stationMAC(i)).String()) {
				value = v
			}
		}
		for _, w := range want {
			if !strings.Contains(value, w) {
				return false, all
			}
		}
		return value != "", all
	})
}

// endpointsOf is what a host announces in etcd.
func endpointsOf(ctx context.Context, t testing.TB, l *lab.Lab, h *lab.Host) map[string]string {
	t.Helper()
	id, err := os.ReadFile(filepath.Join(h.StateDir, "node-id"))
	must(t, err)
	out, err := l.List(ctx, prefix+"/uvtep/hosts/"+strings.TrimSpace(string(id))+"/endpoints/")
	must(t, err)
	return out
}

// withdrawn waits until a host announces nothing.
func withdrawn(ctx context.Context, t testing.TB, l *lab.Lab, h *lab.Host) {
	t.Helper()
	eventually(ctx, t, h.Name+" announces nothing", func() (bool, string) {
		all := endpointsOf(ctx, t, l, h)
		return len(all) == 0, fmt.Sprint(all)
	})
}

// asks reports whether a frame asks for an address: an ARP request, or a
// neighbour solicitation.
func asks(f ether.Frame) bool {
	if f.Type() == ether.TypeARP {
		return true
	}
	p := ether.IPv6(f.Payload())
	return f.Type() == ether.TypeIPv6 && p.Valid() && p.NextHeader() == 58 && len(p.Payload()) > 0 && p.Payload()[0] == 135
}

func TestBridgedStationsFindEachOtherWithoutAQuestionOnTheWire(t *testing.T) {
	l, ctx := newSegment(t)
	wire, err := l.Hosts[0].Wire("eth0")
	must(t, err)
	defer func() { _ = wire.Close() }()
	a, b := newStation(ctx, t, l.Hosts[0], 1), newStation(ctx, t, l.Hosts[1], 2)
	for _, s := range []struct{ from, to *lab.Station }{{a, b}, {b, a}} {
		for _, ip := range []netip.Addr{s.to.Addr, s.to.Addr6} {
			_, _ = s.from.Ping(ctx, ip, lab.Pings{Count: 1}) // tells who is there
		}
	}
	announced(ctx, t, l, l.Hosts[0], 1, "10.20.0.1", "fd00:20::1", `"Seq":0`)
	announced(ctx, t, l, l.Hosts[1], 2, "10.20.0.2", "fd00:20::2", `"Seq":0`)
	must(t, a.Reach(ctx, b.Addr), b.Reach(ctx, a.Addr), a.Reach(ctx, b.Addr6), b.Reach(ctx, a.Addr6))
	_, err = a.TCP(ctx, b.Node, lab.Flow{Bytes: 1 << 20})
	must(t, err)
	// One that came too late for the announcements has to ask.
	before := readStats(ctx, t, l.Hosts[0]).Verdicts["Answer"].Frames
	late := newStation(ctx, t, l.Hosts[0], 3)
	must(t, late.Reach(ctx, b.Addr), late.Reach(ctx, b.Addr6))
	if n := readStats(ctx, t, l.Hosts[0]).Verdicts["Answer"].Frames - before; n < 2 {
		t.Errorf("%d questions were answered, want one of each family", n)
	}

	// All that came by until a last echo of the test's own.
	last := make([]byte, 8)
	binary.BigEndian.PutUint64(last, 0x7577746570656e64)
	c, err := a.Dial(ctx, "udp", netip.AddrPortFrom(b.Addr, 9).String())
	must(t, err)
	_, err = c.Write(last)
	must(t, err, c.Close())
	frames := 0
	for done := false; !done; {
		f, err := wire.Next(ctx)
		must(t, err)
		v, ok := parse(f, 4789)
		if !ok || !v.inner.Valid() {
			continue
		}
		frames++
		if asks(v.inner) && v.inner.Dst().IsMulticast() {
			t.Errorf("a question on the wire: %x", []byte(v.inner))
		}
		done = strings.Contains(string(v.inner), string(last))
	}
	if frames < 20 {
		t.Errorf("%d frames seen, the test looked elsewhere", frames)
	}

	// What says that it comes from a station here comes from nowhere else: the
	// bridge would look for that behind the tunnel.
	spoof := slices.Concat([]byte{8, 0, 0, 0, 0, 0, 1, 0}, stationMAC(3), stationMAC(1), []byte{0x88, 0xb5}, make([]byte, 46))
	c, err = l.Hosts[1].Dial(ctx, "udp", netip.AddrPortFrom(l.Hosts[0].Addr, 4789).String())
	must(t, err)
	_, err = c.Write(spoof)
	must(t, err, c.Close())
	eventually(ctx, t, "the spoof is dropped", func() (bool, string) {
		v := readStats(ctx, t, l.Hosts[0]).Verdicts
		return v["DropSpoofed"].Frames == 1, fmt.Sprint(v)
	})
	must(t, late.Reach(ctx, a.Addr))
}

func TestAConnectionSurvivesTheMoveOfAStation(t *testing.T) {
	l, ctx := newSegment(t)
	still, mover := newStation(ctx, t, l.Hosts[0], 1), newStation(ctx, t, l.Hosts[0], 2)
	must(t, mover.Reach(ctx, still.Addr))
	// A third, on the other host, takes part so that both hosts have seen all.
	peer := newStation(ctx, t, l.Hosts[1], 3)
	_, _ = peer.Ping(ctx, still.Addr, lab.Pings{Count: 1})
	_, _ = mover.Ping(ctx, peer.Addr, lab.Pings{Count: 1})
	must(t, peer.Reach(ctx, mover.Addr))

	for round, to := range []*lab.Host{l.Hosts[1], l.Hosts[0]} {
		conn := echoing(ctx, t, mover, peer.Node)
		echoes(t, conn)
		must(t, mover.Unplug(), mover.Plug(ctx, to, stationBridge, stationAddrs(2)...))
		echoes(t, conn)
		announced(ctx, t, l, to, 2, fmt.Sprintf(`"Seq":%d`, round+1))
		eventually(ctx, t, "the old host withdraws it", func() (bool, string) {
			old := fmt.Sprint(endpointsOf(ctx, t, l, l.Hosts[round]))
			return !strings.Contains(old, net.HardwareAddr(stationMAC(2)).String()), old
		})
		must(t, mover.Reach(ctx, still.Addr), still.Reach(ctx, mover.Addr), mover.Reach(ctx, peer.Addr))
	}
}

// echoing is a connection from a station to a server that says again what it
// hears. It ends with the test.
func echoing(ctx context.Context, t testing.TB, from *lab.Station, to *lab.Node) net.Conn {
	t.Helper()
	var ln net.Listener
	must(t, to.Do(func() (err error) {
		ln, err = net.Listen("tcp", netip.AddrPortFrom(to.Addr, 0).String())
		return err
	}))
	var server sync.WaitGroup
	server.Go(func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(c, c)
		_ = c.Close()
	})
	conn, err := from.Dial(ctx, "tcp", ln.Addr().String())
	if deadline, ok := ctx.Deadline(); err == nil && ok {
		err = conn.SetDeadline(deadline)
	}
	t.Cleanup(func() {
		if conn != nil {
			_ = conn.Close()
		}
		_ = ln.Close()
		server.Wait()
	})
	must(t, err)
	return conn
}

// echoes sends and receives over a connection.
func echoes(t testing.TB, c net.Conn) {
	t.Helper()
	b := make([]byte, 64<<10)
	for i := range b {
		b[i] = byte(i >> 3)
	}
	sent := make(chan error, 1)
	go func() { _, err := c.Write(b); sent <- err }()
	got := make([]byte, len(b))
	_, err := io.ReadFull(c, got)
	must(t, err, <-sent)
	if string(got) != string(b) {
		t.Fatal("the echo differs")
	}
}

func TestStationsThatAreGoneAreWithdrawn(t *testing.T) {
	l, ctx := newSegment(t, "--endpoint-age", "2s", "--liveness-ttl", "2s")
	a, b := newStation(ctx, t, l.Hosts[0], 1), newStation(ctx, t, l.Hosts[1], 2)
	_, _ = a.Ping(ctx, b.Addr, lab.Pings{Count: 1})
	_, _ = b.Ping(ctx, a.Addr, lab.Pings{Count: 1})
	must(t, a.Reach(ctx, b.Addr))
	// One that is silent and there stays: it is asked.
	answered := readStats(ctx, t, l.Hosts[0]).Verdicts["DropToSelf"].Frames
	eventually(ctx, t, "a silent station has answered often", func() (bool, string) {
		n := readStats(ctx, t, l.Hosts[0]).Verdicts["DropToSelf"].Frames - answered
		return n >= 2, fmt.Sprint(n)
	})
	announced(ctx, t, l, l.Hosts[0], 1, "10.20.0.1")
	etcd := "--etcd-endpoints=" + l.Hosts[0].EtcdURLs()[0]
	mac1, mac2 := net.HardwareAddr(stationMAC(1)).String(), net.HardwareAddr(stationMAC(2)).String()
	if _, out := runOn(ctx, t, l.Hosts[1], "endpoints", "list", etcd); !strings.Contains(out, mac1) || !strings.Contains(out, mac2) || !strings.Contains(out, "192.0.2.2") {
		t.Errorf("uvtep endpoints list does not show both:\n%s", out)
	}
	// The operator knows better where a station is.
	if code, out := runOn(ctx, t, l.Hosts[0], "endpoints", "add", mac1, "--vtep", "192.0.2.2", etcd); code != 0 {
		t.Errorf("add: %d\n%s", code, out)
	}
	withdrawn(ctx, t, l, l.Hosts[0])
	must(t, l.Hosts[0].Agent.WaitOutput(ctx, "bound to another host; it is not announced"))
	if code, out := runOn(ctx, t, l.Hosts[0], "endpoints", "delete", mac1, etcd); code != 0 {
		t.Errorf("delete: %d\n%s", code, out)
	}
	_, _ = a.Ping(ctx, b.Addr, lab.Pings{Count: 1})
	announced(ctx, t, l, l.Hosts[0], 1)

	must(t, a.Unplug())
	withdrawn(ctx, t, l, l.Hosts[0])
	fdbIs(ctx, t, l.Hosts[1], 1, false)

	// What a host announced goes with it; leases stay.
	lease := putLease(ctx, t, l, "10.10.77.0/24", netip.MustParseAddr("192.0.2.77"), ether.Addr{2, 0, 0, 0, 0, 0x77})
	fdbIs(ctx, t, l.Hosts[0], 2, true)
	l.Hosts[1].Agent.Kill()
	fdbIs(ctx, t, l.Hosts[0], 2, false)
	if kept, err := l.List(ctx, lease); err != nil || len(kept) != 1 {
		t.Errorf("the lease: %v, %v", kept, err)
	}
	if _, out := runOn(ctx, t, l.Hosts[0], "fdb", "--admin-socket", l.Hosts[0].AdminSocket); !strings.Contains(out, "02:00:00:00:00:77") {
		t.Errorf("the lease's entry is gone:\n%s", out)
	}
}

// fdbIs waits until a host's FDB has a station, or has it no more.
func fdbIs(ctx context.Context, t testing.TB, h *lab.Host, i int, there bool) {
	t.Helper()
	mac := net.HardwareAddr(stationMAC(i)).String()
	eventually(ctx, t, fmt.Sprintf("%s has station %d: %v", h.Name, i, there), func() (bool, string) {
		_, out := runOn(ctx, t, h, "fdb", "--admin-socket", h.AdminSocket)
		return strings.Contains(out, mac) == there, out
	})
}
