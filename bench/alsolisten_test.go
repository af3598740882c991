package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// alsoListen makes these the further ports of the network.
func alsoListen(ctx context.Context, t *testing.T, l *lab.Lab, ports ...uint16) {
	t.Helper()
	keys, err := l.List(ctx, prefix+"/config")
	must(t, err)
	var config map[string]any
	must(t, json.Unmarshal([]byte(keys[prefix+"/config"]), &config))
	config["Backend"].(map[string]any)["AlsoListen"] = ports
	b, err := json.Marshal(config)
	must(t, err, l.Put(ctx, prefix+"/config", string(b)))
}

// listens waits until the agent of a host listens on these further ports and no
// others, of which it tells why it does not.
func listens(ctx context.Context, t *testing.T, h *lab.Host, on []uint16, off ...uint16) {
	t.Helper()
	eventually(ctx, t, fmt.Sprintf("%s listens on %v and not on %v", h.Name, on, off), func() (bool, string) {
		out := uvtep(ctx, t, h, "link", "-j")
		var links []struct {
			Also map[uint16]struct {
				Active bool
				Reason string
			} `json:"also_listen"`
		}
		must(t, json.Unmarshal([]byte(out), &links))
		link := links[0]
		good := len(link.Also) == len(on)+len(off)
		for port, v := range link.Also {
			good = good && slices.Contains(on, port) == v.Active && slices.Contains(off, port) == (v.Reason != "")
		}
		return good, fmt.Sprint(link.Also)
	})
}

// arrives sends frames to ports of a host, the last to the VTEP's own, and fails
// unless those to these ports arrive, in order, and no others.
func arrives(ctx context.Context, t *testing.T, h, far *lab.Host, ports []uint16, want ...uint16) {
	t.Helper()
	tap, err := h.Link(h.TAP)
	must(t, err)
	inside, err := h.Wire(h.TAP)
	must(t, err)
	outside, err := far.Wire("eth0")
	must(t, err)
	defer func() { _, _ = inside.Close(), outside.Close() }()
	number := map[byte]uint16{}
	send := func(port uint16) {
		f := inner4(t, ether.Addr(tap.MAC), netip.MustParseAddr("10.10.2.9"), h.Subnet.Masked().Addr())
		f[ether.HeaderLen+1] = byte(len(number)) << 2 // any byte that tells them apart
		number[byte(len(number))<<2] = port
		must(t, outside.Send(datagram4(t, endOf(t, far), endOf(t, h), port, f)))
	}
	next := func() uint16 {
		f, err := inside.Find(ctx, func(f lab.Frame) bool { return ether.Frame(f.Data).Src() == someone })
		must(t, err)
		return number[f.Data[ether.HeaderLen+1]]
	}
	for _, port := range append(ports, 4789) {
		send(port)
		if slices.Contains(want, port) || port == 4789 {
			if got := next(); got != port {
				t.Errorf("got a frame that was sent to port %d, want %d", got, port)
			}
		}
	}
}

// Further ports are taken from the configuration while agents run. One that
// another program has is tried until it is free, and costs nothing meanwhile.
func TestFurtherPortsAreListenedOn(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2})
	startAgents(ctx, t, l.Hosts)
	connectedAfter(ctx, t, l)
	h, far := l.Hosts[0], l.Hosts[1]
	arrives(ctx, t, h, far, []uint16{8472, 8473})
	other, _ := listenAt(t, h.Node, h.Addr)
	taken := netip.MustParseAddrPort(other.LocalAddr().String()).Port()
	alsoListen(ctx, t, l, 8472, taken)
	listens(ctx, t, h, []uint16{8472}, taken)
	listens(ctx, t, far, []uint16{8472, taken})
	arrives(ctx, t, h, far, []uint16{8472, taken}, 8472)
	connected(ctx, t, l)
	must(t, other.Close())
	listens(ctx, t, h, []uint16{8472, taken})
	arrives(ctx, t, h, far, []uint16{8472, taken}, 8472, taken)
	alsoListen(ctx, t, l, taken)
	listens(ctx, t, h, []uint16{taken})
	arrives(ctx, t, h, far, []uint16{8472, taken}, taken)
	connected(ctx, t, l)
	steady(t, l)
}
