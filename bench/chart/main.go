// Command chart makes the results of BenchmarkLab readable: charts of uvtep's ratio
// to the kernel's vxlan device, as SVG, and tables, written into a page between two
// marks. It reads what `go test -bench` has printed.
//
//	chart -charts docs/performance -page docs/performance.md docs/performance/lab.txt
//
// With -scale it does so with the results of BenchmarkScale and BenchmarkFleet:
// how figures grow with the endpoints of a network, and with the agents.
//
//	chart -scale -charts docs/scale -page docs/scale.md docs/scale/scale.txt
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	charts := flag.String("charts", "", "folder that the charts are written to")
	page := flag.String("page", "", "Markdown page whose results are replaced")
	large := flag.Bool("scale", false, "the results are of BenchmarkScale and BenchmarkFleet")
	flag.Parse()
	if flag.NArg() != 1 || *charts == "" || *page == "" {
		flag.Usage()
		os.Exit(2)
	}
	work := run
	if *large {
		work = runScale
	}
	if err := work(flag.Arg(0), *charts, *page); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

// run makes charts and tables of a file of results.
func run(file, charts, page string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := read(f, file)
	if err != nil {
		return err
	}
	for _, c := range chartList {
		if err := c.write(r, filepath.Join(charts, c.name+".svg")); err != nil {
			return fmt.Errorf("chart %q: %w", c.name, err)
		}
	}
	return replace(page, r.tables())
}

// runScale makes charts and tables of how figures grow.
func runScale(file, charts, page string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	s, err := readScale(f, file)
	if err != nil {
		return err
	}
	for _, l := range lineList {
		if err := l.write(s, filepath.Join(charts, l.name+".svg")); err != nil {
			return fmt.Errorf("chart %q: %w", l.name, err)
		}
	}
	return replace(page, s.page())
}

// replace puts results into a page.
func replace(page, results string) error {
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	fresh, err := insert(string(old), results)
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(fresh), 0o644)
}
