package metrics

import (
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config says where metrics come from.
type Config struct {
	Version, Commit string
	// Read returns what the agent tells now. It is called once a scrape, by the
	// goroutine of the request, and must be safe for several.
	Read func() Snapshot
}

// Set is all metrics of an agent, in a registry of their own.
type Set struct {
	registry *prometheus.Registry
	changes  prometheus.Histogram
	snapshot *collector
}

// New makes the metrics.
func New(c Config) *Set {
	s := &Set{
		registry: prometheus.NewRegistry(),
		changes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: changeSeconds,
			Help:    "Time from the arrival of a change of etcd's to the tables with it in force in the switch and the kernel.",
			Buckets: []float64{.0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
		}),
		snapshot: &collector{read: c.Read, all: catalogue(time.Now)},
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: buildInfo, Help: "1, labelled with what this program was built of.",
		ConstLabels: prometheus.Labels{"version": c.Version, "commit": c.Commit, "goversion": runtime.Version()},
	})
	build.Set(1)
	s.registry.MustRegister(build, s.changes, s.snapshot, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return s
}

const (
	changeSeconds = "etcd_change_seconds"
	buildInfo     = "build_info"
)

// Changed counts a change of the tables that took so long to come into force.
func (s *Set) Changed(took time.Duration) { s.changes.Observe(took.Seconds()) }

// Handler serves the metrics in the formats that Prometheus asks for.
func (s *Set) Handler() http.Handler {
	return promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second})
}

// Names returns the names of all metrics that are uvtep's own.
func (s *Set) Names() []string {
	names := []string{namespace + "_" + buildInfo, namespace + "_" + changeSeconds}
	for i := range s.snapshot.all {
		names = append(names, s.snapshot.all[i].name)
	}
	return names
}

// collector makes metrics of one Snapshot a scrape.
type collector struct {
	read func() Snapshot
	all  []metric
}

func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for i := range c.all {
		out <- c.all[i].desc
	}
}

func (c *collector) Collect(out chan<- prometheus.Metric) {
	s := c.read()
	for i := range c.all {
		m := &c.all[i]
		m.tell(&s, tell{m, out})
	}
}
