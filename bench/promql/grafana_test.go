package promql

import (
	"bytes"
	"os"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	model "github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// Grafana's own types know the fields of the dashboard, the options of its kinds of
// panels and what its queries are made of, and have nothing against their values.
func TestGrafanaKnowsAllOfTheDashboard(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	file, err := os.ReadFile(packaging + "grafana/uvtep.json")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, old, new string // "": as it is
		good           bool
	}{
		{"as it is", "", "", true},
		{"a field that there is none of", `"schemaVersion"`, `"schemaVersions"`, false},
		{"an option that there is none of", `"type": "stat",`, `"type": "stat", "options": {"legend": 1},`, false},
		{"a place that is none", `"gridPos"`, `"gridPosition"`, false},
		{"a query's field that there is none of", `"legendFormat"`, `"legendFormats"`, false},
		{"a refresh that is none", `"refresh": 2`, `"refresh": "often"`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			raw := file
			if tt.old != "" {
				if raw = bytes.Replace(file, []byte(tt.old), []byte(tt.new), 1); bytes.Equal(raw, file) {
					t.Fatalf("the dashboard has no %s", tt.old)
				}
			}
			var d model.Dashboard
			text := ""
			if err := d.UnmarshalJSONStrict(raw); err != nil {
				text = err.Error() // an empty list of faults is an error too
			} else if err := d.Validate(); err != nil {
				text = err.Error()
			}
			if tt.good != (text == "") {
				t.Errorf("got %q", text)
			}
			if tt.good && len(d.Panels) != len(readDashboard(t).Panels) {
				t.Errorf("%d panels, want %d", len(d.Panels), len(readDashboard(t).Panels))
			}
		})
	}
}
