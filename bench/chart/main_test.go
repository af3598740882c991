package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// printed is what `go test -bench` prints, shortened.
const printed = `kernel: 6.18.5
goos: linux
pkg: github.com/uvtep/uvtep/bench
cpu: AMD EPYC
BenchmarkOut/udp64-2 	 100	 100 ns/op	 0 allocs/op
BenchmarkLab/wire-gro/containers/tcp1-2 	 1	 5.0 kernel-Gbit/s	 4.0 uvtep-Gbit/s	 0.80 ratio-Gbit/s	 2.0 ratio-cpu-s/GB
BenchmarkLab/wire-gro/containers/tcp1-2 	 1	 6.0 kernel-Gbit/s	 5.4 uvtep-Gbit/s	 0.90 ratio-Gbit/s	 1.0 ratio-cpu-s/GB
BenchmarkLab/wire-gro/containers/tcp1-2 	 1	 5.5 kernel-Gbit/s	 6.6 uvtep-Gbit/s	 1.20 ratio-Gbit/s	 1.5 ratio-cpu-s/GB
BenchmarkLab/wire/hosts/rtt-2 	 1	 30 kernel-p50-µs	 210 uvtep-p50-µs	 7 ratio-p50-µs
BenchmarkLab/wire/memory-2 	 1	 29.5 idle-MiB	 36.6 peak-MiB
PASS
`

func results0(t *testing.T) results {
	t.Helper()
	r, err := read(strings.NewReader(printed), "printed")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestResultsAreMedianAndSpreadOfTheRounds(t *testing.T) {
	r := results0(t)
	if got, want := r.of("ratio", "wire-gro", "containers", rows[0]), (spread{0.9, 0.8, 1.2, 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := r.of("ratio", "veth-gso", "containers", rows[0]); got != (spread{}) {
		t.Errorf("not measured: got %+v", got)
	}
	if got, want := newSpread([]float64{4, 1, 2, 3}), (spread{2.5, 1, 4, 4}); got != want {
		t.Errorf("an even number: got %+v, want %+v", got, want)
	}
	if r.config["kernel"] != "6.18.5" {
		t.Errorf("got configuration %v", r.config)
	}
	for _, bad := range []string{"", "BenchmarkOut 1 2 ns/op\n", printed + "BenchmarkLab/wire/hosts/rtt 1 x µs\n"} {
		if _, err := read(strings.NewReader(bad), "bad"); err == nil {
			t.Errorf("took %q", bad)
		}
	}
}

func TestPageGetsTablesBetweenItsMarks(t *testing.T) {
	dir := t.TempDir()
	file, page := filepath.Join(dir, "lab.txt"), filepath.Join(dir, "page.md")
	write := func(name, text string) {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(file, printed)
	write(page, "before\n"+beginMark+"old\n"+endMark+"after\n")
	for range 2 { // again over its own work
		if err := run(file, dir, page); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	got := string(b)
	for _, want := range []string{
		"before\n", "after\n", "AMD EPYC, kernel 6.18.5; rounds: 3",
		"| TCP, one stream, Gbit/s | **0.90** (0.80–1.20) 5.4 / 5.5 | – | – |\n",
		"| round trip, median, µs | – | **7.00** (7.00–7.00) 210 / 30 | – |\n",
		"| idle, before any traffic | – | 29.5 | – |\n",
		"performance/throughput.svg",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("want %q once in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "old") {
		t.Error("the old results are still there")
	}
	for _, c := range chartList {
		svg, err := os.ReadFile(filepath.Join(dir, c.name+".svg"))
		if err != nil || !strings.HasSuffix(strings.TrimSpace(string(svg)), "</svg>") {
			t.Errorf("%s: no picture, error %v", c.name, err)
		}
	}
	write(page, "no marks")
	if err := run(file, dir, page); err == nil {
		t.Error("a page without marks was written")
	}
}

func TestPictureShowsWhatWasMeasured(t *testing.T) {
	file := filepath.Join(t.TempDir(), "c.svg")
	if err := chartList[0].write(results0(t), file); err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{">0.90<", ">0<", ">wire-gro<", ">64 flows, 8 VTEPs<", "between containers)<", "between hosts)<"} {
		if !strings.Contains(string(svg), want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
}
