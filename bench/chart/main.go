// Command chart makes the results of BenchmarkLab readable: charts of uvtep's ratio
// to the kernel's vxlan device, as SVG, and tables, written into a page between two
// marks. It reads what `go test -bench` has printed.
//
//	chart -charts docs/performance -page docs/performance.md docs/performance/lab.txt
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
	flag.Parse()
	if flag.NArg() != 1 || *charts == "" || *page == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(flag.Arg(0), *charts, *page); err != nil {
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
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	fresh, err := insert(string(old), r.tables())
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(fresh), 0o644)
}
