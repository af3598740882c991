// Package metrics makes Prometheus metrics of what a running agent tells.
//
// Nothing is counted here: a Snapshot is read when somebody asks, from the same
// functions that `uvtep stats` reads, and turned into metrics. The exception is
// how long changes take to come into force, which only a histogram can tell.
//
// All names begin with uvtep_, beside those of the Go runtime and the process.
// What belongs to a network carries its vni. The number of series is bounded: by
// the verdicts, by the features, and by 250 VTEPs a network, those heard of first;
// the others add up under vtep="other". docs/metrics.md lists all, and a test
// compares.
package metrics
