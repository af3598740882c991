package metrics

import (
	"os"
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
