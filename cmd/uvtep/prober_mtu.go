package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/echo"
)

const (
	// tryCopies is how many echoes of one size are sent: a size passes when one of
	// them is answered, so that a path which loses some is not narrow.
	tryCopies = 3
	// leastTry and mostTry are how long they are waited for.
	leastTry, mostTry = 100 * time.Millisecond, time.Second
	// maxSearch bounds all of it.
	maxSearch = 8 * time.Second
)

// mtuRequest asks how large datagrams to a peer and back may be.
type mtuRequest struct {
	Peer peerView `json:"peer"`
}

// mtuView is how large, in bytes of outer IP.
type mtuView struct {
	// Route is what this host's kernel takes for the path's MTU.
	Route int `json:"route"`
	// Need is what a datagram with a packet of the TAP's MTU has, or as much of it
	// as this host sends.
	Need int `json:"need"`
	// There and Back are what gets to the peer and back; 0: it was not found out.
	There int `json:"there"`
	Back  int `json:"back"`
	// Error is why not.
	Error string `json:"error,omitempty"`
}

// pathMTU finds out how large datagrams may be, by trying.
func (p *plane) pathMTU(ctx context.Context, r mtuRequest) (any, error) {
	x, err := p.target(&r.Peer)
	if err != nil {
		return nil, err
	}
	overhead := encap.Overhead(x.vtep.To.Addr().Is6(), 0)
	home := p.trunk.where()
	p.mu.Lock()
	v := mtuView{Need: min(p.link.MTU+overhead, home.MTU)}
	p.mu.Unlock()
	if v.Route, err = p.trunk.pathMTU(x.vtep.To.Addr()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, maxSearch)
	defer cancel()
	v.find(ctx, p.search(&x, min(v.Route-overhead, mostEchoSize)), overhead)
	return v, nil
}

// find fills in what a search finds.
func (v *mtuView) find(ctx context.Context, s *search, overhead int) {
	there, back, err := s.both(ctx)
	if err != nil {
		v.Error = err.Error()
	}
	if there > 0 {
		v.There = there + overhead
	}
	if back > 0 {
		v.Back = back + overhead
	}
}

var errSmallLost = errors.New("not even small datagrams are answered")

// search looks for sizes that get through, in bytes of inner IP.
type search struct {
	// echo asks the peer's agent for an answer of another size, nil where it gives
	// none. ping asks its kernel, which answers with as much as it was asked.
	echo func(ctx context.Context, size, reply int) (rtt time.Duration, ok bool)
	ping try
	wait time.Duration
	most int // that this host's kernel sends
	tap  int // and its TAP does not cut
}

// search makes the search for a peer.
func (p *plane) search(x *target, most int) *search {
	p.mu.Lock()
	s := &search{wait: mostTry, most: most, tap: p.link.MTU}
	p.mu.Unlock()
	s.ping = func(ctx context.Context, n int) (time.Duration, bool) {
		v := p.pingOverlay(ctx, x, n)
		if v == nil {
			return 0, false
		}
		return v.rtt(), v.ok()
	}
	if h := x.host; h != nil && h.Probe != nil {
		s.echo = func(ctx context.Context, size, reply int) (time.Duration, bool) {
			a, err := p.prober.ask(ctx, h, request{echo.VXLAN, size, reply})
			return a.rtt, err == nil
		}
	}
	return s
}

// both returns the largest sizes that get to the peer and back.
func (s *search) both(ctx context.Context) (there, back int, err error) {
	if s.echo == nil {
		return s.round(ctx)
	}
	if !s.passes(ctx, leastEchoSize, func(ctx context.Context, n int) (time.Duration, bool) { return s.echo(ctx, n, n) }) {
		return 0, 0, errSmallLost
	}
	if there, err = s.largest(ctx, s.most, func(ctx context.Context, n int) (time.Duration, bool) { return s.echo(ctx, n, leastEchoSize) }); err != nil {
		return there, 0, err
	}
	back, err = s.largest(ctx, there, func(ctx context.Context, n int) (time.Duration, bool) { return s.echo(ctx, there, n) })
	return there, back, err
}

// round does without the peer's agent. What the TAP would cut is not tried.
func (s *search) round(ctx context.Context) (there, back int, err error) {
	if !s.passes(ctx, leastEchoSize, s.ping) {
		return 0, 0, errSmallLost
	}
	n, err := s.largest(ctx, min(s.most, s.tap), s.ping)
	return n, n, err
}

// try is one echo of so many bytes.
type try func(ctx context.Context, n int) (rtt time.Duration, ok bool)

// largest returns the largest size up to most that gets through; the least one does.
func (s *search) largest(ctx context.Context, most int, t try) (int, error) {
	if most <= leastEchoSize || s.passes(ctx, most, t) {
		return max(most, leastEchoSize), nil
	}
	lo, hi := leastEchoSize, most // lo passes, hi does not
	for hi-lo > 1 && ctx.Err() == nil {
		if mid := (lo + hi) / 2; s.passes(ctx, mid, t) {
			lo = mid
		} else {
			hi = mid
		}
	}
	if ctx.Err() != nil {
		return lo, errors.New("it takes too long to find out exactly")
	}
	return lo, nil
}

// passes tries a size, with another echo whenever a part of the time is over
// without an answer. How long that took says how long to wait for the next sizes.
func (s *search) passes(ctx context.Context, n int, t try) bool {
	ctx, cancel := context.WithTimeout(ctx, s.wait)
	var all sync.WaitGroup
	defer all.Wait()
	defer cancel()
	got := make(chan time.Duration, tryCopies)
	for range tryCopies {
		all.Go(func() {
			if rtt, ok := t(ctx, n); ok {
				got <- rtt
			}
		})
		select {
		case rtt := <-got:
			s.wait = min(max(4*rtt, leastTry), mostTry)
			return true
		case <-time.After(s.wait / tryCopies):
		}
	}
	return false
}
