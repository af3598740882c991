package main

import (
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// View is the screen: never wider or longer than the terminal.
func (m topModel) View() tea.View {
	v := tea.NewView(strings.Join(m.screen(), "\n"))
	v.AltScreen = true
	return v
}

const topKeys = "q quit  p pause  s sort  r reverse  / filter"

// screen are the lines of the screen.
func (m topModel) screen() []string {
	head := m.head()
	room := max(0, m.height-len(head)-1)
	var body []string
	for _, s := range m.sections() {
		rows := s.rows
		if len(body)+1+len(rows) > room { // as much of it as there is room for, and its heading
			rows = rows[:max(0, min(len(rows), room-len(body)-1))]
		}
		if len(rows) > 0 {
			body = append(append(body, bold(m.cut(s.head))), rows...)
		}
	}
	for len(body) < room {
		body = append(body, "")
	}
	lines := append(append(head, body...), m.cut(m.foot()))
	return lines[:min(len(lines), max(1, m.height))]
}

// head tells of the agent as a whole.
func (m topModel) head() []string {
	s := m.now.status
	title := fmt.Sprintf("uvtep %s  up %s", s.Version, roughly(m.now.at.Sub(s.Since)))
	if m.looks == 0 {
		title = "uvtep: waiting for the agent"
	}
	for i := range s.Networks {
		n := &s.Networks[i]
		title += fmt.Sprintf("  %s %s", n.Ifname, some(n.Subnet, n.Subnet6))
	}
	lag := "etcd not heard yet"
	if e := s.Etcd; e.LagSeconds != nil {
		lag = fmt.Sprintf("etcd revision %d, lag %.1fs", e.Revision, *e.LagSeconds)
		if !e.Connected {
			lag += ", AWAY"
		}
	}
	t := m.totals()
	return []string{
		bold(m.cut(title)),
		m.cut(fmt.Sprintf("%s, %s", lag, plural(len(s.Warnings), "warning"))),
		m.cut(fmt.Sprintf("out %s   in %s   dropped %s/s", t.out, t.in, count(t.dropped))),
		m.cut(sparkline(m.traffic, m.width)),
	}
}

// foot is the line at the end: the keys, or what is being typed.
func (m topModel) foot() string {
	switch {
	case m.typing:
		return "filter: " + m.filter + "_  (enter keeps it, esc drops it)"
	case m.err != nil:
		return "the agent does not answer: " + m.err.Error()
	}
	s := topKeys + "  [by " + topSorts[m.sort].name
	if m.reverse {
		s += ", reversed"
	}
	s += "]"
	if m.filter != "" {
		s += " [filter " + m.filter + ", esc drops it]"
	}
	if m.paused {
		s += " [paused]"
	}
	return s
}

// section is a part of the screen.
type section struct {
	head string
	rows []string
}

const topRowFormat = "%-24s %9s %9s %9s %9s %12s"

func (m topModel) sections() []section {
	vteps, verdicts, lanes := m.chosen(m.vteps()), m.chosen(m.verdicts()), m.lanes()
	heading := func(name, last string) string {
		return fmt.Sprintf(topRowFormat, name, "FRAMES/S", "BYTES/S", "FRAMES/S", "BYTES/S", last)
	}
	all := []section{
		{heading("VTEP (out, in)", "FRAMES"), nil},
		{heading("VERDICT (out, in)", "FRAMES"), nil},
		{heading("LANE (out, in)", "DROPPED/S"), nil},
	}
	// VTEPs leave room for the others, of which there are few.
	most := max(3, m.height-6-len(verdicts)-len(lanes)-4)
	for _, r := range vteps[:min(len(vteps), most)] {
		all[0].rows = append(all[0].rows, m.line(r, fmt.Sprint(r.total)))
	}
	for _, r := range verdicts {
		line := m.line(r, fmt.Sprint(r.total))
		if strings.HasPrefix(r.name, "Drop") && r.out.Frames+r.in.Frames > 0 {
			line = red(line)
		}
		all[1].rows = append(all[1].rows, line)
	}
	for _, r := range lanes {
		all[2].rows = append(all[2].rows, m.line(r, count(r.dropped)))
	}
	return all
}

func (m topModel) line(r topRow, last string) string {
	return m.cut(fmt.Sprintf(topRowFormat, r.name, count(r.out.Frames), count(r.out.Bytes), count(r.in.Frames), count(r.in.Bytes), last))
}

// cut makes a line no longer than the terminal is wide.
func (m topModel) cut(s string) string {
	if r := []rune(s); len(r) > m.width {
		return string(r[:max(0, m.width)])
	}
	return s
}

// The terminal's library leaves out what NO_COLOR or the terminal forbids.
func bold(s string) string { return "\x1b[1m" + s + "\x1b[m" }
func red(s string) string  { return "\x1b[31m" + s + "\x1b[m" }

var bars = []rune("▁▂▃▄▅▆▇█")

// sparkline draws the last values, the highest as a full bar.
func sparkline(values []float64, width int) string {
	values = values[max(0, len(values)-max(0, width)):]
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	out := make([]rune, len(values))
	for i, v := range values {
		out[i] = bars[0]
		if top > 0 {
			out[i] = bars[min(len(bars)-1, int(v/top*float64(len(bars))))]
		}
	}
	return string(out)
}
