package bench

import (
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
)

const (
	// labTime is how long one measurement of one overlay lasts.
	labTime = 1500 * time.Millisecond
	// labHosts are one that sends and eight that receive.
	labHosts = 9
	// labThreads lets every goroutine of the load run as soon as the kernel lets its
	// thread run, as in programs of their own: Go's scheduler shall have no part in
	// the figures.
	labThreads = 16
)

// overlay is one of the two things that are compared.
type overlay struct {
	name string
	up   func(context.Context, *lab.Lab) error
}

var overlays = []overlay{
	{"kernel", func(_ context.Context, l *lab.Lab) error {
		_, err := l.KernelMesh(lab.KernelConfig{UDPCSum: true})
		return err
	}},
	{"uvtep", func(ctx context.Context, l *lab.Lab) error { return l.StartAgents(ctx) }},
}

// path is where the traffic begins and ends.
type path struct {
	name string
	ends func(h *lab.Host) lab.Target
}

var paths = []path{
	{"containers", func(h *lab.Host) lab.Target { return lab.Target{Node: h.Containers[0].Node} }},
	// The address on the TAP, or on the vxlan device: answers leave from there.
	{"hosts", func(h *lab.Host) lab.Target { return lab.Target{Node: h.Node, At: h.Subnet.Masked().Addr()} }},
}

// BenchmarkLab is uvtep beside the kernel's vxlan device, through namespaces: by
// condition of the underlay, by path, by measure. Every line is one round: both
// overlays one right after the other, in labs wired alike, and the ratio of uvtep
// to the kernel. They take turns in going first. Hosts, load and agents share this
// machine's processors, so the ratios mean more than the figures.
func BenchmarkLab(b *testing.B) {
	for _, c := range []lab.Condition{lab.WireGRO, lab.PlainWire, lab.VethGSO} {
		b.Run(string(c), func(b *testing.B) {
			labs := rivals(b, c)
			idle := memory(b, labs)
			for _, p := range paths {
				b.Run(p.name, func(b *testing.B) { compare(b, labs, p) })
			}
			b.Run("memory", func(b *testing.B) { reportMemory(b, idle, memory(b, labs)) })
		})
	}
}

// rivals makes a lab for each overlay. All hosts of both can reach each other.
func rivals(b *testing.B, c lab.Condition) (labs []*lab.Lab) {
	for _, o := range overlays {
		l, ctx := newLab(b, lab.Config{Hosts: labHosts, Underlay: c})
		must(b, o.up(ctx, l), l.AddContainers(ctx, 1))
		for _, h := range l.Hosts[1:] {
			for _, p := range paths {
				from, to := p.ends(l.Hosts[0]), p.ends(h)
				if !to.At.IsValid() {
					to.At = to.Node.Addr
				}
				must(b, from.Node.Reach(ctx, to.At))
			}
		}
		labs = append(labs, l)
	}
	return labs
}

// compare takes all measures on one path.
func compare(b *testing.B, labs []*lab.Lab, p path) {
	for _, m := range measures {
		turn := 0
		b.Run(m.name, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(labThreads))
			var got [2]figures
			for range b.N {
				for i := range labs {
					i = (i + turn) % len(labs)
					got[i] = append(got[i], m.take(p.load(labs[i]), b)...)
				}
				turn++
			}
			report(b, got[0].mean(), got[1].mean())
		})
	}
}

// load is the traffic from the first host to all others.
func (p path) load(l *lab.Lab) load {
	d := load{from: p.ends(l.Hosts[0]).Node}
	for _, h := range l.Hosts[1:] {
		d.to = append(d.to, p.ends(h))
	}
	return d
}

// figure is what a measurement gave.
type figure struct {
	unit  string
	value float64
}

type figures []figure

// mean joins the figures of the same unit.
func (f figures) mean() (means figures) {
	count := map[string]float64{}
	for _, one := range f {
		count[one.unit]++
		i := slices.IndexFunc(means, func(m figure) bool { return m.unit == one.unit })
		if i < 0 {
			means = append(means, one)
			continue
		}
		means[i].value += (one.value - means[i].value) / count[one.unit]
	}
	return means
}

// report reports what both overlays gave, and uvtep's ratio to the kernel.
func report(b *testing.B, kernel, uvtep figures) {
	b.ReportMetric(0, "ns/op")
	for i, k := range kernel {
		b.ReportMetric(k.value, "kernel-"+k.unit)
		b.ReportMetric(uvtep[i].value, "uvtep-"+k.unit)
		if k.value > 0 {
			b.ReportMetric(uvtep[i].value/k.value, "ratio-"+k.unit)
		}
	}
}

// memory is what two agents have in RAM: the first runs the etcd too.
func memory(b *testing.B, labs []*lab.Lab) (all [2]lab.Memory) {
	for i := range all {
		var err error
		all[i], err = labs[1].Hosts[i].Agent.Memory()
		must(b, err)
	}
	return all
}

// reportMemory reports it in MiB: before any load, and the most that it ever was.
func reportMemory(b *testing.B, idle, loaded [2]lab.Memory) {
	b.ReportMetric(0, "ns/op")
	for i, who := range []string{"with-etcd-", ""} {
		b.ReportMetric(float64(idle[i].Now)/(1<<20), who+"idle-MiB")
		b.ReportMetric(float64(loaded[i].Peak)/(1<<20), who+"peak-MiB")
	}
}
