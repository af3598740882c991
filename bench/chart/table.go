package main

import (
	"errors"
	"fmt"
	"strings"
)

// The marks between which the results stand in the page.
const (
	beginMark = "<!-- results: written by `make bench-charts`, not by hand -->\n"
	endMark   = "<!-- end of results -->\n"
)

// insert replaces what stands between the marks.
func insert(page, results string) (string, error) {
	before, rest, found := strings.Cut(page, beginMark)
	_, after, closed := strings.Cut(rest, endMark)
	if !found || !closed {
		return "", errors.New("the marks of the results are missing")
	}
	return before + beginMark + results + endMark + after, nil
}

// tables are all results in Markdown.
func (r results) tables() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s. Each cell: uvtep's ratio to the kernel, median (lowest–highest) of the rounds;\n", r.origin())
	b.WriteString("then the medians, uvtep / kernel.\n")
	for _, path := range paths {
		r.table(&b, path)
	}
	r.memory(&b)
	for _, c := range chartList {
		fmt.Fprintf(&b, "\n![%s](performance/%s.svg)\n", c.title, c.name)
	}
	b.WriteString("\n")
	return b.String()
}

// origin says where the figures come from.
func (r results) origin() string {
	var told []string
	for _, k := range []struct{ key, words string }{{"cpu", ""}, {"kernel", "kernel "}, {"go", ""}, {"commit", "commit "}} {
		if v := r.config[k.key]; v != "" {
			told = append(told, k.words+v)
		}
	}
	rounds := 0
	for _, values := range r.series {
		rounds = max(rounds, len(values))
	}
	return fmt.Sprintf("%s; rounds: %d", strings.Join(told, ", "), rounds)
}

// table is all rows of one path.
func (r results) table(b *strings.Builder, path string) {
	fmt.Fprintf(b, "\n| between %s |", path)
	for _, c := range conditions {
		fmt.Fprintf(b, " `%s` |", c)
	}
	fmt.Fprintf(b, "\n|---|%s\n", strings.Repeat("---|", len(conditions)))
	for _, w := range rows {
		fmt.Fprintf(b, "| %s |", w.words)
		for _, c := range conditions {
			fmt.Fprintf(b, " %s |", r.cell(c, path, w))
		}
		b.WriteString("\n")
	}
}

func (r results) cell(condition, path string, w row) string {
	ratio := r.of("ratio", condition, path, w)
	if ratio.rounds == 0 {
		return "–"
	}
	return fmt.Sprintf("**%.2f** (%.2f–%.2f) %s / %s", ratio.median, ratio.min, ratio.max,
		short(r.of("uvtep", condition, path, w).median), short(r.of("kernel", condition, path, w).median))
}

// short is a figure with two digits or more.
func short(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// memory is what agents take; there is nothing of the kernel's to compare with.
func (r results) memory(b *strings.Builder) {
	fmt.Fprintf(b, "\n| memory of an agent, resident, MiB |%s\n|---|%s\n",
		" `"+strings.Join(conditions, "` | `")+"` |", strings.Repeat("---|", len(conditions)))
	for _, w := range []struct{ unit, words string }{
		{"idle-MiB", "idle, before any traffic"},
		{"peak-MiB", "the most, after all of the above"},
		{"with-etcd-idle-MiB", "idle, with `--embedded-etcd`"},
		{"with-etcd-peak-MiB", "the most, with `--embedded-etcd`"},
	} {
		fmt.Fprintf(b, "| %s |", w.words)
		for _, c := range conditions {
			fmt.Fprintf(b, " %s |", r.taken(c, w.unit))
		}
		b.WriteString("\n")
	}
}

func (r results) taken(condition, unit string) string {
	s := newSpread(r.series[key{condition, "", "memory", unit}])
	if s.rounds == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", s.median)
}
