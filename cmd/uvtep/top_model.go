package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	vswitch "github.com/uvtep/uvtep/switch"
)

// topModel is what the screen of top shows, and what keys make of it. It is a
// value: Update returns the next one, and View makes text of it.
type topModel struct {
	ask      func() tea.Msg // looks at the agent
	interval time.Duration

	width, height int
	was, now      topReading // the last two looks that worked
	looks         int
	err           error     // why the last look did not work
	traffic       []float64 // bytes a second in both directions, the last at the end
	sort          int       // of topSorts
	reverse       bool
	filter        string
	typing        bool // of the filter
	paused        bool
}

// topTick says that it is time for another look.
type topTick struct{}

// topSorts are what VTEPs and verdicts can be sorted by.
var topSorts = []struct {
	name string
	key  func(topRow) float64
}{
	{"traffic", func(r topRow) float64 { return r.out.Bytes + r.in.Bytes }},
	{"out", func(r topRow) float64 { return r.out.Bytes }},
	{"in", func(r topRow) float64 { return r.in.Bytes }},
	{"frames", func(r topRow) float64 { return r.out.Frames + r.in.Frames }},
	{"name", func(topRow) float64 { return 0 }},
}

// trafficKept is how many looks the picture of the traffic shows at most.
const trafficKept = 512

func newTopModel(ask func() tea.Msg, interval time.Duration) topModel {
	return topModel{ask: ask, interval: interval, width: 80, height: 24}
}

// Init looks for the first time.
func (m topModel) Init() tea.Cmd { return m.ask }

// Update takes in a look, a key or another size of the terminal.
func (m topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case topReading:
		return m.look(msg), tea.Tick(m.interval, func(time.Time) tea.Msg { return topTick{} })
	case topTick:
		if m.paused {
			return m, tea.Tick(m.interval, func(time.Time) tea.Msg { return topTick{} })
		}
		return m, m.ask
	case tea.KeyPressMsg:
		if m.typing {
			return m.typed(msg), nil
		}
		return m.pressed(msg.String())
	}
	return m, nil
}

// look takes in a look.
func (m topModel) look(r topReading) topModel {
	if m.err = r.err; r.err != nil {
		return m
	}
	m.was, m.now = m.now, r
	if m.looks++; m.looks > 1 && r.stats.TAP != "" {
		t := m.totals()
		m.traffic = append(slices.Clone(m.traffic), t.out.Bytes+t.in.Bytes)
		m.traffic = m.traffic[max(0, len(m.traffic)-trafficKept):]
	}
	return m
}

// pressed acts on a key.
func (m topModel) pressed(key string) (tea.Model, tea.Cmd) {
	switch key {
	case "q", "ctrl+c":
		return m, tea.Quit
	case "s":
		m.sort = (m.sort + 1) % len(topSorts)
	case "r":
		m.reverse = !m.reverse
	case "p", "space":
		m.paused = !m.paused
	case "/":
		m.typing = true
	case "esc":
		m.filter = ""
	}
	return m, nil
}

// typed acts on a key while the filter is being typed.
func (m topModel) typed(k tea.KeyPressMsg) topModel {
	switch k.String() {
	case "enter":
		m.typing = false
	case "esc", "ctrl+c":
		m.typing, m.filter = false, ""
	case "backspace":
		m.filter = m.filter[:max(0, len(m.filter)-1)]
	default:
		if t := k.Text; len(t) == 1 && t > " " && t <= "~" {
			m.filter += t
		}
	}
	return m
}

// topRow is what passes a second, by VTEP, verdict or lane.
type topRow struct {
	name    string
	out, in rate
	total   uint64 // frames so far
	dropped float64
}

// per makes a rate of what was counted between the two looks.
func (m topModel) per(was, now verdictView) rate {
	s := m.now.at.Sub(m.was.at).Seconds()
	if m.looks < 2 || s <= 0 || now.Frames < was.Frames { // or the agent was restarted
		return rate{}
	}
	return rate{float64(now.Frames-was.Frames) / s, float64(now.Bytes-was.Bytes) / s}
}

// totals is all that passes.
func (m topModel) totals() topRow {
	var t topRow
	for _, r := range m.verdicts() {
		switch r.name {
		case vswitch.Forward.String(), vswitch.Replicate.String(), vswitch.Deliver.String():
			t.out = rate{t.out.Frames + r.out.Frames, t.out.Bytes + r.out.Bytes}
			t.in = rate{t.in.Frames + r.in.Frames, t.in.Bytes + r.in.Bytes}
		case vswitch.Answer.String(), vswitch.Echoed.String(): // neither traffic nor dropped
		default:
			t.dropped += r.out.Frames + r.in.Frames
		}
	}
	return t
}

// verdicts are the verdicts that there were at all.
func (m topModel) verdicts() (out []topRow) {
	for _, x := range vswitch.Verdicts() {
		now := m.now.stats.Verdicts[x.String()]
		if now.Frames == 0 {
			continue
		}
		r := topRow{name: x.String(), total: now.Frames}
		if n := m.per(m.was.stats.Verdicts[x.String()], now); x.Inbound() {
			r.in = n
		} else {
			r.out = n
		}
		out = append(out, r)
	}
	return out
}

func (m topModel) vteps() (out []topRow) {
	was := map[string]trafficView{}
	for _, v := range m.was.stats.VTEPs {
		was[v.VTEP.String()] = v.trafficView
	}
	for _, v := range m.now.stats.VTEPs {
		before := was[v.VTEP.String()]
		out = append(out, topRow{
			name: v.VTEP.String(), out: m.per(before.Out, v.Out), in: m.per(before.In, v.In), total: v.Out.Frames + v.In.Frames,
		})
	}
	return out
}

func (m topModel) lanes() (out []topRow) {
	for i, l := range m.now.stats.Lanes {
		var before laneView
		if i < len(m.was.stats.Lanes) {
			before = m.was.stats.Lanes[i]
		}
		dropped := m.per(verdictView{Frames: before.Dropped}, verdictView{Frames: l.Dropped})
		out = append(out, topRow{
			name: "lane " + strconv.Itoa(i), out: m.per(before.Out, l.Out), in: m.per(before.In, l.In),
			total: l.Out.Frames + l.In.Frames, dropped: dropped.Frames,
		})
	}
	return out
}

// chosen are the rows that the filter leaves, sorted.
func (m topModel) chosen(rows []topRow) []topRow {
	rows = slices.DeleteFunc(rows, func(r topRow) bool {
		return !strings.Contains(strings.ToLower(r.name), strings.ToLower(m.filter))
	})
	by := topSorts[m.sort]
	slices.SortStableFunc(rows, func(a, b topRow) int {
		order := cmp.Compare(by.key(b), by.key(a))
		if by.name == "name" {
			order = cmp.Compare(a.name, b.name)
		}
		if m.reverse {
			return -order
		}
		return order
	})
	return rows
}
