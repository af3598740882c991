package bench

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/etcdsync"
)

const (
	// fleetIdle is as long as a liveness lease lasts: all that agents do by
	// themselves happens in it.
	fleetIdle = 30 * time.Second
	// fleetChanges are made one after another, so that none is joined with others
	// on their way to the agents.
	fleetChanges = 200
)

// BenchmarkFleet is what agents cost etcd, by how many there are: to start one, to
// have one for a second while nothing changes, and to tell one of a change. The
// agents are what of them speaks to etcd, in one process, in a network of a
// hundred hosts and a thousand endpoints.
func BenchmarkFleet(b *testing.B) {
	for _, n := range []int{1, 10, 50, 200} {
		b.Run(fmt.Sprintf("agents=%d", n), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(labThreads))
			for range b.N {
				runFleet(b, n)
			}
		})
	}
}

func runFleet(b *testing.B, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), scalePatience)
	defer cancel()
	l, _ := newLab(b, lab.Config{Hosts: 1})
	_, etcd := startEtcd(ctx, b, l)
	_, err := etcd.Put(ctx, prefix+"/config", populationConfig)
	must(b, err)
	p, err := settle(ctx, etcd, prefix, 100, 1000)
	must(b, err)
	url, err := l.EtcdForward()
	must(b, err)
	f := &fleet{url: url}
	before := f.costs(b)
	must(b, f.start(ctx, n))
	f.caughtUp(ctx, b, p)
	f.costs(b).since(before).report(b, "start-", float64(n), 1)
	f.idle(b, n)
	f.changes(ctx, b, p, n)
	b.ReportMetric(f.costs(b)["etcd_debugging_mvcc_watcher_total"]/float64(n), "watches")
	b.ReportMetric(0, "ns/op")
	cancel()
	f.wg.Wait()
}

// fleet is agents without a data path.
type fleet struct {
	url  string
	revs []atomic.Int64 // how far the tables of each are
	wg   sync.WaitGroup
}

// start starts agents, sixteen at a time, until all have a subnet.
func (f *fleet) start(ctx context.Context, n int) error {
	f.revs = make([]atomic.Int64, n)
	const atOnce = 16
	return inParallel(atOnce, func(worker int) error {
		for i := worker; i < n; i += atOnce {
			if err := f.agent(ctx, i); err != nil {
				return err
			}
		}
		return nil
	})
}

// agent does what an agent does, with a connection of its own.
func (f *fleet) agent(ctx context.Context, i int) error {
	s, err := etcdsync.Dial(etcdsync.Options{Endpoints: []string{f.url}})
	if err != nil {
		return err
	}
	n, err := s.WaitNetwork(ctx)
	if err != nil {
		return err
	}
	c := etcdsync.Claim{Network: n, NodeID: fmt.Sprintf("%032x", 1<<20+i), PublicIP: plus(203, 0, i), MAC: numbered(0x0a, i)}
	r, err := s.Acquire(ctx, c)
	if err != nil {
		return err
	}
	f.wg.Go(func() {
		defer s.Close()
		var both sync.WaitGroup
		both.Go(func() { _ = r.Run(ctx) })
		_ = s.Follow(ctx, etcdsync.FollowConfig{
			Network: n, NodeID: c.NodeID, MAC: c.MAC,
			Publish: func(t *etcdsync.Tables) { f.revs[i].Store(t.Rev) },
		})
		both.Wait()
	})
	return nil
}

// caughtUp makes a change and waits until all agents know of it.
func (f *fleet) caughtUp(ctx context.Context, b *testing.B, p *population) {
	b.Helper()
	r, err := p.etcd.Txn(ctx).Then(p.putLease(0, 1)).Commit()
	must(b, err)
	for i := range f.revs {
		for f.revs[i].Load() < r.Header.Revision {
			must(b, ctx.Err())
			time.Sleep(time.Millisecond)
		}
	}
}

// idle reports what an agent costs in a second.
func (f *fleet) idle(b *testing.B, n int) {
	before := f.costs(b)
	<-time.After(fleetIdle)
	f.costs(b).since(before).report(b, "idle-", float64(n), fleetIdle.Seconds())
}

// changes reports what it costs to tell one agent of one change.
func (f *fleet) changes(ctx context.Context, b *testing.B, p *population, n int) {
	before, began := f.costs(b), time.Now()
	for i := range fleetChanges {
		must(b, p.change(ctx, i))
		time.Sleep(5 * time.Millisecond)
	}
	f.caughtUp(ctx, b, p)
	took := time.Since(began)
	f.costs(b).since(before).report(b, "change-", float64(n), fleetChanges+1)
	b.ReportMetric(fleetChanges/took.Seconds(), "change/s")
}

// costs are etcd's own counters, summed over their labels.
type costs map[string]float64

// costs asks etcd.
func (f *fleet) costs(b *testing.B) costs {
	b.Helper()
	resp, err := http.Get(f.url + "/metrics")
	must(b, err)
	defer func() { _ = resp.Body.Close() }()
	c := costs{}
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if label := strings.IndexByte(name, '{'); label >= 0 {
			name, value = name[:label], lines.Text()[strings.LastIndexByte(lines.Text(), ' ')+1:]
		}
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			c[name] += v
		}
	}
	return c
}

func (c costs) since(before costs) costs {
	out := costs{}
	for name, v := range c {
		out[name] = v - before[name]
	}
	return out
}

// report reports costs an agent and a time, or a change.
func (c costs) report(b *testing.B, what string, agents, times float64) {
	per := agents * times
	b.ReportMetric(c["grpc_server_msg_received_total"]/per, what+"requests")
	b.ReportMetric(c["grpc_server_msg_sent_total"]/per, what+"answers")
	b.ReportMetric(c["etcd_network_client_grpc_received_bytes_total"]/per, what+"B-in")
	b.ReportMetric(c["etcd_network_client_grpc_sent_bytes_total"]/per, what+"B-out")
	b.ReportMetric(1e6*c["process_cpu_seconds_total"]/per, what+"cpu-µs")
}
