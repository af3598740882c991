package main

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"
	"strings"
	"time"

	vswitch "github.com/uvtep/uvtep/switch"
)

//go:embed http_page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// pageView is what the status page shows: what `uvtep status` tells, and counters.
type pageView struct {
	statusView
	Sick, Unready string // what is wrong; empty: nothing
	Up            string
	EtcdText      string
	Answered      string
	Drops         string
	Networks      []pageNetwork
}

type pageNetwork struct {
	networkStatus
	Tenure, PeerText string
	Sizes            string // of the tables
	Verdicts         []pageVerdicts
}

// pageVerdicts are the verdicts of one direction that there were.
type pageVerdicts struct {
	Name string
	Rows []pageVerdict
}

type pageVerdict struct {
	Name          string
	Frames, Bytes uint64
}

// page serves the status page.
func (w *web) page(rw http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, w.pageView(time.Now())); err != nil {
		http.Error(rw, "the page cannot be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	rw.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = rw.Write(b.Bytes())
}

func (w *web) pageView(now time.Time) pageView {
	v := pageView{statusView: statusView{Version: version}}
	if err := w.sick(); err != nil {
		v.Sick = err.Error()
	}
	if err := w.unready(); err != nil {
		v.Unready = err.Error()
	}
	var all statusView
	for i, p := range w.planes() {
		s := p.status()
		if v.add(s); i == 0 {
			all = s
		} else {
			all.join(s)
		}
		v.Networks[i].count(p.read().stats)
	}
	if len(v.Networks) > 0 {
		v.fill(all, now)
	}
	return v
}

// fill makes the page of a status.
func (v *pageView) fill(s statusView, now time.Time) {
	v.statusView, v.Up, v.EtcdText, v.Answered, v.Drops = s, roughly(now.Sub(s.Since)), s.Etcd.state(), count(s.Rates.Answered)+"/s", s.Rates.drops()
}

// add adds the networks of a status.
func (v *pageView) add(s statusView) {
	for i := range s.Networks {
		n := pageNetwork{networkStatus: s.Networks[i]}
		n.Tenure, n.PeerText = n.tenure(), plural(n.PeerCount, "peer")
		n.Sizes = strings.Join([]string{plural(n.Stations, "station"), plural(n.Bindings, "binding"), plural(n.Routes, "route")}, ", ")
		v.Networks = append(v.Networks, n)
	}
}

// count fills in the counters.
func (n *pageNetwork) count(s vswitch.Stats) {
	n.Verdicts = []pageVerdicts{{Name: "From the TAP"}, {Name: "From the underlay"}}
	for _, x := range vswitch.Verdicts() {
		d := &n.Verdicts[0]
		if x.Inbound() {
			d = &n.Verdicts[1]
		}
		if s.Frames[x] > 0 {
			d.Rows = append(d.Rows, pageVerdict{x.String(), s.Frames[x], s.Bytes[x]})
		}
	}
}
