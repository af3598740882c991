package bench

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
)

// steered is a lab of two hosts with several lanes, whose wire keeps the order of
// flows: what is out of order is so for our sake.
func steered(t *testing.T, offloads bool) (*lab.Lab, context.Context, [2]end) {
	t.Helper()
	l, ctx := newLab(t, lab.Config{Hosts: 2, Underlay: veths(offloads), UnderlaySteered: true})
	startAgents(ctx, t, l.Hosts, "--queues", "4")
	for _, h := range l.Hosts {
		eventually(ctx, t, "there is a route to the other", func() (bool, string) {
			return strings.Contains(routesOf(t, h), "via"), routesOf(t, h)
		})
		// A router's kernel tells its multicast groups now and then, also in a queue
		// that is full: a loss of its own.
		must(t, h.Sysctl("net/ipv6/conf/"+h.TAP+"/disable_ipv6", "1"))
	}
	return l, ctx, join(t, [2]*lab.Host(l.Hosts), [2]string{l.Hosts[0].TAP, l.Hosts[1].TAP})
}

// ledger is all that a host and its part of the wire have counted.
type ledger struct {
	stats
	kernel         lab.Counters
	tap, own, port lab.Dropped
}

func open(ctx context.Context, t *testing.T, e end) (g ledger) {
	t.Helper()
	var err error
	g.stats, g.kernel = readStats(ctx, t, e.host), countersOf(t, e.Node)
	g.tap, err = e.Dropped(e.dev)
	must(t, err)
	g.own, g.port, err = e.host.UnderlayDropped()
	must(t, err)
	return g
}

// drops sums up the frames or datagrams that an agent dropped. What the kernel
// says unasked, multicast and ARP, is none of a volley.
func (s stats) drops(inbound bool) (n int64) {
	for name, c := range s.Verdicts {
		if strings.HasPrefix(name, "Drop") && name != "DropMulticast" && !strings.HasPrefix(name, "DropARP") && inboundVerdicts[name] == inbound {
			n += int64(c.Frames)
		}
	}
	return n
}

// losses are the places where a datagram can be lost on its way, and how many
// were counted there.
func losses(from, far [2]ledger) map[string]int64 {
	return map[string]int64{
		"queue in front of the TAP": from[1].tap.Queue - from[0].tap.Queue,
		"the TAP's queues":          from[1].tap.Out - from[0].tap.Out,
		"agent, outbound":           from[1].drops(false) - from[0].drops(false),
		"agent's sends":             int64(from[1].Counts["SendRefused"] - from[0].Counts["SendRefused"]),
		"eth0":                      from[1].own.Out - from[0].own.Out,
		"wire":                      far[1].port.Out - far[0].port.Out,
		"agent, inbound":            far[1].drops(true) - far[0].drops(true),
		"agent's writes":            int64(far[1].Counts["WriteRefused"] - far[0].Counts["WriteRefused"]),
		"TAP to stack":              far[1].tap.In - far[0].tap.In,
		// Of the agent and of whoever receives.
		"sockets": far[1].kernel["UdpRcvbufErrors"] + far[1].kernel["UdpMemErrors"] - far[0].kernel["UdpRcvbufErrors"] - far[0].kernel["UdpMemErrors"],
	}
}

func sum(m map[string]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}

// consistent reports where an agent's own counters contradict each other. An
// answer to ARP is written too.
func (s stats) consistent() error {
	f := func(v string) uint64 { return s.Verdicts[v].Frames }
	if a, b := f("Forward"), s.Counts["Sent"]+s.Counts["SendRefused"]; a != b {
		return fmt.Errorf("%d frames forwarded, %d sent or refused", a, b)
	}
	if a, b := f("Deliver")+f("Answer"), s.Counts["Written"]+s.Counts["WriteRefused"]; a != b {
		return fmt.Errorf("%d frames delivered or answered, %d written or refused", a, b)
	}
	return nil
}

// A flow has the same ports both ways, so that the kernel, which sends a flow to
// the TAP's queue that it last came from, has a reason to change its mind.
func TestManyLanesKeepEveryFlowInOrder(t *testing.T) {
	for _, offloads := range []bool{false, true} {
		t.Run(fmt.Sprintf("offloads of the veths %v", offloads), func(t *testing.T) {
			_, ctx, ends := steered(t, offloads)
			before := [2]ledger{open(ctx, t, ends[0]), open(ctx, t, ends[1])}
			for range 3 { // each on new ports
				out, err := ends[0].Volley(ctx, ends[1].Node, lab.Volley{At: [2]netip.Addr{ends[0].at[0], ends[1].at[0]}, Flows: 96, Rounds: 100})
				must(t, err)
				if err := whole(out); err != nil {
					t.Error(err)
				}
			}
			for i, e := range ends {
				after := open(ctx, t, e)
				if got, want := after.Verdicts["Forward"].Frames-before[i].Verdicts["Forward"].Frames, uint64(3*96*100*4); got != want {
					t.Errorf("%s: forwarded %d frames, want %d", e.Name, got, want)
				}
				if got, want := after.Verdicts["Deliver"].Frames-before[i].Verdicts["Deliver"].Frames, uint64(3*96*100*4); got != want {
					t.Errorf("%s: delivered %d frames, want %d", e.Name, got, want)
				}
				if err := after.consistent(); err != nil {
					t.Errorf("%s: %v", e.Name, err)
				}
			}
		})
	}
}

// One agent stands still while both hosts send more than there is room for. What
// does not arrive is counted where it was lost, to the last one.
func TestEveryLostDatagramIsCounted(t *testing.T) {
	_, ctx, ends := steered(t, false)
	still := ends[1].host.Agent
	before := [2]ledger{open(ctx, t, ends[0]), open(ctx, t, ends[1])}
	must(t, still.Signal(syscall.SIGSTOP))
	var both sync.WaitGroup
	both.Add(2)
	go func() {
		both.Wait()
		_ = still.Signal(syscall.SIGCONT)
	}()
	v := lab.Volley{At: [2]netip.Addr{ends[0].at[0], ends[1].at[0]}, Rounds: 200, Flood: true, Sent: both.Done}
	out, err := ends[0].Volley(ctx, ends[1].Node, v)
	must(t, err)
	// The agent hears of what its sockets lost with the next datagram on each.
	tail, err := ends[0].Volley(ctx, ends[1].Node, lab.Volley{At: v.At, Flows: 256, Rounds: 1, Burst: 1})
	must(t, err)
	must(t, whole(tail))
	after := [2]ledger{open(ctx, t, ends[0]), open(ctx, t, ends[1])}
	for i, got := range out {
		lost := losses([2]ledger{before[i], after[i]}, [2]ledger{before[1-i], after[1-i]})
		t.Logf("direction %d: sent %d, received %d, lost %v", i, got.Sent, got.Received, lost)
		if got.Received+sum(lost) != got.Sent {
			t.Errorf("direction %d: sent %d, received %d, counted as lost %d: %v", i, got.Sent, got.Received, sum(lost), lost)
		}
		if got.Sent == got.Received {
			t.Errorf("direction %d: nothing was lost, which proves nothing", i)
		}
		if got.Doubled+got.Reordered > 0 {
			t.Errorf("direction %d: %d came twice, %d out of order", i, got.Doubled, got.Reordered)
		}
		far := after[1-i]
		if heard, told := int64(far.Underlay.Overrun-before[1-i].Underlay.Overrun), lost["sockets"]-got.Overrun; heard != told {
			t.Errorf("direction %d: the agent counts %d overruns, the kernel %d", i, heard, told)
		}
		if err := far.consistent(); err != nil {
			t.Errorf("%s: %v", ends[1-i].Name, err)
		}
	}
	if after[1].Underlay.Overrun == before[1].Underlay.Overrun {
		t.Error("the agent that stood still lost nothing at its sockets, which proves nothing")
	}
}
