package metrics

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// Labels and their values that the dashboard and the alerts choose by exist: the
// name of a verdict that is gone would choose nothing, and nobody would notice.
func TestSelectorsNameWhatIsServed(t *testing.T) {
	s := sampleSet()
	s.Changed(0)
	text := scrape(t, s)
	n := 0
	for _, file := range []string{"grafana/uvtep.json", "prometheus/alerts.yaml"} {
		all := strings.ReplaceAll(string(packaged(t, file)), `\"`, `"`)
		for _, sel := range regexp.MustCompile(`\b(uvtep_\w+)\{([^}]*)\}`).FindAllStringSubmatch(all, -1) {
			for _, m := range regexp.MustCompile(`(\w+)=~?"([^"$]+)"`).FindAllStringSubmatch(sel[2], -1) {
				for value := range strings.SplitSeq(m[2], "|") {
					served(t, text, sel[1], m[1], value)
					n++
				}
			}
		}
	}
	if n < 10 {
		t.Errorf("%d values", n)
	}
}

// served checks that a scrape has a series of a metric with a label that a value,
// which may be a pattern, matches.
func served(t *testing.T, text, metric, label, value string) {
	t.Helper()
	if !regexp.MustCompile(fmt.Sprintf(`(?m)^%s\{(.*,)?%s="%s"[,}]`, metric, label, value)).MatchString(text) {
		t.Errorf("no %s has %s %q", metric, label, value)
	}
}
