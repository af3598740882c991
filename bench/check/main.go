// Command check reads what `benchstat -format csv` says of a baseline and a new
// run, and fails when a stage of the data path became slower than it may, is gone,
// or allocates. What is slower by chance alone is benchstat's to judge.
//
//	benchstat -format csv old.txt new.txt | check -slower 20
package main

import (
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

func main() {
	slower := flag.Float64("slower", 20, "how much slower than the baseline a stage may be, per cent")
	flag.Parse()
	broken, stages, err := judge(os.Stdin, *slower)
	if err == nil && stages == 0 {
		err = errors.New("no stage is in both the baseline and the new run")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1)
	}
	for _, b := range broken {
		fmt.Println("BROKEN:", b)
	}
	if len(broken) > 0 {
		os.Exit(1)
	}
	fmt.Printf("%d stages: none slower by %v %% or more, none allocates\n", stages, *slower)
}

// row is one line of a benchstat table that compares two runs.
type row struct {
	pkg, unit, name string
	old, fresh      string // the medians; empty where a run has none
	change          string // "+12.34%", or "~" for a difference that may be chance
}

// judge lists the broken promises and counts the stages that it compared.
func judge(r io.Reader, slower float64) (broken []string, stages int, err error) {
	rows, err := read(r)
	if err != nil {
		return nil, 0, err
	}
	for _, row := range rows {
		trouble, err := row.trouble(slower)
		if err != nil {
			return nil, 0, fmt.Errorf("%s: %s: %w", row.name, row.unit, err)
		}
		if trouble != "" {
			broken = append(broken, fmt.Sprintf("%s %s: %s", row.pkg, row.name, trouble))
		}
		if row.unit == "sec/op" && row.old != "" && row.fresh != "" {
			stages++
		}
	}
	return broken, stages, nil
}

// read takes the tables apart. Each begins with a line that names the package,
// where that is another, one with the names of the files, and one with the unit.
func read(r io.Reader) (rows []row, err error) {
	lines := csv.NewReader(r)
	lines.FieldsPerRecord = -1
	var pkg, unit string
	for {
		f, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		if name, ok := strings.CutPrefix(f[0], "pkg: "); ok {
			pkg = name
			continue
		}
		f = append(f, make([]string, 7)...) // missing columns are left out
		switch f[0] {
		case "":
			unit = f[1]
		case "geomean":
		default:
			rows = append(rows, row{pkg: pkg, unit: unit, name: f[0], old: f[1], fresh: f[3], change: f[5]})
		}
	}
}

// trouble says what promise the row breaks, if any.
func (r row) trouble(slower float64) (string, error) {
	switch {
	case r.unit == "sec/op" && r.fresh == "":
		return "is in the baseline and was not measured", nil
	case r.unit == "allocs/op" && r.fresh != "":
		return allocates(r.fresh)
	case r.unit == "sec/op" && strings.HasSuffix(r.change, "%"):
		return tooSlow(r.change, slower)
	}
	return "", nil
}

func allocates(median string) (string, error) {
	n, err := strconv.ParseFloat(median, 64)
	if err != nil || n == 0 {
		return "", err
	}
	return fmt.Sprintf("allocates %v times an op", n), nil
}

func tooSlow(change string, slower float64) (string, error) {
	percent, err := strconv.ParseFloat(strings.TrimSuffix(change, "%"), 64)
	if err != nil || percent < slower {
		return "", err
	}
	return fmt.Sprintf("%s in time an op, %v %% is the limit", change, slower), nil
}
