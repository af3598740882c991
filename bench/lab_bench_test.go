package bench

import (
	"context"
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
)

// labTime is how long one measurement through the lab lasts.
const labTime = 3 * time.Second

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

// BenchmarkLab is the throughput between two hosts through the lab, uvtep beside
// the kernel's vxlan device in the same run. Both hosts, the load and the agents
// share this machine's processors, so the ratio means more than the figures.
func BenchmarkLab(b *testing.B) {
	for _, path := range []string{"containers", "hosts"} {
		var reference float64
		for _, o := range overlays {
			b.Run(path+"/tcp/"+o.name, func(b *testing.B) {
				rate := measure(b, o, path, func(ctx context.Context, from, to *lab.Node, f lab.Flow) (float64, error) {
					f.NoHash = true
					r, err := from.TCP(ctx, to, f)
					return r.BitsPerSecond() / 1e9, err
				})
				report(b, rate, "Gbit/s", o, &reference)
			})
		}
		for _, o := range overlays {
			b.Run(path+"/udp64/"+o.name, func(b *testing.B) {
				rate := measure(b, o, path, func(ctx context.Context, from, to *lab.Node, f lab.Flow) (float64, error) {
					f.Size = 64
					r, err := from.UDP(ctx, to, f)
					return float64(r.Received) / r.Took.Seconds() / 1e3, err
				})
				report(b, rate, "kframes/s", o, &reference)
			})
		}
	}
}

// report reports a rate, and for uvtep the ratio to the kernel's, which came first.
func report(b *testing.B, rate float64, unit string, o overlay, reference *float64) {
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rate, unit)
	if o.name == "kernel" {
		*reference = rate
	} else if *reference > 0 {
		b.ReportMetric(rate/(*reference), "×kernel")
	}
}

// measure builds a lab of two hosts and returns the mean of b.N measurements.
func measure(b *testing.B, o overlay, path string, one func(context.Context, *lab.Node, *lab.Node, lab.Flow) (float64, error)) float64 {
	l, ctx := newLab(b, lab.Config{Hosts: 2})
	must(b, o.up(ctx, l), l.AddContainers(ctx, 1))
	from, to := l.Hosts[0].Containers[0].Node, l.Hosts[1].Containers[0].Node
	f := lab.Flow{For: labTime}
	if path == "hosts" {
		from, to = l.Hosts[0].Node, l.Hosts[1].Node
		f.At = l.Hosts[1].Subnet.Masked().Addr() // the address on the TAP, or on the vxlan device
	}
	must(b, l.Hosts[0].Containers[0].Reach(ctx, l.Hosts[1].Containers[0].Addr))
	b.ResetTimer()
	sum := 0.0
	for range b.N {
		rate, err := one(ctx, from, to, f)
		must(b, err)
		sum += rate
	}
	return sum / float64(b.N)
}
