package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// told is a benchstat table as it comes, with one stage of each fate.
const told = `pkg: example.org/bench
,old.txt,,new.txt,,,
,sec/op,CI,sec/op,CI,vs base,P
Out/udp64,1.025e-07,2%,1.5e-07,2%,+46.34%,p=0.002 n=6
Out/arp,1e-07,2%,1.19e-07,2%,+19.00%,p=0.002 n=6
In/noisy,1e-07,2%,1.9e-07,90%,~,p=0.310 n=6
In/faster,1e-07,2%,5e-08,2%,-50.00%,p=0.002 n=6
In/gone,1.05e-07,∞
In/fresh,,,1.05e-07,∞
geomean,1.03e-07,,1.52e-07,,+50.00%,

,old.txt,,new.txt,,,
,allocs/op,CI,allocs/op,CI,vs base,P
Out/udp64,0,0%,0,0%,~,p=1.000 n=6
Out/arp,0,0%,2,0%,?,p=0.002 n=6
In/gone,0,0%
geomean,,,,,+0.00%,

pkg: example.org/ether
,old.txt,,new.txt,,,
,sec/op,CI,sec/op,CI,vs base,P
Sum/64B,1e-07,0%,1.2e-07,0%,+20.00%,p=0.002 n=6
`

func TestJudgeFindsWhatBrokeThePromise(t *testing.T) {
	broken, stages, err := judge(strings.NewReader(told), 20)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"example.org/bench Out/udp64: +46.34% in time an op, 20 % is the limit",
		"example.org/bench In/gone: is in the baseline and was not measured",
		"example.org/bench Out/arp: allocates 2 times an op",
		"example.org/ether Sum/64B: +20.00% in time an op, 20 % is the limit",
	}
	if diff := cmp.Diff(want, broken); diff != "" {
		t.Errorf("broken promises (-want +got):\n%s", diff)
	}
	if stages != 5 {
		t.Errorf("got %d stages in both runs, want 5", stages)
	}
}

func TestJudgeRefusesWhatItCannotRead(t *testing.T) {
	for _, bad := range []string{
		`"`,
		",a,,b,,,\n,sec/op,CI,sec/op,CI,vs base,P\nOut,1,0%,2,0%,much%,p\n",
		",a,,b,,,\n,allocs/op,CI,allocs/op,CI,vs base,P\nOut,0,0%,some,0%,~,p\n",
	} {
		if _, _, err := judge(strings.NewReader(bad), 20); err == nil {
			t.Errorf("took %q", bad)
		}
	}
	if _, stages, err := judge(strings.NewReader(""), 20); stages != 0 || err != nil {
		t.Errorf("nothing: got %d stages, error %v; main refuses that", stages, err)
	}
}
