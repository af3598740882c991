package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/uvtep/uvtep/internal/ledger"
)

// namespace begins the names of all metrics that are uvtep's own.
const namespace = "uvtep"

// metric is one metric that is made of a Snapshot.
type metric struct {
	name string
	kind prometheus.ValueType // of what is no histogram
	desc *prometheus.Desc
	tell func(*Snapshot, tell)
}

// tell gives the metric a value. Histograms are told by distribution.
type tell struct {
	m   *metric
	out chan<- prometheus.Metric
}

func (t tell) value(v float64, labels ...string) {
	t.out <- prometheus.MustNewConstMetric(t.m.desc, t.m.kind, v, labels...)
}

func (t tell) count(n uint64, labels ...string) { t.value(float64(n), labels...) }
func (t tell) size(n int, labels ...string)     { t.value(float64(n), labels...) }

func (t tell) flag(on bool, labels ...string) {
	if on {
		t.value(1, labels...)
		return
	}
	t.value(0, labels...)
}

// distribution tells a histogram in powers of two.
func (t tell) distribution(h ledger.Histogram, labels ...string) {
	buckets := make(map[float64]uint64, ledger.Classes-1)
	below := uint64(0)
	for i, n := range h.Classes[:ledger.Classes-1] { // the last one is what is above all
		below += n
		buckets[float64(uint64(1)<<i)] = below
	}
	t.out <- prometheus.MustNewConstHistogram(t.m.desc, h.Count(), float64(h.Sum), buckets, labels...)
}

func newMetric(kind prometheus.ValueType, name, help string, labels []string, f func(*Snapshot, tell)) metric {
	name = namespace + "_" + name
	return metric{name: name, kind: kind, desc: prometheus.NewDesc(name, help, labels, nil), tell: f}
}

func counter(name, help string, labels []string, f func(*Snapshot, tell)) metric {
	return newMetric(prometheus.CounterValue, name, help, labels, f)
}

func gauge(name, help string, labels []string, f func(*Snapshot, tell)) metric {
	return newMetric(prometheus.GaugeValue, name, help, labels, f)
}

func histogram(name, help string, labels []string, f func(*Snapshot, tell)) metric {
	return newMetric(prometheus.UntypedValue, name, help, labels, f)
}

// nobody is the vni label of what belongs to no network.
const nobody = "none"

// perNetworkAnd is perNetwork and f of what belongs to no network.
func perNetworkAnd(f func(*Network, string, tell)) func(*Snapshot, tell) {
	return func(s *Snapshot, t tell) {
		perNetwork(f)(s, t)
		if len(s.Networks) > 0 {
			f(&Network{Stats: s.Shared}, nobody, t)
		}
	}
}

// perNetwork has f tell of every network; the first label is its VNI.
func perNetwork(f func(*Network, string, tell)) func(*Snapshot, tell) {
	return func(s *Snapshot, t tell) {
		for i := range s.Networks {
			f(&s.Networks[i], s.Networks[i].VNI.String(), t)
		}
	}
}
