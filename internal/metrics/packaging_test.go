package metrics

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// packaged reads a file of packaging/, whose metrics must exist.
func packaged(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile("../../packaging/" + file)
	if err != nil {
		t.Fatal(err)
	}
	unknown(t, file, string(b))
	return b
}

func TestTheDashboardUsesMetricsThatThereAre(t *testing.T) {
	var d struct {
		Title  string
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(packaged(t, "grafana/uvtep.json"), &d); err != nil || len(d.Panels) == 0 {
		t.Fatalf("%d panels: %v", len(d.Panels), err)
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			balanced(t, p.Title, target.Expr)
		}
		if len(p.Targets) == 0 {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
	}
}

func TestTheAlertsAreRulesOnMetricsThatThereAre(t *testing.T) {
	var f struct {
		Groups []struct {
			Name  string `json:"name"`
			Rules []struct {
				Alert       string            `json:"alert"`
				Expr        string            `json:"expr"`
				For         string            `json:"for"`
				Labels      map[string]string `json:"labels"`
				Annotations map[string]string `json:"annotations"`
			} `json:"rules"`
		} `json:"groups"`
	}
	if err := yaml.UnmarshalStrict(packaged(t, "prometheus/alerts.yaml"), &f); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, g := range f.Groups {
		for _, r := range g.Rules {
			balanced(t, r.Alert, r.Expr)
			if r.Alert == "" || seen[r.Alert] || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
				t.Errorf("alert %q lacks something, or is there twice", r.Alert)
			}
			seen[r.Alert] = true
		}
	}
	if len(seen) == 0 {
		t.Error("there are no rules")
	}
}

// balanced is a rough look at an expression: it uses a metric of ours and closes
// what it opens.
func balanced(t *testing.T, where, expr string) {
	t.Helper()
	if !strings.Contains(expr, "uvtep_") {
		t.Errorf("%s: %q uses no metric of uvtep's", where, expr)
	}
	for _, pair := range []string{"()", "{}", "[]"} {
		if strings.Count(expr, pair[:1]) != strings.Count(expr, pair[1:]) {
			t.Errorf("%s: %q does not close %s", where, expr, pair)
		}
	}
}
