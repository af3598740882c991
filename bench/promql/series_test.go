package promql

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

// scraped are the labels that Prometheus puts on whatever it scrapes.
var scraped = []string{"instance", "job"}

// documented are the labels of each metric of docs/metrics.md, which a test of
// package metrics compares with what is served.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string][]string{"process_cpu_seconds_total": scraped, "process_resident_memory_bytes": scraped}
	for _, row := range regexp.MustCompile("(?m)^\\| `(uvtep_\\w+)` \\| (\\w+) \\| ([^|]*)\\|").FindAllStringSubmatch(string(b), -1) {
		name, all := row[1], slices.Concat(scraped, strings.FieldsFunc(row[3], func(r rune) bool { return r == ',' || r == ' ' }))
		if row[2] == "histogram" {
			docs[name+"_sum"], docs[name+"_count"], docs[name+"_bucket"] = all, all, append(all, "le")
			continue
		}
		docs[name] = all
	}
	return docs
}

// selectors are those of an expression.
func selectors(expr parser.Expr) (all []*parser.VectorSelector) {
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok {
			all = append(all, s)
		}
		return nil
	})
	return all
}

// madeUp is a series for each selector of an expression, with all labels of its
// metric, that it selects.
func madeUp(t *testing.T, expr parser.Expr, docs map[string][]string) (series []string) {
	t.Helper()
	for _, s := range selectors(expr) {
		if docs[s.Name] == nil {
			t.Errorf("%s: there is no metric %s", expr, s.Name)
			continue
		}
		var set []string
		for _, name := range docs[s.Name] {
			set = append(set, fmt.Sprintf("%s=%q", name, value(name, s.LabelMatchers)))
		}
		for _, m := range s.LabelMatchers {
			if m.Name != model.MetricNameLabel && !slices.Contains(docs[s.Name], m.Name) {
				t.Errorf("%s: %s has no label %s", expr, s.Name, m.Name)
			}
		}
		series = append(series, fmt.Sprintf("%s{%s}", s.Name, strings.Join(set, ",")))
	}
	slices.Sort(series)
	return slices.Compact(series)
}

// value is one of a label that passes a selector's matchers: the first of those
// that they name.
func value(label string, matchers []*labels.Matcher) string {
	for _, m := range matchers {
		if first, _, _ := strings.Cut(m.Value, "|"); m.Name == label && first != ".*" {
			return first
		}
	}
	if label == "le" {
		return "+Inf"
	}
	return "some"
}

// grouped checks that whatever an expression is grouped or matched by is a label
// of the metrics there.
func grouped(t *testing.T, where string, expr parser.Expr, docs map[string][]string) {
	t.Helper()
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		switch n := n.(type) {
		case *parser.AggregateExpr:
			have(t, where, n.Expr, n.Grouping, docs)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				have(t, where, n, n.VectorMatching.MatchingLabels, docs)
			}
		}
		return nil
	})
}

// have checks that the metrics of an expression have labels.
func have(t *testing.T, where string, expr parser.Expr, names []string, docs map[string][]string) {
	t.Helper()
	for _, s := range selectors(expr) {
		for _, name := range names {
			if !slices.Contains(docs[s.Name], name) {
				t.Errorf("%s: %s is grouped or matched by %s, which it has not", where, s.Name, name)
			}
		}
	}
}

// evaluate returns what an expression is after an hour of series that grow, or if
// that is nothing, of series that are zero.
func evaluate(t *testing.T, expr string, series []string) (v promql.Vector) {
	t.Helper()
	for _, values := range []string{"1+1x240", "0x240"} {
		load := "load 15s\n"
		for _, s := range series {
			load += "  " + s + " " + values + "\n"
		}
		if v = ask(t, expr, load, time.Unix(3600, 0))[0]; len(v) > 0 {
			return v
		}
	}
	return nil
}

// ask returns what an expression is at each of these times.
func ask(t *testing.T, expr, load string, at ...time.Time) (all []promql.Vector) {
	t.Helper()
	s := promqltest.LoadedStorage(t, load)
	defer s.Close()
	engine := promqltest.NewTestEngine(t, false, 0, 1e6)
	for _, when := range at {
		q, err := engine.NewInstantQuery(t.Context(), s, nil, expr, when)
		if err != nil {
			t.Fatal(err)
		}
		v, err := q.Exec(t.Context()).Vector()
		if err != nil {
			t.Fatalf("%s: %v", expr, err)
		}
		all = append(all, slices.Clone(v))
		q.Close()
	}
	return all
}

// legend checks that a series has the labels that a legend names.
func legend(t *testing.T, where, text string, series labels.Labels) {
	t.Helper()
	for _, name := range regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`).FindAllStringSubmatch(text, -1) {
		if series.Get(name[1]) == "" {
			t.Errorf("%s: the legend %q names %s, which %v has not", where, text, name[1], series)
		}
	}
}
