package promql

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// dashboard is what Grafana's file says, as far as it is looked at.
type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type string
			Datasource source
			Query      json.RawMessage
		}
	}
	Panels []panel
}

type panel struct {
	ID          int
	Title, Type string
	GridPos     struct{ X, Y, W, H int }
	Datasource  source
	FieldConfig struct{ Defaults struct{ Unit string } }
	Targets     []target
}

type target struct {
	Datasource                source
	Expr, LegendFormat, RefID string
}

// source is where data come from: of the kind that is chosen at the top of the page.
type source struct{ Type, UID string }

var chosen = source{"prometheus", "${datasource}"}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	b, err := os.ReadFile(packaging + "grafana/uvtep.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) < 10 {
		t.Fatalf("%d panels", len(d.Panels))
	}
	return d
}

// filled is an expression with values in the place of Grafana's variables, of
// which those of the dashboard match everything.
func (d *dashboard) filled(expr string) string {
	pairs := []string{"$__rate_interval", "1m"}
	for _, v := range d.Templating.List {
		pairs = append(pairs, "$"+v.Name, ".*")
	}
	return strings.NewReplacer(pairs...).Replace(expr)
}

// Values of the units and kinds of panels that Grafana has, of those that are of use here.
var (
	units = []string{"none", "short", "s", "bytes", "Bps", "pps", "ops", "percent", "percentunit"}
	kinds = []string{"stat", "timeseries", "table"}
)

func TestTheDashboardIsOneForGrafana(t *testing.T) {
	d := readDashboard(t)
	// Since version 30 panels are stored as these are; 40 is the limit of an uid.
	if d.Title == "" || d.UID == "" || len(d.UID) > 40 || d.SchemaVersion < 30 {
		t.Errorf("title %q, uid %q, schema version %d", d.Title, d.UID, d.SchemaVersion)
	}
	if len(d.Templating.List) == 0 || d.Templating.List[0].Name != "datasource" || d.Templating.List[0].Type != "datasource" || string(d.Templating.List[0].Query) != `"prometheus"` {
		t.Error("the first variable is not the data source")
	}
	for _, v := range d.Templating.List[1:] {
		if v.Datasource != chosen {
			t.Errorf("variable %s is asked of %v", v.Name, v.Datasource)
		}
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if p.ID == 0 || ids[p.ID] {
			t.Errorf("panel %q: its id %d is none or another's too", p.Title, p.ID)
		}
		ids[p.ID] = true
		if u := p.FieldConfig.Defaults.Unit; !slices.Contains(units, u) || !slices.Contains(kinds, p.Type) {
			t.Errorf("panel %q is a %q with unit %q", p.Title, p.Type, u)
		}
		sources(t, p)
	}
}

// sources checks where a panel's data come from, and that its targets have names
// of their own.
func sources(t *testing.T, p panel) {
	t.Helper()
	names := map[string]bool{}
	for _, target := range p.Targets {
		if p.Datasource != chosen || target.Datasource != chosen {
			t.Errorf("panel %q is asked of %v and %v", p.Title, p.Datasource, target.Datasource)
		}
		if target.RefID == "" || names[target.RefID] {
			t.Errorf("panel %q: its target %q is none or there twice", p.Title, target.RefID)
		}
		names[target.RefID] = true
	}
}

func TestNoPanelLiesOverAnother(t *testing.T) {
	panels := readDashboard(t).Panels
	for i, p := range panels {
		a := p.GridPos
		if a.X < 0 || a.Y < 0 || a.W <= 0 || a.H <= 0 || a.X+a.W > 24 {
			t.Errorf("panel %q has no place: %+v", p.Title, a)
		}
		for _, q := range panels[:i] {
			if b := q.GridPos; a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panel %q lies over %q", p.Title, q.Title)
			}
		}
	}
}

// What a panel asks for is there, by the names and labels of docs/metrics.md, and
// has the labels that its legend names.
func TestEveryPanelShowsSomething(t *testing.T) {
	d, docs := readDashboard(t), documented(t)
	for _, p := range d.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
		for _, target := range p.Targets {
			text := d.filled(target.Expr)
			expr, err := parser.NewParser(parser.Options{}).ParseExpr(text)
			if err != nil || strings.Contains(text, "$") {
				t.Errorf("panel %q: %s: %v", p.Title, text, err)
				continue
			}
			grouped(t, p.Title, expr, docs)
			got := evaluate(t, text, madeUp(t, expr, docs))
			if len(got) == 0 {
				t.Errorf("panel %q shows nothing: %s", p.Title, text)
				continue
			}
			legend(t, p.Title, target.LegendFormat, got[0].Metric)
		}
	}
}
