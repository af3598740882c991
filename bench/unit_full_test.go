//go:build full

package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
)

// unitSays returns the value of a setting of the unit for systemd.
func unitSays(t testing.TB, setting string) string {
	t.Helper()
	b, err := os.ReadFile("../packaging/uvtep.service")
	must(t, err)
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), setting+"="); ok {
			return v
		}
	}
	t.Fatalf("the unit says nothing of %s", setting)
	return ""
}

// An agent has all that it needs with no more capabilities than the unit leaves it.
func TestFullAgentsWithTheUnitsCapabilities(t *testing.T) {
	var set []string
	for _, c := range strings.Fields(unitSays(t, "CapabilityBoundingSet")) {
		set = append(set, "+"+strings.ToLower(strings.TrimPrefix(c, "CAP_")))
	}
	confined := filepath.Join(t.TempDir(), "confined")
	must(t, os.WriteFile(confined, fmt.Appendf(nil, "#!/bin/sh\nexec setpriv --bounding-set -all,%s --inh-caps -all --ambient-caps -all --no-new-privs %s \"$@\"\n", strings.Join(set, ","), program), 0o755))
	l, ctx := newLab(t, lab.Config{Hosts: 2, Bin: confined})
	startAgents(ctx, t, l.Hosts)
	connectedAfter(ctx, t, l)
	for _, h := range l.Hosts {
		for line := range strings.Lines(h.Agent.Output()) {
			if strings.Contains(line, "permitted") || strings.Contains(line, "permission") {
				t.Errorf("%s lacks a capability: %s", h.Name, line)
			}
		}
		if code, said := runOn(ctx, t, h, "status", "--admin-socket", h.AdminSocket); code != 0 {
			t.Errorf("status: %d, %s", code, said)
		}
	}
}
