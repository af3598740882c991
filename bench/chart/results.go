package main

import (
	"errors"
	"io"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// row is one line of the results: a measure and one of its units, in words.
type row struct {
	measure, unit string
	words         string // for a table
	label         string // for an axis
	less          bool   // less is better
}

var rows = []row{
	{"tcp1", "Gbit/s", "TCP, one stream, Gbit/s", "TCP\n1 stream", false},
	{"tcp4", "Gbit/s", "TCP, four streams, Gbit/s", "TCP\n4 streams", false},
	{"udp64", "kframes/s", "64-byte datagrams delivered, one flow, k/s", "64 bytes\n1 flow", false},
	{"udp64x64to1", "kframes/s", "64-byte datagrams delivered, 64 flows to one VTEP, k/s", "64 bytes\n64 flows, 1 VTEP", false},
	{"udp64x64to8", "kframes/s", "64-byte datagrams delivered, 64 flows to eight VTEPs, k/s", "64 bytes\n64 flows, 8 VTEPs", false},
	{"rtt", "p50-µs", "round trip, median, µs", "idle\nmedian", true},
	{"rtt", "p99-µs", "round trip, p99, µs", "idle\np99", true},
	{"rttload", "p50-µs", "round trip beside a TCP stream, median, µs", "beside TCP\nmedian", true},
	{"rttload", "p99-µs", "round trip beside a TCP stream, p99, µs", "beside TCP\np99", true},
	{"tcp1", "cpu-s/GB", "processor time of everything, one TCP stream, s a GB", "TCP\n1 stream", true},
	{"tcp4", "cpu-s/GB", "processor time of everything, four TCP streams, s a GB", "TCP\n4 streams", true},
}

// The conditions and paths of BenchmarkLab, in the order in which they are shown.
var (
	conditions = []string{"wire-gro", "wire", "veth-gso"}
	paths      = []string{"containers", "hosts"}
)

// key names a series of values, one a round.
type key struct {
	condition, path, measure string // path is empty where there is none
	unit                     string // with what it is of: "kernel-Gbit/s", "ratio-Gbit/s"
}

// results are all series of a file, and what the file says of itself.
type results struct {
	series map[key][]float64
	config map[string]string // "cpu", "kernel", "commit", …
}

// read takes the lines of BenchmarkLab from what `go test -bench` has printed.
func read(r io.Reader, name string) (results, error) {
	res := results{map[key][]float64{}, map[string]string{}}
	lines := benchfmt.NewReader(r, name)
	for lines.Scan() {
		switch rec := lines.Result().(type) {
		case *benchfmt.SyntaxError:
			return res, rec
		case *benchfmt.Result:
			res.take(rec)
		}
	}
	if len(res.series) == 0 {
		return res, errors.Join(lines.Err(), errors.New("no results of BenchmarkLab"))
	}
	return res, lines.Err()
}

// take takes one line in, if it is of the lab.
func (r results) take(line *benchfmt.Result) {
	base, parts := line.Name.Parts()
	if string(base) != "Lab" {
		return
	}
	var names []string
	for _, p := range parts {
		if name, ok := strings.CutPrefix(string(p), "/"); ok { // the rest is GOMAXPROCS
			names = append(names, name)
		}
	}
	if len(names) == 2 {
		names = slices.Insert(names, 1, "")
	}
	if len(names) != 3 {
		return
	}
	for _, v := range line.Values {
		k := key{names[0], names[1], names[2], v.Unit}
		r.series[k] = append(r.series[k], v.Value)
	}
	for _, c := range line.Config {
		r.config[c.Key] = string(c.Value)
	}
}

// spread is what a series comes down to.
type spread struct {
	median, min, max float64
	rounds           int // 0: nothing was measured
}

// of is the spread of a row in one condition and path; what is "kernel", "uvtep" or
// "ratio".
func (r results) of(what, condition, path string, w row) spread {
	return newSpread(r.series[key{condition, path, w.measure, what + "-" + w.unit}])
}

func newSpread(values []float64) spread {
	n := len(values)
	if n == 0 {
		return spread{}
	}
	s := slices.Sorted(slices.Values(values))
	return spread{(s[(n-1)/2] + s[n/2]) / 2, s[0], s[n-1], n}
}
