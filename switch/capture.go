package vswitch

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uvtep/uvtep/encap/ether"
)

// maxCaptures bounds how many captures there are at once: each keeps some memory
// for every goroutine of the data path.
const maxCaptures = 8

// ErrCaptures says that there are as many captures as there may be.
var ErrCaptures = errors.New("too many captures at once; end another one first")

// Captures hands samples of what passes to those who want to see them. While
// nobody does, that costs a load for each batch. It outlives the switch.
type Captures struct {
	mu       sync.Mutex
	samplers []*sampler // guarded by mu: of the goroutines of the data path
	running  []*Capture // guarded by mu
}

// Capture is one who wants to see. It belongs to one goroutine.
type Capture struct {
	all    *Captures
	filter Filter
	rings  []*sampleRing // guarded by all.mu
	lost   uint64        // of rings that are gone
}

// Start begins a capture. It must be stopped.
func (c *Captures) Start(f Filter) (*Capture, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.running) == maxCaptures {
		return nil, ErrCaptures
	}
	k := &Capture{all: c, filter: f}
	c.running = append(c.running, k)
	for _, s := range c.samplers {
		k.attach(s)
	}
	return k, nil
}

// Stop ends the capture. What is left of it can still be drained.
func (k *Capture) Stop() {
	c := k.all
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running = slices.DeleteFunc(c.running, func(o *Capture) bool { return o == k })
	for _, s := range c.samplers {
		s.drop(k)
	}
}

// attach gives the capture a ring at a sampler. mu is held.
func (k *Capture) attach(s *sampler) {
	r := newSampleRing(k)
	k.rings = append(k.rings, r)
	next := append(slices.Clone(s.rings()), r)
	s.active.Store(&next)
}

// join makes the sampler of a goroutine of the data path. Nobody can capture where
// c is nil.
func (c *Captures) join() *sampler {
	s := &sampler{all: c}
	if c == nil {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.samplers = append(c.samplers, s)
	for _, k := range c.running {
		k.attach(s)
	}
	return s
}

// leave is called when the goroutine of the sampler ends.
func (s *sampler) leave() {
	c := s.all
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.samplers = slices.DeleteFunc(c.samplers, func(o *sampler) bool { return o == s })
	for _, r := range s.rings() {
		r.ended.Store(true)
	}
}

// Drain calls see with the samples taken since the last call, in the order of
// their times as far as they are known, and returns how many there were. The sample
// is see's until it returns.
func (k *Capture) Drain(see func(*Sample)) (n int) {
	k.all.mu.Lock()
	rings := slices.Clone(k.rings)
	k.all.mu.Unlock()
	for {
		r := earliest(rings)
		if r == nil {
			break
		}
		see(&r.next().Sample)
		r.release()
		n++
	}
	k.prune()
	return n
}

// earliest is the ring with the sample that was taken first, nil when all are
// empty.
func earliest(rings []*sampleRing) (first *sampleRing) {
	for _, r := range rings {
		if s := r.next(); s != nil && (first == nil || s.Time.Before(first.next().Time)) {
			first = r
		}
	}
	return first
}

// prune forgets rings that stay empty.
func (k *Capture) prune() {
	k.all.mu.Lock()
	defer k.all.mu.Unlock()
	k.rings = slices.DeleteFunc(k.rings, func(r *sampleRing) bool {
		gone := r.ended.Load() && r.next() == nil
		if gone {
			k.lost += r.lost.Load()
		}
		return gone
	})
}

// Lost is how many samples there was no room for.
func (k *Capture) Lost() uint64 {
	k.all.mu.Lock()
	defer k.all.mu.Unlock()
	n := k.lost
	for _, r := range k.rings {
		n += r.lost.Load()
	}
	return n
}

// sampler is where one goroutine of the data path takes samples.
type sampler struct {
	all    *Captures // nil: nobody ever wants samples
	active atomic.Pointer[[]*sampleRing]
	now    []*sampleRing // of the batch under way; empty: nobody wants samples
	time   time.Time     // of that batch
}

// rings are those that samples are to go to.
func (s *sampler) rings() []*sampleRing {
	if p := s.active.Load(); p != nil {
		return *p
	}
	return nil
}

// drop takes a capture's ring away. The goroutine may still write to it until its
// batch is over. The Captures' mu is held.
func (s *sampler) drop(k *Capture) {
	next := slices.DeleteFunc(slices.Clone(s.rings()), func(r *sampleRing) bool { return r.of == k })
	if len(next) == 0 {
		s.active.Store(nil)
		return
	}
	s.active.Store(&next)
}

// begin is called before a batch.
func (s *sampler) begin() {
	p := s.active.Load()
	if p == nil {
		s.now = nil
		return
	}
	s.now, s.time = *p, time.Now()
}

// wanted reports whether samples of this batch are wanted.
func (s *sampler) wanted() bool { return len(s.now) > 0 }

// take offers a sample to all who want one.
func (s *sampler) take(sample *Sample) {
	sample.Time, sample.Len = s.time, len(sample.Data)
	for _, r := range s.now {
		if r.of.filter.wants(sample) {
			r.push(sample)
		}
	}
}

// newSample begins the sample of a frame from a TAP, which is about to be dealt
// with as d says.
func (o *outbound) newSample(d Decision, f ether.Frame, t *Tables) Sample {
	s := Sample{VNI: o.net.VNI, Data: f}
	switch d.Verdict {
	case Forward:
		s.Outer, s.Peer = o.net.Outer.Datagram(f), d.VTEP.To
	case Replicate:
		s.Outer, s.VTEPs = o.net.Outer.Datagram(f), t.FDB.VTEPs(o.net.VNI).Len()
	case DropTooBig:
		if d.VTEP != nil {
			s.Peer = d.VTEP.To
		}
	}
	return s
}
