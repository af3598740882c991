package main

import (
	"encoding/json"
	"math"
	"time"
)

// probeResult is what a probe of one peer found.
type probeResult struct {
	Peer    peerView `json:"peer"`
	Size    int      `json:"size"`
	VXLAN   tried    `json:"vxlan"`
	UDP     tried    `json:"udp"`
	Overlay tried    `json:"overlay"`
	Host    tried    `json:"host"`
	MTU     *mtuView `json:"mtu,omitempty"`
	// OK says that nothing is wrong; Diagnosis says what is, in a sentence.
	OK        bool     `json:"ok"`
	Diagnosis string   `json:"diagnosis"`
	Notes     []string `json:"notes,omitempty"`
}

// add takes in a round.
func (r *probeResult) add(v *roundView) {
	r.VXLAN.add(v.VXLAN)
	r.UDP.add(v.UDP)
	r.Overlay.add(v.Overlay)
	r.Host.add(v.Host)
}

// through reports whether anything gets through the overlay, so that it makes sense
// to ask how much.
func (r *probeResult) through() bool {
	if r.VXLAN.Sent > 0 {
		return r.VXLAN.Got > 0
	}
	return r.Overlay.Got > 0
}

// tried is the statistics of one kind of echo. The zero tried was not tried.
type tried struct {
	Sent, Got int
	Arrived   int    // of the lost, those that got to the peer
	Error     string // why one was not sent
	min, max  time.Duration
	sum, sum2 float64 // of times in nanoseconds, and of their squares
}

func (t *tried) add(v *echoView) {
	if v == nil {
		return
	}
	t.Sent++
	if v.Error != "" {
		t.Error = v.Error
	}
	if v.Arrived != nil && *v.Arrived {
		t.Arrived++
	}
	if !v.ok() {
		return
	}
	rtt := v.rtt()
	if t.Got++; t.Got == 1 || rtt < t.min {
		t.min = rtt
	}
	t.max = max(t.max, rtt)
	t.sum += float64(rtt)
	t.sum2 += float64(rtt) * float64(rtt)
}

func (t *tried) lost() int { return t.Sent - t.Got }

// all and none are of what was sent: neither when nothing was.
func (t *tried) all() bool  { return t.Sent > 0 && t.Got == t.Sent }
func (t *tried) none() bool { return t.Sent > 0 && t.Got == 0 }

func (t *tried) avg() time.Duration { return time.Duration(t.sum / float64(max(t.Got, 1))) }

// mdev is how far the times are spread, as ping has it: their standard deviation.
func (t *tried) mdev() time.Duration {
	n := float64(max(t.Got, 1))
	return time.Duration(math.Sqrt(max(t.sum2/n-(t.sum/n)*(t.sum/n), 0)))
}

// MarshalJSON writes null for what was not tried, and times in milliseconds.
func (t tried) MarshalJSON() ([]byte, error) {
	if t.Sent == 0 {
		return []byte("null"), nil
	}
	type rtt struct {
		Min  float64 `json:"min_ms"`
		Avg  float64 `json:"avg_ms"`
		Max  float64 `json:"max_ms"`
		Mdev float64 `json:"mdev_ms"`
	}
	out := struct {
		Sent    int     `json:"sent"`
		Got     int     `json:"received"`
		Loss    float64 `json:"loss_percent"`
		Arrived int     `json:"lost_on_the_way_back,omitempty"`
		RTT     *rtt    `json:"rtt,omitempty"`
		Error   string  `json:"error,omitempty"`
	}{t.Sent, t.Got, t.loss(), t.Arrived, nil, t.Error}
	if t.Got > 0 {
		out.RTT = &rtt{millis(t.min), millis(t.avg()), millis(t.max), millis(t.mdev())}
	}
	return json.Marshal(out)
}

func (t *tried) loss() float64 { return 100 * float64(t.lost()) / float64(max(t.Sent, 1)) }

// millis is a time in milliseconds, to the microsecond.
func millis(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}
