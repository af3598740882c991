package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// beatEvery is how often it is looked whether the data path's goroutines
	// live, and hangsAfter how many looks one may be in the same batch, which
	// takes milliseconds. Looks are counted and not time: an agent that was
	// stopped itself has not hung.
	beatEvery  = time.Second
	hangsAfter = 10
	// idleGrace is how long a TAP may not be served: one that is made anew, or
	// sockets that are, are not for some 50 ms.
	idleGrace = 2 * time.Second
)

// beating is what a switch tells of its goroutines: see vswitch.Switch.Beats.
type beating interface{ Beats() []uint64 }

// vitals is whether an agent lives and is ready. It is asked by others and waits
// for nothing that the agent waits for.
type vitals struct {
	planes   func() []*plane // of the networks that are served
	networks int             // that are to be
	beats    beating

	mu     sync.Mutex
	taps   map[string]service // by name; guarded by mu, as all below
	last   []uint64           // at the last look
	still  []int              // how many looks each was in one batch
	hanged string
}

// service is whether a TAP is served.
type service struct {
	begun time.Time // zero: it is not
	ended time.Time // when it was not for the last time; zero: never
	why   string
}

// begins says that a TAP is served, ends that it is not and why.
func (v *vitals) begins(tap string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.taps == nil {
		v.taps = make(map[string]service)
	}
	s := v.taps[tap]
	s.begun = time.Now()
	v.taps[tap] = s
}

// ends keeps the time of the end before if the TAP was served for less than
// idleGrace since then: one that comes and goes has not come back.
func (v *vitals) ends(tap, why string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s, now := v.taps[tap], time.Now()
	if s.ended.IsZero() || now.Sub(s.begun) >= idleGrace {
		s.ended = now
	}
	v.taps[tap] = service{ended: s.ended, why: why}
}

// watch looks after the data path until ctx ends.
func (v *vitals) watch(ctx context.Context) error {
	return every(ctx, beatEvery, v.look)
}

// look looks whether a goroutine has been in one batch all the time.
func (v *vitals) look() {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := v.beats.Beats()
	still := make([]int, len(now))
	v.hanged = ""
	for i, beat := range now {
		if len(v.last) != len(now) || beat%2 == 0 || v.last[i] != beat {
			continue // others than before, idle, or in another batch
		}
		if still[i] = v.still[i] + 1; still[i] >= hangsAfter {
			v.hanged = fmt.Sprintf("goroutine %d of the data path hangs in one batch for %s; restart the agent", i, time.Duration(still[i])*beatEvery)
		}
	}
	v.last, v.still = now, still
}

// sick says what is wrong with the data path, nil when its goroutines live, have
// not begun yet, or are begun anew: whoever restarts what is not well must not
// break off what puts itself right.
func (v *vitals) sick() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, tap := range slices.Sorted(maps.Keys(v.taps)) {
		if s := v.taps[tap]; s.begun.IsZero() && time.Since(s.ended) >= idleGrace {
			return fmt.Errorf("the data path of %s does not run: %s", tap, s.why)
		}
	}
	if v.hanged != "" {
		return errors.New(v.hanged)
	}
	return nil
}

// lost says what nothing but a new start of the agent can help: a goroutine hangs, or
// no TAP is served any more. What one of several networks lacks is no reason to take
// the others from the host.
func (v *vitals) lost() error {
	err := v.sick()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, s := range v.taps {
		if !s.begun.IsZero() && v.hanged == "" {
			return nil
		}
	}
	return err
}

// unready says what is missing before the host forwards, nil when nothing is.
// Tables of the last run will do.
func (v *vitals) unready() error {
	planes := v.planes()
	var missing []string
	if len(planes) < v.networks {
		missing = append(missing, v.unknown(v.networks-len(planes)))
	}
	for _, p := range planes {
		for _, lacks := range p.lacks() {
			missing = append(missing, p.name+": "+lacks)
		}
	}
	if len(missing) > 0 {
		return errors.New(strings.Join(missing, "; "))
	}
	return nil
}

// unknown says of how many networks there is no configuration.
func (v *vitals) unknown(n int) string {
	if v.networks == 1 {
		return "the network's configuration is not known yet"
	}
	return fmt.Sprintf("the configuration of %d of %d networks is not known yet", n, v.networks)
}

// lacks says what is missing before a network's frames are forwarded.
func (p *plane) lacks() (missing []string) {
	select {
	case <-p.place:
	default:
		missing = append(missing, "no place in the network yet: etcd has to confirm it")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dev == nil || p.renewal != nil {
		missing = append(missing, "the TAP is not open")
	}
	if p.tables == nil {
		missing = append(missing, "no tables yet")
	}
	return missing
}
