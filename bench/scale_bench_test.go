package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

const (
	// scaleTime is how long one measurement lasts, framesTime one of frames;
	// scalePatience bounds all of one size.
	scaleTime     = 6 * time.Second
	framesTime    = 12 * time.Second
	scalePatience = 10 * time.Minute
	// askEvery is how exactly the moment is known at which a change is in the
	// data path, streamEvery how short a stop of forwarding can be seen.
	askEvery    = time.Millisecond
	streamEvery = 500 * time.Microsecond
	// aStop is how long a frame waits for it to count as one.
	aStop = time.Millisecond
)

// BenchmarkScale is one agent, the program itself, that follows an etcd, a process
// too, full of hosts and endpoints. First it starts and loads all of it, without
// and with a cache; then etcd changes so many times a second. Agent, etcd and load
// share this machine's processors.
func BenchmarkScale(b *testing.B) {
	for _, s := range []struct{ hosts, endpoints int }{{100, 1_000}, {1_000, 10_000}, {10_000, 100_000}, {10_000, 1_000_000}} {
		b.Run(fmt.Sprintf("hosts=%d/endpoints=%d", s.hosts, s.endpoints), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(labThreads))
			g := newGreat(b, s.hosts, s.endpoints)
			b.Run("first", g.first)
			b.Run("again", g.again)
			for _, rate := range []int{0, 200, 1_000} {
				b.Run(fmt.Sprintf("churn=%d", rate), func(b *testing.B) { g.churn(b, rate) })
			}
			for _, rate := range []int{0, 200, 1_000} {
				b.Run(fmt.Sprintf("full=%d", rate), func(b *testing.B) { g.full(b, rate) })
			}
		})
	}
}

// great is a large network: an agent, a host that only listens, and a population.
type great struct {
	ctx   context.Context
	host  *lab.Host
	sink  *lab.Host
	etcd  *clientv3.Client
	crowd *population // that the agent follows
	other *population // as large, under a prefix that nobody follows
	asked int
}

// The station that frames are sent to, the one whose address changes, and their
// hosts, which are part of no population.
var (
	sinkMAC, askedMAC = ether.Addr{2, 0xbb, 0, 0, 0, 1}, ether.Addr{2, 0xbb, 0, 0, 0, 2}
	sinkDir           = hostDir(1 << 24)
)

func newGreat(b *testing.B, hosts, endpoints int) *great {
	ctx, cancel := context.WithTimeout(context.Background(), scalePatience)
	l, _ := newLab(b, lab.Config{Hosts: 2})
	b.Cleanup(cancel)
	_, etcd := startEtcd(ctx, b, l)
	g := &great{ctx: ctx, host: l.Hosts[0], sink: l.Hosts[1], etcd: etcd}
	g.put(b, "/config", populationConfig)
	g.put(b, sinkDir+"/host", fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":null,"Port":4789,"VNIs":[1]}`, g.sink.Addr))
	g.put(b, sinkDir+"/endpoints/1/"+sinkMAC.String(), `{"IPs":[],"Seq":0}`)
	g.ask(b)
	var err error
	g.crowd, err = settle(ctx, etcd, prefix, hosts, endpoints)
	must(b, err)
	g.other, err = settle(ctx, etcd, "/elsewhere", min(hosts, 1000), min(endpoints, 10_000))
	must(b, err)
	return g
}

func (g *great) put(b *testing.B, key, value string) {
	b.Helper()
	_, err := g.etcd.Put(g.ctx, prefix+key, value)
	must(b, err)
}

// ask gives the station whose address changes the next one.
func (g *great) ask(b *testing.B) netip.Addr {
	b.Helper()
	g.asked++
	ip := plus(100, 127, g.asked)
	g.put(b, sinkDir+"/endpoints/1/"+askedMAC.String(), fmt.Sprintf(`{"IPs":[%q],"Seq":0}`, ip))
	return ip
}

// first starts an agent that has never run.
func (g *great) first(b *testing.B) {
	for range b.N {
		if g.host.Agent != nil {
			g.stop(b)
		}
		must(b, os.RemoveAll(g.host.StateDir))
		g.start(b)
	}
}

// again starts it once more, with the cache of its last run.
func (g *great) again(b *testing.B) {
	for range b.N {
		g.stop(b)
		g.start(b)
	}
}

func (g *great) stop(b *testing.B) {
	must(b, g.host.Agent.Stop(g.ctx))
}

// start measures a start until the data path has everything, and until the
// kernel has all routes too.
func (g *great) start(b *testing.B) {
	began := time.Now()
	last := g.ask(b)
	up := make(chan error, 1)
	go func() { up <- g.host.StartAgent(g.ctx) }()
	a := newAsker(g.ctx, b, g.host)
	loaded, err := a.wait(g.ctx, last, askEvery)
	must(b, err, <-up)
	whole := g.whole(b)
	cpu, err := g.host.Agent.CPU()
	must(b, err)
	m, err := g.host.Agent.Memory()
	must(b, err)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(loaded.Sub(began).Seconds(), "loaded-s")
	b.ReportMetric(whole.Sub(began).Seconds(), "whole-s")
	b.ReportMetric(cpu.Seconds(), "cpu-s")
	b.ReportMetric(mib(m.Now), "MiB")
	b.ReportMetric(mib(m.Peak), "peak-MiB")
}

func mib(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// whole waits until the kernel has a route to every host. The agent does not
// answer while it publishes tables, so that one answer is enough.
func (g *great) whole(b *testing.B) time.Time {
	b.Helper()
	readStats(g.ctx, b, g.host)
	at := time.Now()
	rs, err := g.host.Routes(g.host.TAP)
	must(b, err)
	rs = slices.DeleteFunc(rs, func(r lab.Route) bool { return !r.Via.IsValid() })
	if len(rs) < g.crowd.hosts {
		b.Fatalf("the kernel has %d routes through the TAP, want %d", len(rs), g.crowd.hosts)
	}
	return at
}

// churn measures the agent while etcd changes: what it costs, when changes are in
// the data path, and how long frames take; the last also while etcd changes as
// often where no agent looks, which costs this machine the same.
func (g *great) churn(b *testing.B, rate int) {
	a := newAsker(g.ctx, b, g.host)
	f := newStamped(b, a, g.host, sinkMAC, g.sink)
	for range b.N {
		g.frames(b, f, g.other, rate, "noise-")
		end := g.crowd.churn(g.ctx, rate)
		g.frames(b, f, nil, 0, "")
		g.cost(b)
		g.visible(b, a)
		_, err := end()
		must(b, err)
		b.ReportMetric(0, "ns/op")
	}
}

// frames reports how long frames were on their way while a population, if it is
// not nil, changes so many times a second; the same without the time in which the
// machine kept the data path's thread from running, where the kernel can tell that.
func (g *great) frames(b *testing.B, f *stamped, p *population, rate int, name string) {
	if p != nil {
		end := p.churn(g.ctx, rate)
		defer func() {
			_, err := end()
			must(b, err)
		}()
	}
	var schedule *lab.Schedule
	trace, untold := lab.TraceSchedule(ofTheDataPath(b, g.host))
	ps, lost, err := f.passages(g.ctx, streamEvery, framesTime)
	if untold == nil {
		schedule, untold = trace.End()
	}
	must(b, err)
	took := make([]time.Duration, len(ps))
	for i, p := range ps {
		took[i] = p.took()
	}
	g.waits(b, took, name)
	b.ReportMetric(float64(lost), name+"lost")
	if untold != nil {
		b.Logf("not told what of it is the machine's: %v", untold)
		return
	}
	for i, p := range ps {
		took[i] = p.took() - schedule.Withheld(p.left, p.came)
	}
	g.waits(b, took, name+"own-")
}

// waits reports how long frames took, which it sorts.
func (g *great) waits(b *testing.B, took []time.Duration, name string) {
	b.ReportMetric(float64(stops(took, aStop))*float64(time.Minute)/float64(framesTime), name+"stops/min")
	slices.Sort(took)
	b.ReportMetric(micro(share(took, 0.5)), name+"p50-µs")
	b.ReportMetric(micro(share(took, 0.999)), name+"p999-µs")
	b.ReportMetric(micro(share(took, 1)), name+"max-µs")
}

// full measures how many frames the agent forwards when it gets more than it can take,
// while etcd changes; first while etcd changes as often where no agent looks.
func (g *great) full(b *testing.B, rate int) {
	f := newStamped(b, newAsker(g.ctx, b, g.host), g.host, sinkMAC, g.sink)
	for range b.N {
		g.flood(b, f, g.other, rate, "noise-")
		g.flood(b, f, g.crowd, rate, "")
		b.ReportMetric(0, "ns/op")
	}
}

func (g *great) flood(b *testing.B, f *stamped, p *population, rate int, name string) {
	end := p.churn(g.ctx, rate)
	forwarded := func() uint64 { return readStats(g.ctx, b, g.host).Verdicts["Forward"].Frames }
	frame := make(ether.Frame, ether.HeaderLen+64)
	ether.PutHeader(frame, f.to, askerMAC, ether.TypeIPv4)
	before, began := forwarded(), time.Now()
	for time.Since(began) < scaleTime {
		if err := f.wire.Send(frame); err != nil && !errors.Is(err, syscall.ENOBUFS) {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(forwarded()-before)/time.Since(began).Seconds()/1e3, name+"kframes/s")
	_, err := end()
	must(b, err)
}

func micro(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// cost reports what share of a processor the agent takes while nothing but the
// changes keeps it busy, and how many etcd takes.
func (g *great) cost(b *testing.B) {
	before, err := g.host.Agent.CPU()
	must(b, err)
	from, began := g.revision(b), time.Now()
	<-time.After(scaleTime)
	to, took := g.revision(b), time.Since(began)
	after, err := g.host.Agent.CPU()
	must(b, err)
	m, err := g.host.Agent.Memory()
	must(b, err)
	b.ReportMetric(float64(to-from)/took.Seconds(), "change/s")
	b.ReportMetric(100*(after-before).Seconds()/took.Seconds(), "cpu-%")
	b.ReportMetric(mib(m.Now), "MiB")
	b.ReportMetric(mib(m.Peak), "peak-MiB")
}

// revision is etcd's.
func (g *great) revision(b *testing.B) int64 {
	b.Helper()
	r, err := g.etcd.Get(g.ctx, prefix+"/config")
	must(b, err)
	return r.Header.Revision
}

// visible reports how long after etcd has answered a change is in the data path.
func (g *great) visible(b *testing.B, a *asker) {
	var took []time.Duration
	for end := time.Now().Add(scaleTime); time.Now().Before(end); {
		ip := g.ask(b)
		committed := time.Now()
		seen, err := a.wait(g.ctx, ip, askEvery)
		must(b, err)
		took = append(took, seen.Sub(committed))
	}
	slices.Sort(took)
	b.ReportMetric(micro(share(took, 0.5))/1e3, "visible-p50-ms")
	b.ReportMetric(micro(share(took, 0.99))/1e3, "visible-p99-ms")
	b.ReportMetric(micro(share(took, 1))/1e3, "visible-max-ms")
}
