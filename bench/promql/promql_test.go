package promql

import (
	"encoding/json"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
)

const packaging = "../../packaging/"

// variables are what Grafana puts in the place of its variables.
var variables = strings.NewReplacer("$instance", "host:9473", "$__rate_interval", "1m", "$__interval", "15s", "$__range", "1h")

func TestTheDashboardIsPromQL(t *testing.T) {
	b, err := os.ReadFile(packaging + "grafana/uvtep.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	n, ids := 0, map[int]bool{}
	for i, p := range d.Panels {
		for _, target := range p.Targets {
			expr := variables.Replace(target.Expr)
			if _, err := parser.NewParser(parser.Options{}).ParseExpr(expr); err != nil || strings.Contains(expr, "$") {
				t.Errorf("panel %q: %s: %v", p.Title, expr, err)
			}
			n++
		}
		if ids[p.ID] || p.ID == 0 {
			t.Errorf("panel %q: its id %d is none or another's too", p.Title, p.ID)
		}
		ids[p.ID] = true
		for _, q := range d.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X+a.W > 24 || a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panel %q lies over %q, or beyond the edge", p.Title, q.Title)
			}
		}
	}
	if n < 10 {
		t.Errorf("%d expressions", n)
	}
}

// series are made-up metrics, a value a minute: those of a host that is well, and
// for each alert those that set it off.
const well = `load 1m
  uvtep_healthy{instance="a"} 1x60
  uvtep_ready{instance="a"} 0x3 1x57
  uvtep_etcd_connected{instance="a"} 1x20 0x3 1x37
  uvtep_tables_stale_since_timestamp_seconds{instance="a",vni="1"} 0x60
  uvtep_subnet_lease_seconds{instance="a",vni="1"} 86000x60
  uvtep_conflicts{instance="a",vni="1"} 0x60
  uvtep_unusable_keys{instance="a",vni="1"} 0x30 1x5 0x25
  uvtep_frames_total{instance="a",vni="1",direction="in",verdict="DropSpoofed"} 0+30x60
  uvtep_frames_total{instance="a",vni="1",direction="in",verdict="Deliver"} 0+60000x60
  uvtep_underlay_receive_drops_total{instance="a"} 0+30x60
  uvtep_underlay_send_errors_total{instance="a",kind="no_room"} 0+30x60
  uvtep_underlay_send_errors_total{instance="a",kind="too_big"} 0x60
`

var ill = map[string]string{
	"UvtepNotHealthy":      `uvtep_healthy{instance="a"} 1x10 0x50`,
	"UvtepNotReady":        `uvtep_ready{instance="a"} 1x10 0x50`,
	"UvtepEtcdAway":        `uvtep_etcd_connected{instance="a"} 1x10 0x50`,
	"UvtepTablesStale":     `uvtep_tables_stale_since_timestamp_seconds{instance="a",vni="1"} 0x10 600x50`,
	"UvtepSubnetLeaseEnds": `uvtep_subnet_lease_seconds{instance="a",vni="1"} 10000-60x60`,
	"UvtepConflict":        `uvtep_conflicts{instance="a",vni="1"} 0x10 1x50`,
	"UvtepUnusableKeys":    `uvtep_unusable_keys{instance="a",vni="1"} 0x10 2x50`,
	"UvtepSpoofed":         `uvtep_frames_total{instance="a",vni="1",direction="in",verdict="DropUnknownVTEP"} 0x10 0+600x50`,
	"UvtepReceiveDrops":    `uvtep_underlay_receive_drops_total{instance="a"} 0x10 0+600x50`,
	"UvtepSendErrors":      `uvtep_underlay_send_errors_total{instance="a",kind="refused"} 0x10 0+600x50`,
}

// fires returns the minutes at which a rule fires within an hour.
func fires(t *testing.T, r rulefmt.Rule, load string) (at []int) {
	t.Helper()
	s := promqltest.LoadedStorage(t, load)
	defer s.Close()
	engine := promqltest.NewTestEngine(t, false, 0, 1e6)
	pending := 0
	for minute := range 60 {
		q, err := engine.NewInstantQuery(t.Context(), s, nil, r.Expr, time.Unix(int64(60*minute), 0))
		if err != nil {
			t.Fatal(err)
		}
		res := q.Exec(t.Context())
		v, err := res.Vector()
		if err != nil {
			t.Fatal(err)
		}
		if len(v) == 0 {
			pending = 0
		} else if pending++; time.Duration(pending-1)*time.Minute >= time.Duration(r.For) {
			at = append(at, minute)
			known(t, r, v)
		}
		q.Close()
	}
	return at
}

// known checks that what a rule says of an alert has the labels that it names.
func known(t *testing.T, r rulefmt.Rule, v promql.Vector) {
	t.Helper()
	for _, text := range r.Annotations {
		for _, part := range strings.Split(text, "{{ $labels.")[1:] {
			if name, _, _ := strings.Cut(part, " "); v[0].Metric.Get(name) == "" {
				t.Errorf("%s: %q names the label %q, which %v lacks", r.Alert, text, name, v[0].Metric)
			}
		}
	}
}

func TestEachAlertFiresWhenItShould(t *testing.T) {
	b, err := os.ReadFile(packaging + "prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(b, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	left := maps.Clone(ill)
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			series, ok := left[r.Alert]
			if !ok {
				t.Errorf("%s is tried by nothing here", r.Alert)
				continue
			}
			delete(left, r.Alert)
			if at := fires(t, r, well); len(at) > 0 {
				t.Errorf("%s fires where all is well, at minute %d", r.Alert, at[0])
			}
			if at := fires(t, r, "load 1m\n  "+series+"\n"); len(at) == 0 || at[0] < 10 || at[len(at)-1] != 59 {
				t.Errorf("%s fires at %v, want it from some minute after the tenth on", r.Alert, at)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		t.Errorf("there is no rule %s", name)
	}
}
