package metrics

import (
	"io"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/ledger"
	vswitch "github.com/uvtep/uvtep/switch"
)

// sample is a Snapshot in which every metric has something to tell.
func sample() Snapshot {
	n := Network{
		VNI: 42, MTU: 1450, SubnetEnds: time.Now().Add(time.Hour), LivenessEnds: time.Now().Add(30 * time.Second),
		Sent:   Traffic{By: map[netip.Addr]ledger.Sum{netip.MustParseAddr("192.0.2.2"): {Frames: 7, Bytes: 700}}, Others: ledger.Sum{Frames: 1, Bytes: 60}},
		Heard:  Traffic{By: map[netip.Addr]ledger.Sum{netip.MustParseAddr("2001:db8::2"): {Frames: 5, Bytes: 500}}},
		Tables: Tables{Revision: 99, StaleSince: time.Unix(1700000000, 0), FDB: 3, ARP: 2, ND: 1, VTEPs: 4, Peers: 5, Routes: 6, Conflicts: 7, Unusable: 8},
		Etcd:   Etcd{Heard: etcdsync.Heard{Rev: 101, At: time.Now()}, Counts: etcdsync.Counts{Added: 1, Changed: 2, Removed: 3, Refused: 4, Lists: 5, WatchFailures: 6}},
	}
	n.Stats.Frames[vswitch.Forward], n.Stats.Bytes[vswitch.Forward] = 8, 760
	n.Stats.Frames[vswitch.DropSpoofed] = 2
	n.Stats.Extra[vswitch.ReadLost] = 3
	n.Stats.Sizes[vswitch.FramesRead] = ledger.Histogram{Classes: [ledger.Classes]uint64{0: 4, 2: 2, 8: 1}, Sum: 300}
	s := Snapshot{
		Networks: []Network{n}, RecvBuffer: 1000, SendBuffer: 2000, Healthy: true,
		Features:  map[string]bool{"tso": true, "udp_gro": false},
		Underlay:  underlay.Stats{Datagrams: 8, Messages: 2, Calls: 1, TooBig: 3, NoRoom: 4, Refused: 5, Overrun: 6, Runs: [ledger.Classes]uint64{2: 2}},
		Connected: true,
	}
	s.Shared.Runs = ledger.Histogram{Classes: [ledger.Classes]uint64{6: 1}, Sum: 40}
	return s
}

func sampleSet() *Set {
	return New(Config{Version: "v1", Commit: "abc", Read: sample})
}

func scrape(t *testing.T, s *Set) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("got %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

func TestMetricsPassPromlint(t *testing.T) {
	problems, err := testutil.GatherAndLint(sampleSet().registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestEveryMetricIsThere(t *testing.T) {
	s := sampleSet()
	s.Changed(time.Millisecond)
	text := scrape(t, s)
	for _, name := range s.Names() {
		if !strings.Contains(text, "\n# TYPE "+name+" ") {
			t.Errorf("%s has no value in:\n%s", name, text)
		}
	}
	for name := range families(text) {
		if !slices.Contains(s.Names(), name) && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s is not among the names", name)
		}
	}
}

// families are the names in a scrape.
func families(text string) map[string]bool {
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) `).FindAllStringSubmatch(text, -1) {
		names[m[1]] = true
	}
	return names
}

func TestMetricsAreWhatTheSnapshotTells(t *testing.T) {
	text := scrape(t, sampleSet())
	for _, line := range []string{
		`uvtep_frames_total{direction="out",verdict="Forward",vni="42"} 8`,
		`uvtep_bytes_total{direction="out",verdict="Forward",vni="42"} 760`,
		`uvtep_frames_total{direction="in",verdict="DropSpoofed",vni="42"} 2`,
		`uvtep_frames_total{direction="in",verdict="Deliver",vni="42"} 0`,
		`uvtep_events_total{event="ReadLost",vni="42"} 3`,
		`uvtep_vtep_frames_total{direction="out",vni="42",vtep="192.0.2.2"} 7`,
		`uvtep_vtep_bytes_total{direction="out",vni="42",vtep="other"} 60`,
		`uvtep_vtep_bytes_total{direction="in",vni="42",vtep="2001:db8::2"} 500`,
		`uvtep_tap_batch_frames_bucket{vni="42",le="1"} 4`,
		`uvtep_tap_batch_frames_bucket{vni="42",le="2"} 4`,
		`uvtep_tap_batch_frames_bucket{vni="42",le="4"} 6`,
		`uvtep_tap_batch_frames_bucket{vni="42",le="128"} 6`,
		`uvtep_tap_batch_frames_bucket{vni="42",le="+Inf"} 7`,
		`uvtep_tap_batch_frames_sum{vni="42"} 300`,
		`uvtep_underlay_run_datagrams_sum{direction="out"} 8`,
		`uvtep_underlay_run_datagrams_count{direction="in"} 1`,
		`uvtep_underlay_send_errors_total{kind="no_room"} 4`,
		`uvtep_underlay_receive_drops_total 6`,
		`uvtep_underlay_buffer_bytes{buffer="receive"} 1000`,
		`uvtep_fdb_entries{vni="42"} 3`,
		`uvtep_nd_entries{vni="42"} 1`,
		`uvtep_tables_revision{vni="42"} 99`,
		`uvtep_tables_stale_since_timestamp_seconds{vni="42"} 1.7e+09`,
		`uvtep_etcd_keys_total{result="refused",vni="42"} 4`,
		`uvtep_etcd_watch_failures_total{vni="42"} 6`,
		`uvtep_etcd_lists_total{vni="42"} 5`,
		`uvtep_etcd_connected 1`,
		`uvtep_etcd_revision{vni="42"} 101`,
		`uvtep_feature{feature="tso"} 1`,
		`uvtep_feature{feature="udp_gro"} 0`,
		`uvtep_healthy 1`,
		`uvtep_ready 0`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("lacks %s", line)
		}
	}
	for _, begin := range []string{`uvtep_subnet_lease_seconds{vni="42"} 3599.`, `uvtep_liveness_lease_seconds{vni="42"} 29.`, `uvtep_etcd_silence_seconds{vni="42"} `, `uvtep_build_info{commit="abc",goversion="go`} {
		if !strings.Contains(text, "\n"+begin) {
			t.Errorf("lacks %s…", begin)
		}
	}
}

// An agent that has not found its network has metrics too.
func TestNothingToTellIsNoError(t *testing.T) {
	text := scrape(t, New(Config{Read: func() Snapshot { return Snapshot{} }}))
	for _, want := range []string{"uvtep_etcd_connected 0\n", "uvtep_ready 0\n", "go_goroutines "} {
		if !strings.Contains(text, want) {
			t.Errorf("lacks %q", want)
		}
	}
	for _, absent := range []string{"uvtep_etcd_silence_seconds", "uvtep_frames_total", "uvtep_subnet_lease_seconds"} {
		if strings.Contains(text, "\n"+absent) {
			t.Errorf("has %s", absent)
		}
	}
}

func TestChangesAreCountedByTheirTime(t *testing.T) {
	s := sampleSet()
	s.Changed(3 * time.Millisecond)
	s.Changed(30 * time.Second)
	text := scrape(t, s)
	for _, line := range []string{`uvtep_etcd_change_seconds_bucket{le="0.005"} 1`, `uvtep_etcd_change_seconds_bucket{le="10"} 1`, `uvtep_etcd_change_seconds_count 2`} {
		if !strings.Contains(text, line) {
			t.Errorf("lacks %s", line)
		}
	}
}

func TestThePageListsAllMetrics(t *testing.T) {
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(uvtep_[a-z_]+)").FindAllStringSubmatch(string(page), -1) {
		listed = append(listed, m[1])
	}
	names := sampleSet().Names()
	slices.Sort(names)
	slices.Sort(listed)
	if diff := cmp.Diff(names, listed); diff != "" {
		t.Errorf("docs/metrics.md (-exported +listed):\n%s", diff)
	}
	unknown(t, "docs/metrics.md", string(page))
}

// unknown complains of names of metrics that do not exist.
func unknown(t *testing.T, file, text string) {
	t.Helper()
	s := sampleSet()
	s.Changed(0)
	known := families(scrape(t, s))
	for _, name := range regexp.MustCompile(`\b(?:uvtep|go|process)_[a-z0-9_]+`).FindAllString(text, -1) {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if !known[name] && !known[base] {
			t.Errorf("%s uses %s, which does not exist", file, name)
		}
	}
}

func BenchmarkScrape(b *testing.B) {
	s := sample()
	for i := range ledger.Room {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		s.Networks[0].Sent.By[a], s.Networks[0].Heard.By[a] = ledger.Sum{}, ledger.Sum{}
	}
	set := New(Config{Read: func() Snapshot { return s }})
	for b.Loop() {
		w := httptest.NewRecorder()
		set.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
		_, _ = io.Copy(io.Discard, w.Body)
	}
}
