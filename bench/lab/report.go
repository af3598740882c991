//go:build linux

package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// Pair is the result between two containers, in one direction.
type Pair struct {
	From, To *Container
	Ping     Echoes
	TCP      Transfer
	Err      error // nil if all got through
}

// Report is the result of all pairs.
type Report []Pair

// Probe says how Check tries the pairs.
type Probe struct {
	Bytes    int64         // of each TCP transfer; 0 means 4 MiB
	Patience time.Duration // until a pair's first answer; 0 means 10 s
	Stall    time.Duration // for one TCP transfer; 0 means 30 s
	// Step, if not nil, is told of each pair that is done with: with pings, which
	// are done by several at once, then with its transfer.
	Step func(what string, done, of int)
}

func (p Probe) withDefaults() Probe {
	if p.Bytes == 0 {
		p.Bytes = 4 << 20
	}
	if p.Patience == 0 {
		p.Patience = 10 * time.Second
	}
	if p.Stall == 0 {
		p.Stall = 30 * time.Second
	}
	return p
}

// Check tries every pair of containers on different hosts, both directions: first
// pings, of all pairs at once, then for each pair that answered a TCP transfer, one
// after the other so that their figures can be compared.
func (l *Lab) Check(ctx context.Context, p Probe) Report {
	p = p.withDefaults()
	var r Report
	for _, from := range l.Containers() {
		for _, to := range l.Containers() {
			if from.Host != to.Host {
				r = append(r, Pair{From: from, To: to})
			}
		}
	}
	var wg sync.WaitGroup
	var pinged atomic.Int32
	for i := range r {
		wg.Go(func() {
			r[i].ping(ctx, p)
			p.step("pairs pinged", int(pinged.Add(1)), len(r))
		})
	}
	wg.Wait()
	for i := range r {
		r[i].transfer(ctx, p)
		p.step("pairs have sent", i+1, len(r))
	}
	return r
}

func (p Probe) step(what string, done, of int) {
	if p.Step != nil {
		p.Step(what, done, of)
	}
}

func (p *Pair) ping(ctx context.Context, probe Probe) {
	ctx, cancel := context.WithTimeout(ctx, probe.Patience)
	defer cancel()
	if p.Err = p.From.Reach(ctx, p.To.Addr); p.Err != nil {
		return
	}
	p.Ping, p.Err = p.From.Ping(ctx, p.To.Addr, Pings{})
}

func (p *Pair) transfer(ctx context.Context, probe Probe) {
	if p.Err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probe.Stall)
	defer cancel()
	p.TCP, p.Err = p.From.TCP(ctx, p.To.Node, Flow{Bytes: probe.Bytes})
}

// Failed returns the pairs that failed.
func (r Report) Failed() Report {
	var failed Report
	for _, p := range r {
		if p.Err != nil {
			failed = append(failed, p)
		}
	}
	return failed
}

// Err is nil if all pairs got through, else it names those that failed and is
// ErrPairs.
func (r Report) Err() error {
	failed := r.Failed()
	if len(failed) == 0 {
		return nil
	}
	var names bytes.Buffer
	for _, p := range failed {
		fmt.Fprintf(&names, " %s→%s", p.From.Name, p.To.Name)
	}
	return fmt.Errorf("%w: %d of %d:%s", ErrPairs, len(failed), len(r), &names)
}

// WriteTo prints the report as a table, one line a pair.
func (r Report) WriteTo(w io.Writer) (int64, error) {
	var table bytes.Buffer
	tw := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "FROM\tADDRESS\tTO\tADDRESS\tPING\tRTT\tTCP\tRATE\tRESULT")
	for _, p := range r {
		fmt.Fprintf(tw, "%s\t%v\t%s\t%v\t%s\n", p.From.Name, p.From.Addr, p.To.Name, p.To.Addr, p.figures())
	}
	if err := tw.Flush(); err != nil {
		return 0, err
	}
	return table.WriteTo(w)
}

// figures are the columns of what was measured.
func (p *Pair) figures() string {
	ping, rtt, size, rate, result := "-", "-", "-", "-", "ok"
	if p.Ping.Sent > 0 {
		ping = fmt.Sprintf("%d/%d", p.Ping.Received, p.Ping.Sent)
	}
	if p.Ping.Received > 0 {
		rtt = p.Ping.Avg.Round(time.Microsecond).String()
	}
	if p.TCP.Bytes > 0 {
		size = fmt.Sprintf("%.1f MiB", float64(p.TCP.Bytes)/(1<<20))
		rate = fmt.Sprintf("%.2f Gbit/s", p.TCP.BitsPerSecond()/1e9)
	}
	if p.Err != nil {
		result = "FAILED: " + firstLine(p.Err.Error())
	}
	return fmt.Sprintf("%s\t%s\t%s\t%s\t%s", ping, rtt, size, rate, result)
}
