package main

import (
	"bytes"
	"image/color"
	"os"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// chart is one picture: for each path a panel, in it for each row a group of bars,
// one a condition, as high as uvtep's ratio to the kernel.
type chart struct {
	name, title string
	rows        []row
}

var chartList = []chart{
	{"throughput", "Throughput, uvtep ÷ kernel: more is better", rows[:5]},
	{"latency", "Round trip time, uvtep ÷ kernel: less is better", rows[5:9]},
	{"cpu", "Processor time a GB, uvtep ÷ kernel: less is better", rows[9:]},
}

const (
	width       = 24 * vg.Centimeter
	legendWidth = 3 * vg.Centimeter
	panelHeight = 7 * vg.Centimeter
	gap         = 6 * vg.Millimeter
)

// palette has a colour for each condition; they differ in grey too.
var palette = []color.Color{
	color.RGBA{0x1b, 0x4f, 0x8a, 0xff},
	color.RGBA{0x5b, 0xa3, 0xd9, 0xff},
	color.RGBA{0xc4, 0xd9, 0xea, 0xff},
}

// write draws the chart into an SVG file.
func (c chart) write(r results, file string) error {
	panels := make([][]*plot.Plot, len(paths))
	highest := 1.0
	for i, path := range paths {
		p := c.panel(r, path)
		panels[i] = []*plot.Plot{p}
		highest = max(highest, p.Y.Max)
	}
	for _, p := range panels {
		p[0].Y.Min, p[0].Y.Max = 0, 1.08*highest // the same for all, from zero, with room for figures
	}
	svg := vgsvg.New(width, vg.Length(len(panels))*panelHeight)
	all := draw.New(svg)
	all.FillPolygon(color.White, corners(all.Min, all.Max)) // a page may be dark
	all = draw.Crop(all, gap/2, -gap/2, gap/2, -gap/2)
	tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadY: gap}
	for i, row := range plot.Align(panels, tiles, draw.Crop(all, 0, -legendWidth, 0, 0)) {
		panels[i][0].Draw(row[0])
	}
	legend().Draw(draw.Crop(all, width-gap-legendWidth, 0, 0, -gap))
	return save(svg, file)
}

func corners(low, high vg.Point) []vg.Point {
	return []vg.Point{low, {X: low.X, Y: high.Y}, high, {X: high.X, Y: low.Y}}
}

// save writes the picture, with fonts to fall back to: a reader's machine need not
// have the one that it was measured with.
func save(svg *vgsvg.Canvas, file string) error {
	var b bytes.Buffer
	if _, err := svg.WriteTo(&b); err != nil {
		return err
	}
	own := []byte("font-family:Liberation Sans")
	text := bytes.ReplaceAll(b.Bytes(), own, append(own, ",Arial,Helvetica,sans-serif"...))
	return os.WriteFile(file, text, 0o644)
}

// panel is the plot of one path.
func (c chart) panel(r results, path string) *plot.Plot {
	p := plot.New()
	p.Title.Text = c.title + " (between " + path + ")"
	p.Title.Padding = 4
	p.Y.Tick.Marker = plot.TickerFunc(ticks)
	for _, s := range []*draw.TextStyle{&p.Title.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		s.Font.Variant = sans
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color = nil
	p.Add(grid)
	var names []string
	for _, w := range c.rows {
		names = append(names, w.label)
	}
	var all []bars
	for i, condition := range conditions {
		b := bars{number: i, color: palette[i]}
		for _, w := range c.rows {
			b.spreads = append(b.spreads, r.of("ratio", condition, path, w))
		}
		p.Add(b)
		all = append(all, b)
	}
	p.Add(even(len(c.rows)))
	for _, b := range all {
		p.Add(figures(b))
	}
	p.NominalX(names...)
	return p
}

// sans is the font's variant: figures are easier to read without serifs.
const sans font.Variant = "Sans"

// even is the line at the kernel's own figure.
func even(groups int) *plotter.Line {
	return &plotter.Line{
		XYs:       plotter.XYs{{X: -0.5, Y: 1}, {X: float64(groups) - 0.5, Y: 1}},
		LineStyle: draw.LineStyle{Color: color.RGBA{0xc0, 0x30, 0x20, 0xff}, Width: vg.Points(1)},
	}
}

// legend explains the colours of all panels.
func legend() *plot.Legend {
	l := plot.NewLegend()
	l.Top, l.Left = true, true
	l.Padding, l.ThumbnailWidth = 3, 12
	l.TextStyle.Font.Variant, l.TextStyle.Font.Size = sans, 10
	for i, condition := range conditions {
		l.Add(condition, bars{color: palette[i]})
	}
	l.Add("the kernel", even(0))
	return &l
}

// ticks are marks at round numbers from zero on, eight at most.
func ticks(_, highest float64) (marks []plot.Tick) {
	step := 0.25
	for _, s := range []float64{0.5, 1, 2, 5, 10, 20, 50, 100} {
		if highest/step > 8 {
			step = s
		}
	}
	for v := 0.0; v <= highest; v += step {
		marks = append(marks, plot.Tick{Value: v, Label: strconv.FormatFloat(v, 'g', -1, 64)})
	}
	return marks
}
