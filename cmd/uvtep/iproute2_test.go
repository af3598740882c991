package main

import (
	"strings"
	"testing"
)

func TestFlagsMayStandInFrontAsInIproute2(t *testing.T) {
	for line, want := range map[string]string{
		"fdb show":                         "fdb show",
		"-j fdb show":                      "fdb show -j",
		"-s -json -p fdb show dev uvtep.1": "fdb show dev uvtep.1 -s -j",
		"-6 -details route":                "route -6 -d",
		"-j run":                           "-j run",
		"-j":                               "-j",
		"--help":                           "--help",
		"":                                 "",
	} {
		if got := strings.Join(iproute2(strings.Fields(line)), " "); got != want {
			t.Errorf("uvtep %s: got %q, want %q", line, got, want)
		}
	}
}
