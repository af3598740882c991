package main

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/uvtep/uvtep/encap/echo"
	"github.com/uvtep/uvtep/etcdsync"
)

var (
	errSilent   = errors.New("no answer")
	errNotTaken = errors.New("the kernel did not send it: larger than the path takes as far as it knows, or no route")
)

// request is what one request tries.
type request struct {
	way         echo.Way
	size, reply int // of the message and of its answer, in bytes
}

// answered is what became of it.
type answered struct {
	seq  uint64
	rtt  time.Duration // without what the peer's agent took; never 0
	seen uint64        // the highest request in VXLAN that had arrived
}

// ask sends one request to a host and waits for the answer until ctx ends.
func (p *prober) ask(ctx context.Context, h *etcdsync.Peer, r request) (a answered, err error) {
	node, err := echo.ParseNode(h.NodeID)
	if err != nil {
		return a, err
	}
	wait := make(chan heard, 1)
	q, secret := p.pose(node, h, r.way, wait)
	a.seq = q.seq
	defer p.drop(q)
	m := echo.Message{Kind: echo.Request, Way: r.way, Size: r.size, Reply: r.reply, VNI: uint32(p.vni), Seq: q.seq, From: p.self.Node, To: node}
	begin := time.Now()
	if r.way == echo.Plain {
		err = p.sendPlain(&m, &secret, netip.AddrPortFrom(h.VTEP.To.Addr(), h.Probe.Port))
	} else if !p.sendFrame(&m, &secret, h) {
		err = errNotTaken
	}
	if err != nil {
		return a, err
	}
	select {
	case answer := <-wait:
		a.rtt, a.seen = max(answer.at.Sub(begin)-answer.held, 1), answer.seen
		return a, nil
	case <-ctx.Done():
		return a, errSilent
	}
}

// pose enters a question that is about to be asked.
func (p *prober) pose(n echo.Node, h *etcdsync.Peer, way echo.Way, wait chan<- heard) (question, echo.Secret) {
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.acquainted(n, h)
	a.seq++
	q := question{n, way, a.seq}
	p.asked[q] = wait
	return q, a.asking
}

// drop takes back a question that nobody waits for any more.
func (p *prober) drop(q question) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.asked, q)
}
