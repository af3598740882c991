package etcdsync

import (
	"context"
	"slices"
	"sync"
	"time"
)

// publisher hands tables to whoever wants them, in order and one at a time. If
// that takes long, tables that nobody has seen are replaced by later ones, so
// that following etcd never waits.
type publisher struct {
	publish func(*Tables)
	wake    chan struct{}

	mu   sync.Mutex
	next *Tables // guarded by mu
}

func newPublisher(publish func(*Tables)) *publisher {
	return &publisher{publish: publish, wake: make(chan struct{}, 1)}
}

// put hands over the next tables. What changed with those that they replace
// has changed with them.
func (p *publisher) put(t *Tables) {
	p.mu.Lock()
	if p.next != nil {
		t.Changed = mergeChanges(p.next.Changed, t.Changed)
		if !p.next.Since.IsZero() {
			t.Since = p.next.Since
		}
	}
	p.next = t
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run publishes until ctx ends.
func (p *publisher) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
			if t := p.take(); t != nil {
				p.publish(t)
			}
		}
	}
}

// take returns the next tables, nil when they were taken already: one wake-up
// may stand for several tables, and come a moment before the last of them.
func (p *publisher) take() *Tables {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.next
	p.next = nil
	return t
}

// mergeChanges returns what changed in two steps, the later one counting.
func mergeChanges(first, second []Change) []Change {
	out := slices.Concat(second, first)
	slices.SortStableFunc(out, Change.compare)
	return slices.CompactFunc(out, func(a, b Change) bool { return a.Key == b.Key })
}

// timer is a time.Timer that knows whether it runs.
type timer struct {
	*time.Timer
	running bool
}

func newTimer() *timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &timer{Timer: t}
}

func (t *timer) start(d time.Duration) { t.Reset(d); t.running = true }
func (t *timer) stop()                 { t.Stop(); t.running = false }
