package etcdsync

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// Waiting begins short, since most trouble is over at once, and ends long
	// enough that a thousand hosts do not keep an ailing etcd down.
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
	// jitter spreads what many hosts do at the same time.
	jitter = 0.2
	// calm is how long things must have gone well for the next trouble to
	// count as new.
	calm = 10 * time.Second
	// patience is after how many failures in a row the connection is made
	// anew.
	patience = 3
	// slowFailures is after how many failures the wait is more than a second.
	slowFailures = 4
)

// pacer paces what is tried again and again.
type pacer struct {
	failures int
	began    time.Time
}

// begin is called when an attempt begins.
func (p *pacer) begin() { p.began = time.Now() }

// wait waits before the next attempt: longer each time, unless the last one
// went well for a while. It is false when ctx ended.
func (p *pacer) wait(ctx context.Context) bool {
	if time.Since(p.began) > calm {
		p.failures = 0
	}
	d := min(minBackoff<<min(p.failures, 10), maxBackoff)
	p.failures++
	return pause(ctx, jittered(d))
}

// slow makes the next wait a second at least: somebody is at the same key.
func (p *pacer) slow() { p.failures = max(p.failures, slowFailures) }

// worn reports whether it is time for a new connection.
func (p *pacer) worn() bool { return p.failures > 0 && p.failures%patience == 0 }

// jittered returns d, more or less.
func jittered(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 - jitter + 2*jitter*rand.Float64()))
}

// pause waits, and is false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
