package promql

import (
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
)

const packaging = "../../packaging/"

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

// ill are the series that set an alert off, at the eleventh minute, and the minute
// at which it fires because of them.
var ill = map[string]struct {
	series string
	from   int
}{
	"UvtepNotHealthy":      {`uvtep_healthy{instance="a"} 1x10 0x50`, 12},
	"UvtepNotReady":        {`uvtep_ready{instance="a"} 1x10 0x50`, 16},
	"UvtepEtcdAway":        {`uvtep_etcd_connected{instance="a"} 1x10 0x50`, 16},
	"UvtepTablesStale":     {`uvtep_tables_stale_since_timestamp_seconds{instance="a",vni="1"} 0x10 600x50`, 41},
	"UvtepSubnetLeaseEnds": {`uvtep_subnet_lease_seconds{instance="a",vni="1"} 86400x10 7200-60x50`, 12},
	"UvtepConflict":        {`uvtep_conflicts{instance="a",vni="1"} 0x10 1x50`, 12},
	"UvtepUnusableKeys":    {`uvtep_unusable_keys{instance="a",vni="1"} 0x10 2x50`, 21},
	"UvtepSpoofed":         {`uvtep_frames_total{instance="a",vni="1",direction="in",verdict="DropUnknownVTEP"} 0x10 0+600x50`, 22},
	"UvtepReceiveDrops":    {`uvtep_underlay_receive_drops_total{instance="a"} 0x10 0+600x50`, 22},
	"UvtepSendErrors":      {`uvtep_underlay_send_errors_total{instance="a",kind="refused"} 0x10 0+600x50`, 22},
}

// fires returns the minutes at which a rule fires within an hour.
func fires(t *testing.T, r rulefmt.Rule, load string) (minutes []int) {
	t.Helper()
	var at []time.Time
	for minute := range int64(60) {
		at = append(at, time.Unix(60*minute, 0))
	}
	pending := 0
	for minute, v := range ask(t, r.Expr, load, at...) {
		if len(v) == 0 {
			pending = 0
		} else if pending++; time.Duration(pending-1)*time.Minute >= time.Duration(r.For) {
			minutes = append(minutes, minute)
			known(t, r, v)
		}
	}
	return minutes
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
	left, docs := maps.Clone(ill), documented(t)
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			bad, ok := left[r.Alert]
			if !ok {
				t.Errorf("%s is tried by nothing here", r.Alert)
				continue
			}
			delete(left, r.Alert)
			expr, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
			if err != nil {
				t.Fatal(err)
			}
			grouped(t, r.Alert, expr, docs)
			madeUp(t, expr, docs)
			if got := fires(t, r, well); len(got) > 0 {
				t.Errorf("%s fires where all is well, at minute %d", r.Alert, got[0])
			}
			if got := fires(t, r, "load 1m\n  "+bad.series+"\n"); len(got) != 60-bad.from || got[0] != bad.from {
				t.Errorf("%s fires at %v, want it from minute %d on", r.Alert, got, bad.from)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		t.Errorf("there is no rule %s", name)
	}
}
