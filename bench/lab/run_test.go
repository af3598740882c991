//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestAgentIsReadyWithItsSubnetAndAgainAfterARestart(t *testing.T) {
	l := newLab(t, Config{Hosts: 2, Bin: os.Args[0], AgentArgs: []string{"--hosts", "2"}})
	if err := l.StartAgents(patient(t)); err != nil {
		t.Fatal(err)
	}
	h := l.Hosts[1]
	if got, want := h.Subnet, netip.MustParsePrefix("10.10.2.1/24"); got != want || h.MTU != 1450 {
		t.Errorf("got subnet %v, MTU %d, want %v, 1450", got, h.MTU, want)
	}
	first := h.Agent
	if !strings.Contains(first.Output(), "--hosts 2") {
		t.Errorf("Config.AgentArgs are missing: %s", first.Output())
	}
	if err := first.Stop(patient(t)); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(h.SubnetFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.StartAgent(patient(t), "--hosts", "3"); err != nil {
		t.Fatal(err)
	}
	if !newer(h.SubnetFile, before) {
		t.Error("ready before the new agent had written its subnet file")
	}
	if h.Agent == first || !strings.Contains(h.Agent.Output(), "--hosts 3") {
		t.Errorf("got %s", h.Agent.Output())
	}
}

func TestAgentThatFailsIsToldWithWhatItWrote(t *testing.T) {
	l := newLab(t, Config{Hosts: 1, Bin: os.Args[0]})
	err := l.Hosts[0].StartAgent(patient(t), "--broken", "ends")
	if err == nil || !strings.Contains(err.Error(), "cannot go on") || !strings.Contains(err.Error(), "exit status 2") {
		t.Errorf("got %v", err)
	}
	late := errors.New("too late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 200*time.Millisecond, late)
	defer cancel()
	if err := l.Hosts[0].StartAgent(ctx, "--broken", "hangs"); !errors.Is(err, late) {
		t.Errorf("got %v, want %v", err, late)
	}
	if err := newLab(t, Config{Hosts: 1}).Hosts[0].StartAgent(patient(t)); err == nil {
		t.Error("an agent without program was started")
	}
	if err := newLab(t, Config{Hosts: 1}).AddContainers(patient(t), 1); err == nil {
		t.Error("containers without subnet were added")
	}
}

// labName finds the lab's name in what Run has printed.
var labName = regexp.MustCompile(`lab (uvl[0-9a-z]+):`)

func TestRunReportsAllPairsAndLeavesNothing(t *testing.T) {
	needRoot(t)
	var out bytes.Buffer
	err := Run(patient(t), RunConfig{Config: Config{Bin: os.Args[0]}, Probe: Probe{Bytes: 1 << 16}, Out: &out})
	t.Log("\n" + out.String())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(out.String(), "Gbit/s  ok\n"), 24; got != want {
		t.Errorf("got %d good pairs, want %d", got, want)
	}
	if left := traces(t, labName.FindStringSubmatch(out.String())[1]); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestRunNamesThePairsThatFailed(t *testing.T) {
	needRoot(t)
	cases := []struct {
		block [][2]int
		want  []string
	}{
		{[][2]int{{1, 3}}, []string{"h1c1→h3c1", "h3c1→h1c1"}},
		{[][2]int{{2, 0}}, []string{"h1c1→h2c1", "h2c1→h1c1", "h2c1→h3c1", "h3c1→h2c1"}},
	}
	for _, c := range cases {
		var out bytes.Buffer
		err := Run(patient(t), RunConfig{
			Config: Config{Bin: os.Args[0]}, Containers: 1, Block: c.block,
			Probe: Probe{Bytes: 1 << 16, Patience: time.Second}, Out: &out,
		})
		t.Log("\n" + out.String())
		if !errors.Is(err, ErrPairs) {
			t.Fatalf("got %v, want ErrPairs", err)
		}
		_, names, _ := strings.Cut(err.Error(), "of 6: ")
		got := strings.Fields(names)
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("block %v: got failed pairs %v, want %v", c.block, got, c.want)
		}
		if got, want := strings.Count(out.String(), "FAILED: "), len(c.want); got != want {
			t.Errorf("block %v: got %d failed lines, want %d", c.block, got, want)
		}
	}
	if err := Run(patient(t), RunConfig{Config: Config{Bin: os.Args[0]}, Block: [][2]int{{1, 9}}}); err == nil || errors.Is(err, ErrPairs) {
		t.Errorf("a host that does not exist: got %v", err)
	}
}

// watched is a writer that calls back when a text has been written.
type watched struct {
	bytes.Buffer
	text string
	then func()
}

func (w *watched) Write(b []byte) (int, error) {
	n, err := w.Buffer.Write(b)
	if w.then != nil && strings.Contains(w.String(), w.text) {
		w.then()
		w.then = nil
	}
	return n, err
}

func TestRunEndsWithItsContextAtAnyStage(t *testing.T) {
	needRoot(t)
	interrupted := errors.New("interrupted")
	for _, stage := range []struct {
		text string
		keep bool
		want error
	}{
		{"lab uvl", false, interrupted},           // hosts made
		{"starting 3 agents", false, interrupted}, // agents about to start
		{"h3: agent", false, interrupted},         // agents ready
		{"containers, pinging", false, interrupted},
		{"The lab stays up until Ctrl-C", true, nil},
	} {
		t.Run(stage.text, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(patient(t))
			out := &watched{text: stage.text, then: func() { cancel(interrupted) }}
			err := Run(ctx, RunConfig{Config: Config{Bin: os.Args[0]}, Keep: stage.keep, Probe: Probe{Bytes: 1 << 16}, Out: out})
			if !errors.Is(err, stage.want) {
				t.Errorf("got %v, want %v", err, stage.want)
			}
			if left := traces(t, labName.FindStringSubmatch(out.String())[1]); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if stage.keep {
				t.Log("\n" + out.String())
			}
		})
	}
}

// asked is a context that tells when somebody begins to wait for its end.
type asked struct {
	context.Context
	waits func()
}

func (a asked) Done() <-chan struct{} {
	a.waits()
	return a.Context.Done()
}

func TestRunKeepsTheLabUntilItsContextEnds(t *testing.T) {
	needRoot(t)
	inner, cancel := context.WithCancel(patient(t))
	defer cancel()
	var kept atomic.Bool
	out := &watched{text: "The lab stays up", then: func() { kept.Store(true) }}
	ctx := asked{inner, func() {
		if kept.Load() {
			cancel()
		}
	}}
	err := Run(ctx, RunConfig{Config: Config{Hosts: 2, Bin: os.Args[0]}, Containers: 1, Keep: true, Probe: Probe{Bytes: 1}, Out: out})
	if err != nil || inner.Err() == nil {
		t.Errorf("got error %v, context %v; want it to wait for its context", err, inner.Err())
	}
}

func TestBlockBetweenDropsBothWays(t *testing.T) {
	l := newMesh(t, Config{Hosts: 2}, 1)
	if err := blockBetween(l.Hosts[0], l.Hosts[1]); err != nil {
		t.Fatal(err)
	}
	a, b := l.Hosts[0].Containers[0].Node, l.Hosts[1].Containers[0].Node
	for _, way := range [][2]*Node{{a, b}, {b, a}} {
		got, err := way[0].UDP(patient(t), way[1], Flow{Bytes: 1000, Size: 100})
		if err != nil || got.Received != 0 {
			t.Errorf("%s→%s: got %d datagrams, error %v, want none", way[0].Name, way[1].Name, got.Received, err)
		}
	}
}

func TestRunEndsWhenItsReaderIsGone(t *testing.T) {
	needRoot(t)
	r, w := io.Pipe()
	r.Close()
	err := Run(patient(t), RunConfig{Config: Config{Hosts: 2, Bin: os.Args[0]}, Containers: 1, Out: w})
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v, want %v", err, io.ErrClosedPipe)
	}
	if left := spaces(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestKernelPeerIsRegisteredAsFlannelDoes(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	k, err := l.Hosts[0].AddKernelPeer(KernelConfig{Subnet: KernelSubnet(7), MAC: playMAC(7), VNI: 42})
	if err != nil {
		t.Fatal(err)
	}
	key, value := k.Lease()
	if want := "subnets/10.10.7.0-24"; key != want {
		t.Errorf("got key %s, want %s", key, want)
	}
	want := `{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":42,"VtepMAC":"02:00:00:00:00:07"}}`
	if value != want {
		t.Errorf("got  %s\nwant %s", value, want)
	}
}

func TestKernelPeerForgetsARemovedHost(t *testing.T) {
	l := newLab(t, Config{Hosts: 2})
	peers, err := l.KernelMesh(KernelConfig{UDPCSum: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.AddContainers(patient(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := l.Check(patient(t), Probe{Bytes: 1 << 16}).Err(); err != nil {
		t.Fatal(err)
	}
	if err := peers[0].Remove(peers[1].Remote()); err != nil {
		t.Fatal(err)
	}
	routes, err := l.Hosts[0].Routes("flannel.1")
	if err != nil || len(routes) > 0 {
		t.Errorf("got routes %v, error %v, want none", routes, err)
	}
	if got, want := len(l.Check(patient(t), Probe{Bytes: 1, Patience: 500 * time.Millisecond}).Failed()), 2; got != want {
		t.Errorf("got %d failed pairs, want %d", got, want)
	}
}

func TestProgressIsWrittenOverOnATerminalAlone(t *testing.T) {
	for _, live := range []bool{true, false} {
		var out strings.Builder
		p := &progress{out: &out, live: live, start: time.Now()}
		p.step("agents ready", 1, 3)
		p.say("so far")
		p.step("agents ready", 3, 3)
		p.say("done")
		want := "  0.0s  so far\n  0.0s  done\n"
		if live {
			want = overwrite + "  0.0s  1 of 3 agents ready" + overwrite + "  0.0s  so far\n" +
				overwrite + "  0.0s  3 of 3 agents ready" + overwrite + "  0.0s  done\n"
		}
		if out.String() != want {
			t.Errorf("live %v: got %q, want %q", live, out.String(), want)
		}
	}
}
