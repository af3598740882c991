package bench

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// shouts waits until a broadcast of a source comes by.
func shouts(ctx context.Context, t *testing.T, w *lab.Wire, src ether.Addr) {
	t.Helper()
	_, err := w.Find(ctx, func(f lab.Frame) bool {
		e := ether.Frame(f.Data)
		return e.Valid() && e.Src() == src && e.Dst().IsBroadcast()
	})
	must(t, err)
}

// A host without a subnet is a host of its own kind: with a bridge one of the
// stations behind it, without one who looks on.
func TestMembersWithoutASubnet(t *testing.T) {
	l, ctx := newLab(t, lab.Config{})
	normal, bridged, observer := l.Hosts[0], l.Hosts[1], l.Hosts[2]
	startAgents(ctx, t, l.Hosts[:1], "--flood")
	must(t, bridged.StartAgent(ctx, "--no-subnet", "--bridge", stationBridge), observer.StartAgent(ctx, "--no-subnet"))
	must(t, normal.AddContainers(ctx, 1))
	container := normal.Containers[0]

	keys, err := l.List(ctx, prefix)
	must(t, err)
	for _, h := range []*lab.Host{bridged, observer} {
		tap, err := h.Link(h.TAP)
		must(t, err)
		for _, a := range tap.Addrs {
			if !a.Addr().IsLinkLocalUnicast() {
				t.Errorf("%s: the TAP has the address %s", h.Name, a)
			}
		}
		routes, err := h.Routes(h.TAP)
		must(t, err)
		for _, r := range routes {
			if !r.Dst.Addr().IsLinkLocalUnicast() && !r.Dst.Addr().IsMulticast() {
				t.Errorf("%s: the TAP has the route %+v", h.Name, r)
			}
		}
		if _, err := os.Stat(h.SubnetFile); !tap.Up || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: TAP up: %v, subnet file: %v; want an up one and none", h.Name, tap.Up, err)
		}
		id, err := os.ReadFile(filepath.Join(h.StateDir, "node-id"))
		must(t, err)
		leases, record := 0, ""
		for key, value := range keys {
			if strings.HasPrefix(key, prefix+"/subnets/") && strings.Contains(value, `"`+h.Addr.String()+`"`) {
				leases++
			}
			if key == prefix+"/uvtep/hosts/"+strings.TrimSpace(string(id))+"/host" {
				record = value
			}
		}
		if leases != 0 || !strings.Contains(record, `"PublicIP":"`+h.Addr.String()+`"`) {
			t.Errorf("%s: %d leases, the record is %q; want none and one of its own", h.Name, leases, record)
		}
	}

	// A station on the bridge and a container of the normal host, which has a route
	// to the station's range as to no lease.
	mac := ether.Addr(stationMAC(1))
	s, err := bridged.AddStation(ctx, stationBridge, "s1", net.HardwareAddr(mac[:]), 1450, netip.MustParsePrefix("10.10.200.7/16"))
	must(t, err)
	first := normal.Subnet.Masked().Addr()
	must(t, s.AddRoute("eth0", normal.Subnet.Masked(), first))
	must(t, normal.AddNarrowRoute(normal.TAP, netip.MustParsePrefix("10.10.200.0/24"), 1450))
	must(t, s.Reach(ctx, first))
	announced(ctx, t, l, bridged, 1, "10.10.200.7")
	for _, h := range []*lab.Host{normal, observer} {
		fdbIs(ctx, t, h, 1, true)
	}
	must(t, s.Reach(ctx, container.Addr), container.Reach(ctx, s.Addr), normal.Reach(ctx, s.Addr))
	for _, way := range [][2]*lab.Node{{s.Node, container.Node}, {container.Node, s.Node}} {
		_, err := way[0].TCP(ctx, way[1], lab.Flow{Bytes: 4 << 20})
		must(t, err)
	}

	// What is flooded comes to both, from the normal host and from the station.
	look, err := observer.Wire(observer.TAP)
	must(t, err)
	port, err := s.Wire("eth0")
	must(t, err)
	out, err := normal.Wire(normal.TAP)
	must(t, err)
	defer func() { must(t, look.Close(), port.Close(), out.Close()) }()
	must(t, port.Send(strange(ether.Broadcast, mac)))
	shouts(ctx, t, look, mac)
	shouts(ctx, t, out, mac)
	own, err := normal.Link(normal.TAP)
	must(t, err)
	knock(t, normal.Node, "10.10.200.99") // nobody's: asked for
	shouts(ctx, t, look, ether.Addr(own.MAC))
	shouts(ctx, t, port, ether.Addr(own.MAC))
	if got := readStats(ctx, t, observer).Verdicts; got["Deliver"].Frames < 2 || got["Forward"].Frames != 0 {
		t.Errorf("the observer was delivered %d frames and forwarded %d", got["Deliver"].Frames, got["Forward"].Frames)
	}
}
