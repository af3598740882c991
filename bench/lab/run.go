//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// ErrPairs says that the lab worked and that some pairs did not get through.
var ErrPairs = errors.New("pairs without connection")

// RunConfig says what Run does.
type RunConfig struct {
	Config
	Containers int       // a host; 0 means 2
	Probe      Probe     // how pairs are tried
	Block      [][2]int  // numbers of hosts between which UDP 4789 is dropped, both ways; 0 stands for every host
	Keep       bool      // leave the lab up until ctx ends
	Out        io.Writer // progress and report; nil discards
	Live       bool      // Out is a terminal: tell how far things are on a line that is written over
}

// Run is the main job on one machine: it builds a lab with an agent a host and
// containers behind each, tries every pair of containers on different hosts with
// ping and TCP, prints the table, and takes all down. The error is ErrPairs if a
// pair failed. When ctx ends early, all is taken down and its cause returned;
// ending what Keep keeps is no error.
func Run(ctx context.Context, cfg RunConfig) (err error) {
	if cfg.Containers == 0 {
		cfg.Containers = 2
	}
	if cfg.Out == nil {
		cfg.Out = io.Discard
	}
	p := &progress{out: cfg.Out, live: cfg.Live, start: time.Now()}
	cfg.Probe.Step = p.step
	l, err := New(ctx, cfg.Config)
	if err != nil {
		return err
	}
	defer func() {
		p.say("taking the lab down")
		err = errors.Join(err, l.Close())
	}()
	p.say("lab %s: %d hosts, underlay 192.0.2.0/24, MTU %d", l.Name, len(l.Hosts), l.cfg.UnderlayMTU)
	if err := l.populate(ctx, cfg, p); err != nil {
		return err
	}
	report := l.Check(ctx, cfg.Probe)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, err := report.WriteTo(cfg.Out); err != nil {
		return err
	}
	err = report.Err()
	l.conclude(p, report, err)
	if cfg.Keep {
		l.keep(ctx, p)
	}
	return err
}

// populate starts what lives on the hosts.
func (l *Lab) populate(ctx context.Context, cfg RunConfig, p *progress) error {
	if err := l.blockPairs(cfg.Block, p); err != nil {
		return err
	}
	p.say("starting %d agents, the first with the embedded etcd", len(l.Hosts))
	if err := l.startAgents(ctx, p); err != nil {
		return err
	}
	for _, h := range l.Hosts {
		p.say("%s: agent %d ready: %v on %s, subnet %v, MTU %d", h.Name, h.Agent.PID, h.Addr, h.TAP, h.Subnet.Masked(), h.MTU)
	}
	if err := l.AddContainers(ctx, cfg.Containers); err != nil {
		return err
	}
	p.say("%d containers, pinging and sending between all on different hosts", len(l.Containers()))
	return nil
}

// blockPairs drops the overlay's datagrams between pairs of hosts.
func (l *Lab) blockPairs(pairs [][2]int, p *progress) error {
	for _, pair := range pairs {
		for _, id := range pair {
			if id < 0 || id > len(l.Hosts) {
				return fmt.Errorf("block between hosts %d and %d: want 0 to %d", pair[0], pair[1], len(l.Hosts))
			}
		}
		for _, a := range l.numbered(pair[0]) {
			for _, b := range l.numbered(pair[1]) {
				if err := blockBetween(a, b); err != nil {
					return err
				}
			}
		}
		p.say("UDP 4789 dropped between %s and %s", hostWord(pair[0]), hostWord(pair[1]))
	}
	return nil
}

// numbered returns the host of that number, or all for 0.
func (l *Lab) numbered(id int) []*Host {
	if id == 0 {
		return l.Hosts
	}
	return l.Hosts[id-1 : id]
}

func hostWord(id int) string {
	if id == 0 {
		return "all hosts"
	}
	return fmt.Sprintf("h%d", id)
}

func blockBetween(a, b *Host) error {
	if a == b {
		return nil
	}
	if _, err := a.Block(Block{From: b.Addr}); err != nil {
		return err
	}
	_, err := b.Block(Block{From: a.Addr})
	return err
}

// conclude says what came of it, and after a failure what the agents said last.
func (l *Lab) conclude(p *progress, report Report, err error) {
	if err == nil {
		p.say("all %d pairs got through", len(report))
		return
	}
	p.say("%v", err)
	for _, h := range l.Hosts {
		p.say("%s: the agent wrote last:\n%s", h.Name, h.Agent.Tail(10))
	}
}

// keep says how to look around, and waits.
func (l *Lab) keep(ctx context.Context, p *progress) {
	h := l.Hosts[0]
	fmt.Fprintf(p.out, `
The lab stays up until Ctrl-C. Logs and state are in %s. To look around, as in the
namespace of %s (the other hosts are below):
`, l.Dir, h.Name)
	in, agent := "ip netns exec "+h.NS+" ", "--admin-socket "+h.AdminSocket
	t := tabwriter.NewWriter(p.out, 0, 0, 3, ' ', 0)
	hint := func(command, shows string) { fmt.Fprintf(t, "  %s\t%s\n", command, shows) }
	hint(l.cfg.Bin+" status "+agent, "the agent on one screen")
	hint(l.cfg.Bin+" top "+agent, "its traffic, live")
	hint(in+"tcpdump -ni "+h.TAP, "inner frames")
	hint(in+"tcpdump -ni eth0 udp port 4789", "outer datagrams")
	hint(in+"ip route", "routes to the other hosts")
	hint(in+l.cfg.Bin+" subnets --etcd-endpoints "+strings.Join(l.EtcdURLs(), ","), "what etcd says")
	if c := l.Containers(); len(c) > 1 {
		hint(fmt.Sprintf("ip netns exec %s ping %v", c[0].NS, c[len(c)-1].Addr), "from one container to another host's")
	}
	_ = t.Flush()
	for _, h := range l.Hosts {
		fmt.Fprintf(p.out, "  %s: namespace %s, agent %d, --admin-socket %s, log %s\n", h.Name, h.NS, h.Agent.PID, h.AdminSocket, h.Agent.Log)
	}
	<-ctx.Done()
}

// startAgents is StartAgents, told of as it goes.
func (l *Lab) startAgents(ctx context.Context, p *progress) error {
	var ready atomic.Int32
	start := func(h *Host) error {
		err := h.StartAgent(ctx)
		p.step("agents ready", int(ready.Add(1)), len(l.Hosts))
		return err
	}
	if err := start(l.Hosts[0]); err != nil {
		return err
	}
	return l.each(func(h *Host) error {
		if h.ID == 1 {
			return nil
		}
		return start(h)
	})
}

// progress prints lines with the time since the start, and on a terminal how far
// things are in between. It may be used by several goroutines at once.
type progress struct {
	out   io.Writer
	live  bool
	start time.Time

	mu   sync.Mutex
	open bool // a line is to be written over; guarded by mu
}

// overwrite goes to the beginning of the line and clears it (ECMA-48).
const overwrite = "\r\x1b[K"

func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.close()
	fmt.Fprintf(p.out, "%5.1fs  %s\n", time.Since(p.start).Seconds(), fmt.Sprintf(format, args...))
}

// step tells that so many of something are done.
func (p *progress) step(what string, done, of int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.live {
		return
	}
	fmt.Fprintf(p.out, "%s%5.1fs  %d of %d %s", overwrite, time.Since(p.start).Seconds(), done, of, what)
	if p.open = true; done == of {
		p.close()
	}
}

// close takes back the line that is to be written over. mu is held.
func (p *progress) close() {
	if p.open {
		_, _ = io.WriteString(p.out, overwrite)
	}
	p.open = false
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
