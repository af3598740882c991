package main

import (
	"context"
	"sync"
	"time"

	"github.com/uvtep/uvtep/encap/underlay"
	vswitch "github.com/uvtep/uvtep/switch"
)

const (
	// sampleEvery is how often an agent reads its counters for rates, and
	// samplesKept how many readings it keeps: rates are of the last seconds.
	sampleEvery = time.Second
	samplesKept = 6
)

// sample is all counters at a moment.
type sample struct {
	at    time.Time
	stats vswitch.Stats
	under underlay.Stats
}

// samples are the last readings of a plane's counters.
type samples struct {
	began time.Time // the plane was made

	sampleMu sync.Mutex
	kept     []sample // guarded by sampleMu; the oldest first
}

// sample reads the counters now and then until ctx ends.
func (p *plane) sample(ctx context.Context) error {
	read := func() { p.samples.add(p.read()) }
	read()
	return every(ctx, sampleEvery, read)
}

func (p *plane) read() sample {
	all := p.totals.Stats()
	if p.member == p.members[0] { // what is no network's is told of once
		all.Add(p.trunk.totals.Stats())
	}
	return sample{time.Now(), all, p.trunk.bundle().Stats()}
}

func (s *samples) add(r sample) {
	s.sampleMu.Lock()
	defer s.sampleMu.Unlock()
	if s.kept = append(s.kept, r); len(s.kept) > samplesKept {
		s.kept = append(s.kept[:0], s.kept[len(s.kept)-samplesKept:]...)
	}
}

// since returns the oldest sample that is kept, and now if there is none.
func (s *samples) oldest(now sample) sample {
	s.sampleMu.Lock()
	defer s.sampleMu.Unlock()
	if len(s.kept) == 0 {
		return now
	}
	return s.kept[0]
}

// rate is what came by a second.
type rate struct {
	Frames float64 `json:"frames_per_second"`
	Bytes  float64 `json:"bytes_per_second"` // of inner frames
}

// ratesView are the rates of the last seconds.
type ratesView struct {
	Seconds  float64         `json:"seconds"` // that they are of
	Out      rate            `json:"out"`     // from the TAP into the tunnel
	In       rate            `json:"in"`      // from the tunnel into the TAP
	Answered float64         `json:"answered_per_second"`
	Dropped  float64         `json:"dropped_per_second"`
	Drops    map[string]rate `json:"drops,omitempty"` // by verdict, those that there are
}

// rates compares two readings. A second at least lies between what is divided, so
// that the first frames of an agent are not taken for a flood.
func rates(was, now sample) ratesView {
	v := ratesView{Seconds: now.at.Sub(was.at).Seconds()}
	per := max(v.Seconds, 1)
	of := func(x vswitch.Verdict) rate {
		return rate{float64(now.stats.Frames[x]-was.stats.Frames[x]) / per, float64(now.stats.Bytes[x]-was.stats.Bytes[x]) / per}
	}
	for _, x := range vswitch.Verdicts() {
		switch r := of(x); {
		case x == vswitch.Forward, x == vswitch.Replicate:
			v.Out = rate{v.Out.Frames + r.Frames, v.Out.Bytes + r.Bytes}
		case x == vswitch.Deliver:
			v.In = r
		case x == vswitch.Answer:
			v.Answered = r.Frames
		case x == vswitch.Echoed: // a probe's: neither traffic nor dropped
		case r.Frames > 0:
			if v.Drops == nil {
				v.Drops = map[string]rate{}
			}
			v.Drops[x.String()] = r
			v.Dropped += r.Frames
		}
	}
	return v
}

// add adds what another network of the same agent had.
func (v *ratesView) add(o ratesView) {
	sum := func(a, b rate) rate { return rate{a.Frames + b.Frames, a.Bytes + b.Bytes} }
	v.Seconds = max(v.Seconds, o.Seconds)
	v.Out, v.In = sum(v.Out, o.Out), sum(v.In, o.In)
	v.Answered, v.Dropped = v.Answered+o.Answered, v.Dropped+o.Dropped
	for x, r := range o.Drops {
		if v.Drops == nil {
			v.Drops = map[string]rate{}
		}
		v.Drops[x] = sum(v.Drops[x], r)
	}
}
