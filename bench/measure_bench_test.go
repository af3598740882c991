package bench

import (
	"context"
	"testing"
	"time"

	"github.com/uvtep/uvtep/bench/lab"
)

// load is where traffic comes from and where it goes, the first of them for
// measures between two.
type load struct {
	from *lab.Node
	to   []lab.Target
}

// flow is what is sent: for labTime, in small datagrams where it is datagrams.
func (d load) flow() lab.Flow {
	return lab.Flow{For: labTime, At: d.to[0].At, Size: 64, NoHash: true}
}

// measure is one line of the results.
type measure struct {
	name string
	take func(load, *testing.B) figures
}

var measures = []measure{
	{"tcp1", func(d load, b *testing.B) figures { return d.tcp(b, 1) }},
	{"tcp4", func(d load, b *testing.B) figures { return d.tcp(b, 4) }},
	{"udp64", load.udp},
	{"udp64x64to1", func(d load, b *testing.B) figures { return d.spray(b, 1) }},
	{"udp64x64to8", func(d load, b *testing.B) figures { return d.spray(b, 8) }},
	{"rtt", load.rtt},
	{"rttload", load.rttLoaded},
}

// within is a context for one measurement; its end is a failure.
func within(b *testing.B) context.Context {
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	b.Cleanup(cancel)
	return ctx
}

// tcp is the payload's rate, and what the whole machine works for it.
func (d load) tcp(b *testing.B, streams int) figures {
	f := d.flow()
	f.Streams = streams
	before, err := lab.Busy()
	must(b, err)
	got, err := d.from.TCP(within(b), d.to[0].Node, f)
	must(b, err)
	after, err := lab.Busy()
	must(b, err)
	gigabytes := float64(got.Bytes) / 1e9
	return figures{{"Gbit/s", got.BitsPerSecond() / 1e9}, {"cpu-s/GB", (after - before).Seconds() / gigabytes}}
}

// udp is how many datagrams of one flow arrive while as many as possible are sent.
func (d load) udp(b *testing.B) figures {
	got, err := d.from.UDP(within(b), d.to[0].Node, d.flow())
	must(b, err)
	return delivered(got)
}

// spray is the same with 64 flows that take turns, to so many VTEPs.
func (d load) spray(b *testing.B, vteps int) figures {
	f := d.flow()
	f.Streams = 64
	got, err := d.from.Spray(within(b), d.to[:vteps], f)
	must(b, err)
	return delivered(got)
}

func delivered(t lab.Transfer) figures {
	return figures{{"kframes/s", float64(t.Received) / t.Took.Seconds() / 1e3}}
}

// rtt is the round trip of small datagrams, one at a time.
func (d load) rtt(b *testing.B) figures {
	got, err := d.from.RTT(within(b), d.to[0].Node, d.flow())
	must(b, err)
	if got.Len() == 0 {
		b.Fatalf("no round trip out of %d", got.Lost)
	}
	micro := func(p float64) float64 { return float64(got.Percentile(p)) / float64(time.Microsecond) }
	return figures{{"p50-µs", micro(50)}, {"p99-µs", micro(99)}}
}

// rttLoaded is the same while one TCP stream saturates the way. The stream begins
// earlier, and what RTT sees first does not count.
func (d load) rttLoaded(b *testing.B) figures {
	f := d.flow()
	f.For += labTime / 10
	loaded := make(chan error, 1)
	go func() {
		_, err := d.from.TCP(within(b), d.to[0].Node, f)
		loaded <- err
	}()
	got := d.rtt(b)
	must(b, <-loaded)
	return got
}
