package main

import (
	"fmt"
	"image/color"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// lines is a picture of how figures grow: with the endpoints in a network, or with
// the agents on one etcd.
type lines struct {
	name, title  string
	axis, height string
	at           []float64
	curves       []curve
}

// curve is a result whose name depends on where it was measured.
type curve struct {
	words, name, unit string // name has a verb for the number
	times             bool   // the figure is of one of so many
}

var endpointCounts = []float64{1_000, 10_000, 100_000, 1_000_000}

var lineList = []lines{
	{"change", "A change of the tables", "endpoints", "ns", endpointCounts, []curve{
		{"a station moves", "ScaleChange/station/endpoints=%.0f", "ns/op", false},
		{"a lease moves", "ScaleChange/lease/endpoints=%.0f", "ns/op", false},
		{"a lookup among a thousand busy", "ScaleLookup/busy/endpoints=%.0f", "ns/op", false},
		{"a lookup among all", "ScaleLookup/all/endpoints=%.0f", "ns/op", false},
	}},
	{"idle", "Agents on one etcd, nothing changes", "agents", "all agents together", fleets, []curve{
		{"messages in a second", "Fleet/agents=%.0f", "idle-requests", true},
		{"bytes out a second", "Fleet/agents=%.0f", "idle-B-out", true},
		{"etcd's time, µs a second", "Fleet/agents=%.0f", "idle-cpu-µs", true},
	}},
	{"fanout", "One change told to all agents", "agents", "all agents together", fleets, []curve{
		{"bytes out", "Fleet/agents=%.0f", "change-B-out", true},
		{"etcd's time, µs", "Fleet/agents=%.0f", "change-cpu-µs", true},
	}},
}

// strokes tell curves apart, in grey too.
var strokes = []draw.LineStyle{
	{Color: palette[0], Width: vg.Points(2)},
	{Color: palette[1], Width: vg.Points(2), Dashes: []vg.Length{6, 3}},
	{Color: color.RGBA{0xc0, 0x30, 0x20, 0xff}, Width: vg.Points(2), Dashes: []vg.Length{2, 2}},
	{Color: color.RGBA{0x30, 0x80, 0x40, 0xff}, Width: vg.Points(2), Dashes: []vg.Length{8, 2, 2, 2}},
}

// write draws the picture, both axes logarithmic, into an SVG file.
func (l lines) write(s scale, file string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = l.title, l.axis, l.height
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	p.X.Tick.Marker, p.Y.Tick.Marker = plot.TickerFunc(decades), plot.TickerFunc(decades)
	for _, t := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		t.Font.Variant = sans
	}
	p.Legend.Top, p.Legend.Left = true, true
	p.Add(plotter.NewGrid())
	for i, c := range l.curves {
		points := c.points(s, l.at)
		if len(points) == 0 {
			continue
		}
		line := &plotter.Line{XYs: points, LineStyle: strokes[i]}
		p.Add(line)
		p.Legend.Add(c.words, line)
	}
	if p.X.Min >= p.X.Max || p.Y.Min <= 0 {
		return fmt.Errorf("%s: too little was measured", l.name)
	}
	p.Y.Max *= 10 // room for the legend
	svg := vgsvg.New(width, 2*panelHeight)
	all := draw.New(svg)
	all.FillPolygon(color.White, corners(all.Min, all.Max))
	p.Draw(draw.Crop(all, gap/2, -gap, gap/2, -gap/2))
	return save(svg, file)
}

func (c curve) points(s scale, at []float64) (out plotter.XYs) {
	for _, x := range at {
		y, ok := s.of(fmt.Sprintf(c.name, x), c.unit)
		if c.times {
			y *= x
		}
		if ok && y > 0 {
			out = append(out, plotter.XY{X: x, Y: y})
		}
	}
	return out
}

// decades are marks at powers of ten.
func decades(low, high float64) (marks []plot.Tick) {
	for v := 1e-3; v <= 10*high; v *= 10 {
		if v >= low/10 {
			marks = append(marks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', 7, 64)})
		}
	}
	return marks
}
