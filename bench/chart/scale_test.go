package main

import (
	"strings"
	"testing"
)

const fleetLines = `pkg: x
BenchmarkFleet/agents=1-2   1  1.1 idle-requests  40 idle-B-out  100 idle-cpu-µs  200 change-B-out  10 change-cpu-µs
BenchmarkFleet/agents=10-2  1  1.1 idle-requests  40 idle-B-out  100 idle-cpu-µs  200 change-B-out  10 change-cpu-µs
BenchmarkScale/hosts=100/endpoints=1000/first-2  1  0.07 loaded-s  34.4 MiB
BenchmarkOther-2  1  5 ns/op
`

func TestScaleTellsWhatEachAgentAdds(t *testing.T) {
	s, err := readScale(strings.NewReader(fleetLines), "x")
	if err != nil {
		t.Fatal(err)
	}
	if fixed, each := s.line("idle-cpu-µs"); fixed > 1e-6 || fixed < -1e-6 || each < 99.999 || each > 100.001 {
		t.Errorf("got %f and %f for each agent, want nothing and 100", fixed, each)
	}
	page := s.page()
	for _, want := range []string{
		"| hosts=100, endpoints=1000, first | 0.07 |",
		"| 1000 | 10 | 0.20 | 16.3 | 1100 |", // 1000 × (100 + 10 × 10) µs, 8 × 1000 × (40 + 10 × 200) bytes
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(page, "Other") {
		t.Error("another benchmark is on the page")
	}
}

func TestScaleNeedsResults(t *testing.T) {
	if _, err := readScale(strings.NewReader("BenchmarkOther-2  1  5 ns/op\n"), "x"); err == nil {
		t.Error("no error without results")
	}
}
