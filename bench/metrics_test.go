package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/uvtep/uvtep/bench/lab"
)

// httpAt is where the agents of these tests serve HTTP, each in its namespace.
const httpAt = "127.0.0.1:9473"

// ask makes a request to a host's agent.
func ask(ctx context.Context, t testing.TB, h *lab.Host, method, path string) (status int, body string, header http.Header) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: h.Dial}}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+httpAt+path, strings.NewReader(`{"offload":"off"}`))
	must(t, err)
	resp, err := c.Do(req)
	if err != nil {
		return 0, err.Error(), nil // it may not listen yet
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(b), resp.Header
}

// series are the metrics of a host: by name and labels as in the text.
type series map[string]float64

func metricsOf(ctx context.Context, t testing.TB, h *lab.Host) (series, string) {
	t.Helper()
	status, body, _ := ask(ctx, t, h, http.MethodGet, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("metrics: got %d: %s", status, body)
	}
	all := series{}
	ofAll := regexp.MustCompile(`,vni="(1|none)"}$`) // what `uvtep stats` has together
	for line := range strings.Lines(body) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && line[0] != '#' {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
			must(t, err)
			all[line[:i]] = v
			if base := ofAll.ReplaceAllString(line[:i], ""); base != line[:i] {
				all[base] += v
			}
		}
	}
	return all, body
}

// sum adds up the series whose names and labels hold all of parts.
func (s series) sum(parts ...string) (sum float64) {
	for name, v := range s {
		if strings.HasSuffix(name, "}") && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(name, p) }) {
			sum += v
		}
	}
	return sum
}

// ofStats is what metrics have to be, going by what `uvtep stats` says.
func ofStats(s stats) series {
	want := series{
		"uvtep_underlay_datagrams_total":                      float64(s.Underlay.Datagrams),
		"uvtep_underlay_send_calls_total":                     float64(s.Underlay.Calls),
		"uvtep_underlay_receive_drops_total":                  float64(s.Underlay.Overrun),
		`uvtep_underlay_send_errors_total{kind="too_big"}`:    float64(s.Underlay.TooBig),
		`uvtep_underlay_send_errors_total{kind="no_room"}`:    float64(s.Underlay.NoRoom),
		`uvtep_underlay_send_errors_total{kind="refused"}`:    float64(s.Underlay.Refused),
		`uvtep_underlay_run_datagrams_count{direction="out"}`: float64(s.Underlay.Messages),
		`uvtep_underlay_run_datagrams_sum{direction="out"}`:   float64(s.Underlay.Datagrams),
		`uvtep_tables_revision{vni="1"}`:                      float64(s.Revision),
		`uvtep_conflicts{vni="1"}`:                            float64(s.ConflictCount),
	}
	for name, n := range s.Verdicts {
		direction := "out"
		if inboundVerdicts[name] {
			direction = "in"
		}
		want[fmt.Sprintf(`uvtep_frames_total{direction=%q,verdict=%q`, direction, name)] = float64(n.Frames)
		want[fmt.Sprintf(`uvtep_bytes_total{direction=%q,verdict=%q`, direction, name)] = float64(n.Bytes)
	}
	for name, n := range s.Counts {
		want[fmt.Sprintf(`uvtep_events_total{event=%q`, name)] = float64(n)
	}
	return want
}

// differs tells the first series, by name, that is not as wanted.
func (s series) differs(want series) string {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got, ok := s[name]; !ok || got != want[name] {
			return fmt.Sprintf("%s is %v (there: %v), want %v", name, got, ok, want[name])
		}
	}
	return ""
}

// The second host's agent waits for an etcd that there is not yet, then works,
// loses its TAP and its etcd, and goes on.
func TestMetricsAndHealthOfALiveAgent(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2, AgentArgs: []string{"--http-listen", httpAt}})
	first, h := l.Hosts[0], l.Hosts[1]
	started := make(chan error)
	go func() { started <- h.StartAgent(ctx, "--subnet", "10.10.2.0/24") }()
	answers(ctx, t, h, "/readyz", 503, "uvtep is not ready yet: the network's configuration is not known yet\n")
	answers(ctx, t, h, "/healthz", 200, "uvtep is running\n")
	must(t, first.StartAgent(ctx, "--subnet", "10.10.1.0/24"), <-started)
	for _, h := range l.Hosts {
		answers(ctx, t, h, "/readyz", 200, "uvtep is ready\n")
	}
	connectedAfter(ctx, t, l)
	for _, h := range l.Hosts {
		metricsAgree(ctx, t, h)
		vtepsAddUp(ctx, t, h)
	}
	pageTells(ctx, t, h, first)
	nothingChanges(ctx, t, h)

	first.Agent.Kill() // and with it etcd
	eventually(ctx, t, "etcd is away", func() (bool, string) {
		s, body := metricsOf(ctx, t, h)
		return s["uvtep_etcd_connected"] == 0 && s[`uvtep_tables_stale_since_timestamp_seconds{vni="1"}`] > 0, body
	})
	answers(ctx, t, h, "/readyz", 200, "uvtep is ready\n") // it forwards
	answers(ctx, t, h, "/healthz", 200, "uvtep is running\n")
}

// answers waits until a host's agent answers so.
func answers(ctx context.Context, t testing.TB, h *lab.Host, path string, status int, body string) {
	t.Helper()
	eventually(ctx, t, fmt.Sprintf("%s answers %s with %d %q", h.Name, path, status, body), func() (bool, string) {
		s, b, _ := ask(ctx, t, h, http.MethodGet, path)
		return s == status && b == body, fmt.Sprint(s, " ", b)
	})
}

// metricsAgree compares metrics with what `uvtep stats` says before and after: once
// nothing moves they are the same.
func metricsAgree(ctx context.Context, t testing.TB, h *lab.Host) {
	t.Helper()
	eventually(ctx, t, "metrics are what stats are", func() (bool, string) {
		before := ofStats(readStats(ctx, t, h))
		got, _ := metricsOf(ctx, t, h)
		if d := ofStats(readStats(ctx, t, h)).differs(before); d != "" {
			return false, "traffic goes on: " + d
		}
		d := got.differs(before)
		return d == "", d
	})
	got, body := metricsOf(ctx, t, h)
	if n := got.sum("uvtep_frames_total", `verdict="Forward"`); n < 100 {
		t.Errorf("%s: %v frames forwarded; there was traffic", h.Name, n)
	}
	problems, err := promlint.New(bytes.NewReader([]byte(body))).Lint()
	must(t, err)
	for _, p := range problems {
		t.Errorf("%s: promlint: %s: %s", h.Name, p.Metric, p.Text)
	}
	for name, want := range map[string]float64{
		`uvtep_fdb_entries{vni="1"}`: 1, `uvtep_arp_entries{vni="1"}`: 1, `uvtep_nd_entries{vni="1"}`: 0, `uvtep_vteps{vni="1"}`: 1, `uvtep_peers{vni="1"}`: 1,
		`uvtep_routes{vni="1"}`: 1, "uvtep_etcd_connected": 1, "uvtep_healthy": 1, "uvtep_ready": 1, `uvtep_tap_mtu_bytes{vni="1"}`: 1450,
		`uvtep_tables_stale_since_timestamp_seconds{vni="1"}`: 0, `uvtep_feature{feature="vnet_hdr"}`: 1,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s: %s is %v (there: %v), want %v", h.Name, name, v, ok, want)
		}
	}
	for name, between := range map[string][2]float64{
		`uvtep_subnet_lease_seconds{vni="1"}`: {86000, 86400}, `uvtep_liveness_lease_seconds{vni="1"}`: {15, 30},
		`uvtep_etcd_silence_seconds{vni="1"}`: {0, 10}, "uvtep_etcd_change_seconds_count": {1, 100}, `uvtep_etcd_keys_total{result="added",vni="1"}`: {3, 100},
	} {
		if v, ok := got[name]; !ok || v < between[0] || v > between[1] {
			t.Errorf("%s: %s is %v (there: %v), want %v", h.Name, name, v, ok, between)
		}
	}
}

// vtepsAddUp checks that what is counted by VTEP is all that was sent and
// delivered, and that the histograms hold each batch.
func vtepsAddUp(ctx context.Context, t testing.TB, h *lab.Host) {
	t.Helper()
	s, _ := metricsOf(ctx, t, h)
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"frames sent", s.sum("uvtep_vtep_frames_total", `direction="out"`), s["uvtep_underlay_datagrams_total"]},
		{"frames forwarded", s.sum("uvtep_vtep_frames_total", `direction="out"`), s.sum("uvtep_frames_total", `verdict="Forward"`)},
		{"frames delivered", s.sum("uvtep_vtep_frames_total", `direction="in"`), s.sum("uvtep_frames_total", `verdict="Deliver"`)},
		{"bytes delivered", s.sum("uvtep_vtep_bytes_total", `direction="in"`), s.sum("uvtep_bytes_total", `verdict="Deliver"`)},
		{"datagrams received", s[`uvtep_underlay_run_datagrams_sum{direction="in"}`], s.sum("uvtep_frames_total", `direction="in"`)},
		{"messages received", s["uvtep_underlay_batch_messages_sum"], s[`uvtep_underlay_run_datagrams_count{direction="in"}`]},
	} {
		if c.got != c.want || c.want == 0 {
			t.Errorf("%s: %s: got %v, want %v", h.Name, c.what, c.got, c.want)
		}
	}
	// A superframe has its headers once, the frames that it was cut into have each
	// their own.
	if sent, read := s.sum("uvtep_vtep_bytes_total", `direction="out"`), s.sum("uvtep_bytes_total", `verdict="Forward"`); sent < read || sent > read*1.2 {
		t.Errorf("%s: %v bytes sent of %v forwarded", h.Name, sent, read)
	}
}

// pageTells looks for what a status page must have.
func pageTells(ctx context.Context, t testing.TB, h, peer *lab.Host) {
	t.Helper()
	status, body, header := ask(ctx, t, h, http.MethodGet, "/")
	if status != http.StatusOK || header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("the page: got %d %v", status, header)
	}
	for _, want := range []string{h.TAP, h.Subnet.Masked().String(), peer.Addr.String(), peer.Subnet.Masked().String(), "Forward", "Deliver", "ready"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page lacks %q:\n%s", want, body)
		}
	}
}

// nothingChanges tries to change something.
func nothingChanges(ctx context.Context, t *testing.T, h *lab.Host) {
	t.Helper()
	for _, path := range []string{"/", "/metrics", "/healthz", "/readyz", "/v1/link/offload"} {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions} {
			if status, body, header := ask(ctx, t, h, method, path); status != http.StatusMethodNotAllowed || header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: got %d %q", method, path, status, body)
			}
		}
	}
	for _, path := range []string{"/v1/stats", "/v1/link/offload", "/index.html", "/metrics/"} {
		if status, _, _ := ask(ctx, t, h, http.MethodGet, path); status != http.StatusNotFound {
			t.Errorf("GET %s: got %d, want 404", path, status)
		}
	}
	if status, body, _ := ask(ctx, t, h, http.MethodHead, "/metrics"); status != http.StatusOK || body != "" {
		t.Errorf("HEAD: got %d and %d bytes", status, len(body))
	}
	if err := offloadIs(uvtep(ctx, t, h, "link", "-j"), h, "auto"); err != nil {
		t.Error(err)
	}
}
