package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// scale is the results of BenchmarkScale, BenchmarkFleet, BenchmarkScaleChange and
// BenchmarkScaleLookup: by name without GOMAXPROCS, then by unit, a value a round.
type scale struct {
	series map[string]map[string][]float64
	order  []string // names, as they were measured
	config map[string]string
}

// readScale takes their lines from what `go test -bench` has printed.
func readScale(r io.Reader, name string) (scale, error) {
	s := scale{map[string]map[string][]float64{}, nil, map[string]string{}}
	lines := benchfmt.NewReader(r, name)
	for lines.Scan() {
		switch rec := lines.Result().(type) {
		case *benchfmt.SyntaxError:
			return s, rec
		case *benchfmt.Result:
			s.take(rec)
		}
	}
	if len(s.series) == 0 {
		return s, errors.Join(lines.Err(), errors.New("no results of BenchmarkScale"))
	}
	return s, lines.Err()
}

func (s *scale) take(line *benchfmt.Result) {
	base, parts := line.Name.Parts()
	name := string(base)
	if !strings.HasPrefix(name, "Scale") && name != "Fleet" {
		return
	}
	for _, p := range parts {
		if strings.HasPrefix(string(p), "/") { // the rest is GOMAXPROCS
			name += string(p)
		}
	}
	units := s.series[name]
	if units == nil {
		units = map[string][]float64{}
		s.series[name] = units
		s.order = append(s.order, name)
	}
	for _, v := range line.Values {
		if v.OrigUnit != "" {
			v.Value, v.Unit = v.OrigValue, v.OrigUnit
		}
		units[v.Unit] = append(units[v.Unit], v.Value)
	}
	for _, c := range line.Config {
		s.config[c.Key] = string(c.Value)
	}
}

// of is the median of a series.
func (s scale) of(name, unit string) (median float64, measured bool) {
	v := newSpread(s.series[name][unit])
	return v.median, v.rounds > 0
}

// column is one unit of a table, in words.
type column struct{ unit, words string }

// scaleTable is one table: a line for each result whose name begins with a prefix
// and ends with one of some suffixes.
type scaleTable struct {
	title, prefix string
	suffixes      []string
	columns       []column
}

var scaleTables = []scaleTable{
	{"a start", "Scale/", []string{"/first", "/again"}, []column{
		{"loaded-s", "in the data path, s"}, {"whole-s", "and in the kernel, s"}, {"cpu-s", "processor time, s"},
		{"MiB", "resident, MiB"}, {"peak-MiB", "the most, MiB"}}},
	{"changes", "Scale/", []string{"/churn=0", "/churn=200", "/churn=1000"}, []column{
		{"change/s", "made a second"}, {"cpu-%", "% of a processor"}, {"MiB", "MiB"}, {"peak-MiB", "the most, MiB"},
		{"visible-p50-ms", "visible, median, ms"}, {"visible-p99-ms", "p99, ms"}, {"visible-max-ms", "the last, ms"}}},
	{"a frame's way, µs; in brackets beside changes that the agent does not follow", "Scale/", []string{"/churn=0", "/churn=200", "/churn=1000"}, []column{
		{"p50-µs", "median"}, {"noise-p50-µs", "(median)"}, {"p999-µs", "p99.9"}, {"noise-p999-µs", "(p99.9)"},
		{"max-µs", "the last"}, {"noise-max-µs", "(the last)"}, {"stops/min", "waits over 1 ms a minute"}, {"noise-stops/min", "(waits)"},
		{"own-stops/min", "without the machine's part"}, {"noise-own-stops/min", "(without)"}, {"own-max-µs", "the last, without"}, {"noise-own-max-µs", "(the last, without)"},
		{"lost", "lost"}, {"noise-lost", "(lost)"}}},
	{"frames at full rate", "Scale/", []string{"/full=0", "/full=200", "/full=1000"}, []column{
		{"kframes/s", "forwarded, 1,000 a second"}, {"noise-kframes/s", "(beside changes not followed)"}}},
	{"tables", "ScaleChange/", []string{""}, []column{{"ns/op", "a change, ns"}, {"B/op", "bytes allocated"}}},
	{"tables", "ScaleLookup/", []string{""}, []column{{"ns/op", "a lookup, ns"}}},
	{"etcd, an agent and second, nothing changes", "Fleet/", []string{""}, fleetColumns("idle-")},
	{"etcd, an agent's start", "Fleet/", []string{""}, fleetColumns("start-")},
	{"etcd, an agent and change", "Fleet/", []string{""}, fleetColumns("change-")},
}

func fleetColumns(what string) []column {
	return []column{{what + "requests", "messages in"}, {what + "answers", "messages out"}, {what + "B-in", "bytes in"},
		{what + "B-out", "bytes out"}, {what + "cpu-µs", "etcd's processor time, µs"}, {"watches", "watches held"}}
}

// page is all results in Markdown.
func (s scale) page() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s. Medians, where there was more than one round.\n", results{nil, s.config}.origin())
	for _, t := range scaleTables {
		s.table(&b, t)
	}
	s.extrapolate(&b)
	for _, c := range lineList {
		fmt.Fprintf(&b, "\n![%s](scale/%s.svg)\n", c.title, c.name)
	}
	b.WriteString("\n")
	return b.String()
}

func (s scale) table(b *strings.Builder, t scaleTable) {
	fmt.Fprintf(b, "\n| %s |", t.title)
	for _, c := range t.columns {
		fmt.Fprintf(b, " %s |", c.words)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(t.columns)))
	for _, name := range s.order {
		label, ok := t.takes(name)
		if !ok {
			continue
		}
		fmt.Fprintf(b, "| %s |", strings.ReplaceAll(label, "/", ", "))
		for _, c := range t.columns {
			fmt.Fprintf(b, " %s |", s.cell(name, c.unit))
		}
		b.WriteString("\n")
	}
}

// takes reports whether a result belongs into the table, and as what.
func (t scaleTable) takes(name string) (label string, ok bool) {
	label, ok = strings.CutPrefix(name, t.prefix)
	for _, suffix := range t.suffixes {
		if ok && strings.HasSuffix(label, suffix) {
			return label, true
		}
	}
	return label, false
}

func (s scale) cell(name, unit string) string {
	v, measured := s.of(name, unit)
	switch {
	case !measured:
		return "–"
	case v > 0 && v < 1:
		return fmt.Sprintf("%.2f", v)
	}
	return short(v)
}

// fleets are how many agents were measured on one etcd.
var fleets = []float64{1, 10, 50, 200}

// total is what all agents of a fleet cost together.
func (s scale) total(agents float64, unit string) (float64, bool) {
	v, ok := s.of(fmt.Sprintf("Fleet/agents=%.0f", agents), unit)
	return v * agents, ok
}

// line is the line through the totals by least squares: what etcd costs without
// agents, and what each adds.
func (s scale) line(unit string) (fixed, each float64) {
	var n, x, y, xx, xy float64
	for _, agents := range fleets {
		if t, ok := s.total(agents, unit); ok {
			n, x, y, xx, xy = n+1, x+agents, y+t, xx+agents*agents, xy+agents*t
		}
	}
	if n < 2 {
		return 0, 0
	}
	each = (n*xy - x*y) / (n*xx - x*x)
	return (y - each*x) / n, each
}

// extrapolate says what larger fleets cost, with the arithmetic.
func (s scale) extrapolate(b *strings.Builder) {
	_, idleCPU := s.line("idle-cpu-µs")
	_, idleOut := s.line("idle-B-out")
	_, idleIn := s.line("idle-requests")
	_, changeCPU := s.line("change-cpu-µs")
	_, changeOut := s.line("change-B-out")
	fmt.Fprintf(b, "\nWhat each agent adds, by least squares: idle %.2f messages in, %.0f bytes out and %.0f µs of etcd's time a second;\n", idleIn, idleOut, idleCPU)
	fmt.Fprintf(b, "%.0f bytes and %.1f µs for each change. So N agents at C changes a second cost N × (%.0f + C × %.1f) µs\n", changeOut, changeCPU, idleCPU, changeCPU)
	fmt.Fprintf(b, "of time and N × (%.0f + C × %.0f) bytes out, every second:\n\n", idleOut, changeOut)
	b.WriteString("| agents | changes a second | etcd's processors | Mbit/s out | messages in a second |\n|---|---|---|---|---|\n")
	for _, n := range []float64{200, 1_000, 5_000, 10_000} {
		for _, c := range []float64{0, 10, 200} {
			fmt.Fprintf(b, "| %.0f | %.0f | %.2f | %.1f | %.0f |\n", n, c, n*(idleCPU+c*changeCPU)/1e6, 8*n*(idleOut+c*changeOut)/1e6, n*idleIn)
		}
	}
}
