package main

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"
	"github.com/google/go-cmp/cmp"
)

// topLook is a look at an agent, so many seconds after the first, with frames of
// 100 bytes counted.
func topLook(seconds int, near, far, spoofed uint64) topReading {
	count := func(n uint64) verdictView { return verdictView{n, 100 * n} }
	r := topReading{at: someStatus().Since.Add(time.Duration(seconds) * time.Second), status: someStatus()}
	r.stats = statsView{TAP: "uvtep.1", Verdicts: map[string]verdictView{"Forward": count(near + far), "DropSpoofed": count(spoofed)}}
	r.stats.VTEPs = []vtepView{
		{netip.MustParseAddr("192.0.2.2"), trafficView{Out: count(near)}},
		{netip.MustParseAddr("192.0.2.3"), trafficView{Out: count(far)}},
	}
	r.stats.Lanes = []laneView{{trafficView: trafficView{Out: count(near + far)}, Dropped: spoofed}}
	return r
}

// after is the model after some messages.
func after(m tea.Model, msgs ...tea.Msg) topModel {
	for _, msg := range msgs {
		m, _ = m.Update(msg)
	}
	return m.(topModel)
}

func key(s string) tea.Msg {
	if s == "enter" {
		return tea.KeyPressMsg{Code: tea.KeyEnter}
	}
	if s == "esc" {
		return tea.KeyPressMsg{Code: tea.KeyEscape}
	}
	if s == "backspace" {
		return tea.KeyPressMsg{Code: tea.KeyBackspace}
	}
	return tea.KeyPressMsg{Code: []rune(s)[0], Text: s}
}

// plainScreen is what is seen, without attributes and spaces at the ends.
func plainScreen(m topModel) []string {
	s := strings.NewReplacer("\x1b[1m", "", "\x1b[31m", "", "\x1b[m", "").Replace(m.View().Content)
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

func busyTop() topModel {
	return after(newTopModel(nil, time.Second), tea.WindowSizeMsg{Width: 80, Height: 18}, topLook(0, 0, 0, 0), topLook(1, 10, 20, 0), topLook(3, 1010, 120, 4))
}

func TestTopShowsWhatPassesASecond(t *testing.T) {
	want := []string{
		"uvtep 1.2  up 3s  uvtep.1 10.10.1.0/24",
		"etcd revision 17, lag 0.4s, 0 warnings",
		"out 550 frames/s, 55kB/s   in 0 frames/s, 0B/s   dropped 2/s",
		"▁█",
		"VTEP (out, in)            FRAMES/S   BYTES/S  FRAMES/S   BYTES/S       FRAMES",
		"192.0.2.2                      500       50k         0         0         1010",
		"192.0.2.3                       50        5k         0         0          120",
		"VERDICT (out, in)         FRAMES/S   BYTES/S  FRAMES/S   BYTES/S       FRAMES",
		"Forward                        550       55k         0         0         1130",
		"DropSpoofed                      0         0         2       200            4",
		"LANE (out, in)            FRAMES/S   BYTES/S  FRAMES/S   BYTES/S    DROPPED/S",
		"lane 0                         550       55k         0         0            2",
		"", "", "", "", "",
		"q quit  p pause  s sort  r reverse  / filter  [by traffic]",
	}
	if diff := cmp.Diff(want, plainScreen(busyTop())); diff != "" {
		t.Errorf("screen (-want +got):\n%s", diff)
	}
}

// secondOf is two looks a second apart, between which so much came by of each kind.
func secondOf(verdicts map[string]verdictView, vteps []vtepView, lanes []laneView) topModel {
	was, now := topLook(0, 0, 0, 0), topLook(1, 0, 0, 0)
	was.stats = statsView{TAP: "uvtep.1"}
	now.stats = statsView{TAP: "uvtep.1", Verdicts: verdicts, VTEPs: vteps, Lanes: lanes}
	return after(newTopModel(nil, time.Second), was, now)
}

func TestTopTellsTrafficFromDrops(t *testing.T) {
	m := secondOf(map[string]verdictView{
		"Forward": {1, 10}, "Replicate": {2, 20}, "Deliver": {4, 400}, "Answer": {8, 80}, "Echoed": {16, 160}, "DropShort": {32, 320}, "DropSpoofed": {64, 640},
	}, nil, nil)
	got := m.totals()
	if got.out != (rate{3, 30}) || got.in != (rate{4, 400}) || got.dropped != 96 {
		t.Errorf("got %+v out, %+v in and %v dropped", got.out, got.in, got.dropped)
	}
	if want := []float64{430}; !slices.Equal(m.traffic, want) {
		t.Errorf("the picture: got %v, want %v", m.traffic, want)
	}
	for _, r := range m.verdicts() {
		if inbound := r.name == "Deliver" || r.name == "Echoed" || r.name == "DropSpoofed"; inbound != (r.in.Frames > 0) || inbound == (r.out.Frames > 0) {
			t.Errorf("%s: got %+v out and %+v in", r.name, r.out, r.in)
		}
	}
}

func TestThePictureOfTheTrafficIsOfSoManyLooks(t *testing.T) {
	m := newTopModel(nil, time.Second)
	for i := range trafficKept + 10 {
		m = after(m, topLook(i, uint64(i*i), 0, 0))
	}
	if got := m.traffic; len(got) != trafficKept || got[trafficKept-1] <= got[0] {
		t.Errorf("got %d looks, from %v to %v", len(got), got[0], got[len(got)-1])
	}
}

func TestTopSortsByWhatItSays(t *testing.T) {
	v := func(host string, out, in verdictView) vtepView {
		return vtepView{netip.MustParseAddr(host), trafficView{Out: out, In: in}}
	}
	m := secondOf(nil, []vtepView{
		v("192.0.2.4", verdictView{1, 500}, verdictView{1, 10}),
		v("192.0.2.3", verdictView{2, 400}, verdictView{1, 300}),
		v("192.0.2.2", verdictView{9, 100}, verdictView{1, 500}),
	}, []laneView{{trafficView: trafficView{Out: verdictView{1, 100}, In: verdictView{7, 700}}}})
	for _, want := range []string{
		"traffic: 192.0.2.3 192.0.2.2 192.0.2.4", "out: 192.0.2.4 192.0.2.3 192.0.2.2", "in: 192.0.2.2 192.0.2.3 192.0.2.4",
		"frames: 192.0.2.2 192.0.2.3 192.0.2.4", "name: 192.0.2.2 192.0.2.3 192.0.2.4",
	} {
		if got := topSorts[m.sort].name + ": " + strings.Join(names(m), " "); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		m = after(m, key("s"))
	}
	if got := m.vteps()[2]; got.in != (rate{1, 500}) || got.out != (rate{9, 100}) || got.total != 10 {
		t.Errorf("got %+v", got)
	}
	if got := m.lanes()[0]; got.in != (rate{7, 700}) || got.out != (rate{1, 100}) || got.total != 8 {
		t.Errorf("got %+v", got)
	}
	// The next look is compared with this one, each side with itself.
	next := m.now
	next.at = next.at.Add(time.Second)
	m = after(m, next)
	for _, r := range append(m.vteps(), m.lanes()...) {
		if r.in != (rate{}) || r.out != (rate{}) {
			t.Errorf("nothing passed: got %+v", r)
		}
	}
}

func TestTopFitsEveryTerminal(t *testing.T) {
	for _, size := range []tea.WindowSizeMsg{{Width: 200, Height: 60}, {Width: 80, Height: 10}, {Width: 20, Height: 7}, {Width: 3, Height: 2}, {Width: 1, Height: 1}, {}} {
		lines := plainScreen(after(busyTop(), size))
		if len(lines) > max(1, size.Height) {
			t.Errorf("%v: got %d lines", size, len(lines))
		}
		if last := lines[len(lines)-1]; size.Height > 4 && !strings.HasPrefix(topKeys, last[:min(len(last), len(topKeys))]) {
			t.Errorf("%v: the last line is %q, want the keys", size, last)
		}
		for _, l := range lines {
			if n := utf8.RuneCountInString(l); n > size.Width {
				t.Errorf("%v: got %d columns in %q", size, n, l)
			}
		}
	}
}

// names are the names of the first section's rows.
func names(m topModel) (out []string) {
	for _, r := range m.chosen(m.vteps()) {
		out = append(out, r.name)
	}
	return out
}

func TestTopSortsFiltersAndPauses(t *testing.T) {
	m := busyTop()
	for _, c := range []struct {
		keys string
		want string
	}{
		{"", "192.0.2.2 192.0.2.3"},
		{"r", "192.0.2.3 192.0.2.2"},
		{"s s s s", "192.0.2.2 192.0.2.3"},
		{"s s s s r", "192.0.2.3 192.0.2.2"},
		{"s s s s s", "192.0.2.2 192.0.2.3"},
		{"/ . 3 enter", "192.0.2.3"},
		{"/ q enter", ""},
		{"/ . 3 4 backspace enter", "192.0.2.3"},
		{"/ backspace . 3", "192.0.2.3"},
		{"/ . 3 esc", "192.0.2.2 192.0.2.3"},
		{"/ . 3 enter esc", "192.0.2.2 192.0.2.3"},
	} {
		var msgs []tea.Msg
		for _, k := range strings.Fields(c.keys) {
			msgs = append(msgs, key(k))
		}
		if got := strings.Join(names(after(m, msgs...)), " "); got != c.want {
			t.Errorf("keys %q: got %q, want %q", c.keys, got, c.want)
		}
	}
	asked := 0
	m.ask = func() tea.Msg { asked++; return topLook(4, 0, 0, 0) }
	if _, cmd := m.Update(topTick{}); cmd == nil || cmd() == nil || asked != 1 {
		t.Errorf("a tick asked %d times, want once", asked)
	}
	paused := after(m, key("p"))
	paused.interval = time.Nanosecond
	if _, cmd := paused.Update(topTick{}); cmd == nil || cmd() != (topTick{}) || asked != 1 {
		t.Error("a paused one looks at the agent, or stops for ever")
	}
	if foot := plainScreen(paused)[17]; !strings.Contains(foot, "[paused]") {
		t.Errorf("foot: got %q", foot)
	}
	if _, cmd := m.Update(key("q")); cmd == nil {
		t.Error("q does nothing")
	} else if _, quit := cmd().(tea.QuitMsg); !quit {
		t.Error("q does not quit")
	}
}

func TestTopFindsNamesHoweverTheyAreTyped(t *testing.T) {
	m := busyTop()
	m.filter = "sPOOF"
	if got := m.chosen(m.verdicts()); len(got) != 1 || got[0].name != "DropSpoofed" {
		t.Errorf("got %+v", got)
	}
}

func TestTopOutlivesItsAgent(t *testing.T) {
	m := after(busyTop(), topReading{err: errors.New("no agent at x")})
	s := plainScreen(m)
	if foot := s[len(s)-1]; !strings.HasPrefix(foot, "the agent does not answer: no agent at x") {
		t.Errorf("foot: got %q", foot)
	}
	// One that was started anew counts from zero.
	m = after(m, topLook(9, 1, 1, 0))
	if tot := m.totals(); tot.out.Frames != 0 {
		t.Errorf("got %v frames a second out", tot.out.Frames)
	}
	if m = after(m, topLook(10, 11, 1, 0)); m.totals().out.Frames != 10 || m.err != nil {
		t.Errorf("got %v frames a second out and %v", m.totals().out.Frames, m.err)
	}
}

func TestASparklineIsAsHighAsTheHighest(t *testing.T) {
	for _, c := range []struct {
		values []float64
		width  int
		want   string
	}{{nil, 10, ""}, {[]float64{0, 0}, 10, "▁▁"}, {[]float64{0, 1, 2, 4, 8}, 10, "▁▂▃▅█"}, {[]float64{9, 1, 2}, 2, "▅█"}, {[]float64{1}, 0, ""}} {
		if got := sparkline(c.values, c.width); got != c.want {
			t.Errorf("%v in %d columns: got %q, want %q", c.values, c.width, got, c.want)
		}
	}
}

func TestTopAddsUpTheNetworksOfAnAgent(t *testing.T) {
	a, b := topLook(0, 10, 20, 1).stats, topLook(0, 5, 0, 2).stats
	b.Lanes = append(b.Lanes, laneView{Dropped: 4})
	got := sumOf([]statsView{a, b})
	if f := got.Verdicts["Forward"]; f.Frames != 35 || f.Bytes != 3500 || got.Verdicts["DropSpoofed"].Frames != 3 {
		t.Errorf("verdicts: got %v", got.Verdicts)
	}
	if len(got.VTEPs) != 2 || got.VTEPs[0].Out.Frames != 15 || got.VTEPs[1].Out.Frames != 20 {
		t.Errorf("VTEPs: got %v", got.VTEPs)
	}
	if len(got.Lanes) != 2 || got.Lanes[0].Out.Frames != 35 || got.Lanes[0].Dropped != 3 || got.Lanes[1].Dropped != 4 {
		t.Errorf("lanes: got %v", got.Lanes)
	}
	if sumOf([]statsView{a}).TAP != "uvtep.1" || a.Verdicts["Forward"].Frames != 30 {
		t.Error("the only network is not as it was")
	}
}
