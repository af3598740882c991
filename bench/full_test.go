//go:build full

package bench

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
)

// startTcpdump runs tcpdump on a device of a host and returns once it listens.
func startTcpdump(t *testing.T, h *lab.Host, args ...string) *lab.Process {
	t.Helper()
	// Headers alone, and room for all of a stream: on a busy machine what comes
	// meanwhile would be lost to it.
	p, err := h.Start("tcpdump", append([]string{"-l", "-n", "-s", "128", "-B", "65536"}, args...)...)
	must(t, err)
	must(t, p.WaitOutput(t.Context(), "listening on"))
	return p
}

func TestFullTcpdumpShowsInnerAndOuterTraffic(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[0]
	inner := startTcpdump(t, h, "-i", h.TAP, "icmp")
	outer := startTcpdump(t, h, "-i", "eth0", "udp", "port", "4789")
	from, to := h.Containers[0], l.Hosts[1].Containers[0]
	_, err := from.Ping(ctx, to.Addr, lab.Pings{Count: 1})
	must(t, err)
	must(t, inner.WaitOutput(ctx, "IP "+from.Addr.String()+" > "+to.Addr.String()+": ICMP echo request"))
	must(t, inner.WaitOutput(ctx, "IP "+to.Addr.String()+" > "+from.Addr.String()+": ICMP echo reply"))
	must(t, outer.WaitOutput(ctx, "> 192.0.2.2.4789: VXLAN, flags [I] (0x08), vni 1"))
	must(t, outer.WaitOutput(ctx, "> 192.0.2.1.4789: VXLAN, flags [I] (0x08), vni 1"))
}

// With offloads a TAP shows superframes; without, frames as on the wire.
func TestFullTcpdumpShowsWireFramesWithoutOffload(t *testing.T) {
	for _, c := range []struct {
		offload string
		super   bool
	}{{"auto", true}, {"off", false}} {
		t.Run("offload "+c.offload, func(t *testing.T) {
			l, ctx := newNetwork(t, lab.Config{Hosts: 2, AgentArgs: []string{"--offload", c.offload}})
			h := l.Hosts[0]
			dump := startTcpdump(t, h, "-i", h.TAP, "tcp")
			_, err := h.Containers[0].TCP(ctx, l.Hosts[1].Containers[0].Node, lab.Flow{Bytes: 4 << 20})
			must(t, err)
			longest := 0
			eventually(ctx, t, "the stream's end is in the dump", func() (bool, string) {
				return strings.Contains(dump.Output(), "Flags [F"), dump.Tail(3)
			})
			for _, m := range regexp.MustCompile(`(?m)^[0-9:.]+ IP .*, length (\d+)`).FindAllStringSubmatch(dump.Output(), -1) {
				n, _ := strconv.Atoi(m[1])
				longest = max(longest, n)
			}
			if longest == 0 || (longest > h.MTU) != c.super {
				t.Errorf("the longest segment on the TAP has %d bytes at an MTU of %d; superframes: want %v", longest, h.MTU, c.super)
			}
		})
	}
}
