package main

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// barShare is how much of a group's room one bar takes; the rest parts the groups.
const barShare = 0.27

// bars are the bars of one condition, one a group, as high as the median. It is a
// plot.Plotter.
type bars struct {
	number  int // among the bars of a group
	color   color.Color
	spreads []spread // by group; nothing is drawn where there are no rounds
}

// Plot draws the bars.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	for group, s := range b.spreads {
		x := b.middle(group)
		c.FillPolygon(b.color, corners(
			vg.Point{X: toX(x - barShare/2), Y: toY(0)}, vg.Point{X: toX(x + barShare/2), Y: toY(s.median)}))
	}
}

// middle is where the bar of a group stands; groups stand at 0, 1, 2, …
func (b bars) middle(group int) float64 {
	return float64(group) + (float64(b.number)-float64(len(conditions)-1)/2)*barShare
}

// DataRange makes room for all groups, and from zero to the highest round.
func (b bars) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, s := range b.spreads {
		ymax = max(ymax, s.max)
	}
	return -0.5, float64(len(b.spreads)) - 0.5, 0, ymax
}

// Thumbnail is what the legend shows.
func (b bars) Thumbnail(c *draw.Canvas) { c.FillPolygon(b.color, corners(c.Min, c.Max)) }

// figures are drawn over bars: a line from the lowest to the highest round, and the
// median in digits.
type figures bars

// Plot draws them.
func (f figures) Plot(c draw.Canvas, p *plot.Plot) {
	toX, toY := p.Transforms(&c)
	thin := draw.LineStyle{Color: color.Black, Width: vg.Points(0.7)}
	digits := p.X.Tick.Label
	digits.Font.Size, digits.XAlign, digits.YAlign = 8, draw.XCenter, draw.YBottom
	for group, s := range f.spreads {
		if s.rounds == 0 {
			continue
		}
		x, low, high := toX(bars(f).middle(group)), toY(s.min), toY(s.max)
		c.StrokeLine2(thin, x, low, x, high)
		c.StrokeLine2(thin, x-3, low, x+3, low)
		c.StrokeLine2(thin, x-3, high, x+3, high)
		text, at := fmt.Sprintf("%.2f", s.median), vg.Point{X: x, Y: high + 2}
		box := digits.Rectangle(text).Add(at)
		c.FillPolygon(color.White, corners(box.Min, box.Max)) // nothing runs through the digits
		c.FillText(digits, at, text)
	}
}
