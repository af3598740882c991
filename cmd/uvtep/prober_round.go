package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/echo"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/admin"
	"github.com/uvtep/uvtep/internal/ping"
)

// Where peers are listed and found, and one round of a probe is asked for.
const (
	peersPath     = "/v1/probe/peers"
	findPeerPath  = "/v1/probe/find"
	roundPath     = "/v1/probe/round"
	roundMTUPath  = "/v1/probe/mtu"
	maxRoundWait  = admin.Patience
	leastEchoSize = echo.Len
	mostEchoSize  = 9000
)

// findRequest asks for a peer by anything that names it, in the network of that
// name or, without one, in all of the agent's.
type findRequest struct {
	Peer    string `json:"peer"`
	Network string `json:"network,omitempty"`
}

// roundRequest asks for one echo of each kind. Size is that of an IP packet in
// the overlay, in bytes: all echoes are as long as one of that size is on its way.
type roundRequest struct {
	Peer peerView `json:"peer"`
	Size int      `json:"size"`
	Wait float64  `json:"wait_seconds"`
}

// roundView is what became of them. A kind that does not apply is null.
type roundView struct {
	VXLAN   *echoView `json:"vxlan"`
	UDP     *echoView `json:"udp"`
	Overlay *echoView `json:"overlay"` // ICMP to the peer's own address in the overlay
	Host    *echoView `json:"host"`    // ICMP to its public address
}

// echoView is one echo.
type echoView struct {
	// RTT is the round-trip time; none: no answer came.
	RTT float64 `json:"rtt_seconds,omitempty"`
	// Arrived says of one that is lost whether it got to the peer, where that is
	// known.
	Arrived *bool `json:"arrived,omitempty"`
	// Error is why it was not sent. One that is lost has none.
	Error string `json:"error,omitempty"`
}

func (v *echoView) ok() bool { return v.RTT > 0 }

// rtt is the time that ok says there is.
func (v *echoView) rtt() time.Duration { return time.Duration(v.RTT * float64(time.Second)) }

// peers lists all peers.
func (p *plane) peers() []peerView {
	out := []peerView{}
	t := p.prober.tables.Load()
	if t == nil {
		return out
	}
	for _, x := range targets(t) {
		v := x.view()
		v.Network = p.member.name
		out = append(out, v)
	}
	return out
}

// findPeer finds one.
func (p *plane) findPeer(text string) (v peerView, err error) {
	t := p.prober.tables.Load()
	if t == nil {
		return v, errors.New("the agent knows no other hosts yet: it waits for etcd")
	}
	if v, err = find(t, text); err != nil {
		return v, admin.BadRequest{Err: err}
	}
	v.Network = p.member.name
	return v, nil
}

// findPeer finds a peer in the one of the agent's networks that has it.
func (a *agent) findPeer(_ context.Context, r findRequest) (any, error) {
	var err error = admin.BadRequest{Err: errNoNetwork}
	planes := slices.DeleteFunc(a.working(), func(p *plane) bool { return r.Network != "" && p.member.name != r.Network })
	for _, p := range planes {
		if err := p.isSelf(r.Peer); err != nil {
			return nil, admin.BadRequest{Err: err}
		}
	}
	var found []peerView
	var in []string
	for _, p := range planes {
		var v peerView
		if v, err = p.findPeer(r.Peer); err == nil {
			found, in = append(found, v), append(in, v.Network)
		}
	}
	switch len(found) {
	case 0:
		return nil, err
	case 1:
		return found[0], nil
	}
	return nil, admin.BadRequest{Err: fmt.Errorf("%s is a peer in the networks %s: say in which with --network-name", r.Peer, strings.Join(in, ", "))}
}

// of asks the plane of the network that a peer was found in.
func of[R any](ctx context.Context, a *agent, peer *peerView, r R, ask func(*plane, context.Context, R) (any, error)) (any, error) {
	for _, p := range a.working() {
		if p.member.name == peer.Network {
			return ask(p, ctx, r)
		}
	}
	return nil, errNoNetwork
}

var errNoNetwork = errors.New("no such network is joined now; `uvtep status` lists those that are")

// isSelf refuses what names this host.
func (p *plane) isSelf(text string) error {
	home := p.trunk.where()
	p.mu.Lock()
	defer p.mu.Unlock()
	a, _ := netip.ParseAddr(text)
	s, _ := netip.ParsePrefix(text)
	mac, _ := ether.ParseAddr(text)
	own := text == p.node || mac == p.mac && !mac.IsZero() || a.IsValid() && (a == home.Public || a == home.Public6)
	for _, o := range p.addrs {
		own = own || s.IsValid() && s.Addr() == o.Addr() || a == o.Addr()
	}
	if own {
		return fmt.Errorf("%s is this host itself; name another", text)
	}
	if r := p.reg; r != nil && a.IsValid() && (r.Subnet().Contains(a) || r.Subnet6().Contains(a)) {
		return fmt.Errorf("%s is in this host's own subnet; name another host, or ping it", text)
	}
	return nil
}

// target returns whom a request is about.
func (p *plane) target(v *peerView) (target, error) {
	t := p.prober.tables.Load()
	if t == nil {
		return target{}, errors.New("the agent knows no other hosts: it waits for etcd")
	}
	x, ok := lookup(t, v)
	if !ok {
		return x, fmt.Errorf("%s is not in the network any more", v.name())
	}
	return x, nil
}

// round sends one echo of each kind, all at once, and waits for the answers.
func (p *plane) round(ctx context.Context, r roundRequest) (any, error) {
	patience := time.Duration(r.Wait * float64(time.Second))
	if r.Size < leastEchoSize || r.Size > mostEchoSize || !(r.Wait > 0 && r.Wait <= maxRoundWait.Seconds()) {
		return nil, admin.BadRequest{Err: fmt.Errorf("want a size of %d to %d bytes and a wait of at most %s", leastEchoSize, mostEchoSize, maxRoundWait)}
	}
	x, err := p.target(&r.Peer)
	if err != nil {
		return nil, err
	}
	var v roundView
	var all sync.WaitGroup
	wait := func(f func(ctx context.Context)) {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			f(ctx)
		})
	}
	if x.host != nil && x.host.Probe != nil {
		wait(func(ctx context.Context) { v.VXLAN = p.echoIn(ctx, x.host, echo.VXLAN, r.Size) })
		wait(func(ctx context.Context) { v.UDP = p.echoIn(ctx, x.host, echo.Plain, r.Size) })
	}
	wait(func(ctx context.Context) { v.Overlay = p.pingOverlay(ctx, &x, r.Size) })
	wait(func(ctx context.Context) { v.Host = p.pingHost(ctx, x.vtep.To.Addr(), r.Size) })
	all.Wait()
	return v, nil
}

// echoIn asks for one echo. Of one in VXLAN that is lost it finds out whether it
// got there, if anything does.
func (p *plane) echoIn(ctx context.Context, h *etcdsync.Peer, way echo.Way, size int) *echoView {
	r := request{way, size, size}
	if way == echo.Plain {
		r.size += encap.HeaderLen + ether.HeaderLen // as long on the wire
		r.reply = r.size
	}
	a, err := p.prober.ask(ctx, h, r)
	v := &echoView{RTT: a.rtt.Seconds()}
	if err == nil {
		return v
	}
	if !errors.Is(err, errSilent) {
		v.Error = err.Error()
		return v
	}
	if way == echo.VXLAN {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if b, err := p.prober.ask(ctx, h, request{echo.Plain, leastEchoSize, leastEchoSize}); err == nil {
			arrived := b.seen >= a.seq
			v.Arrived = &arrived
		}
	}
	return v
}

// pingOverlay asks the peer's kernel through the overlay, from the TAP: this needs
// nothing of the peer but that it is up. nil: one of the two has no address there.
func (p *plane) pingOverlay(ctx context.Context, x *target, size int) *echoView {
	from, to := p.overlayEnds(x)
	if !from.IsValid() {
		return nil
	}
	overhead := ping.Overhead4
	if to.Is6() {
		overhead = ping.Overhead6
	}
	return pinged(ping.Ask(ctx, ping.Question{From: from, To: to, Size: size - overhead}))
}

// overlayEnds returns this host's address in the overlay and a peer's.
func (p *plane) overlayEnds(x *target) (from, to netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if x.lease == nil || p.noSubnet || p.bridge != "" {
		return from, to
	}
	for _, s := range []netip.Prefix{x.lease.Subnet, x.lease.Subnet6} {
		for _, own := range p.addrs {
			if s.IsValid() && own.Addr().Is4() == s.Addr().Is4() {
				return own.Addr(), s.Addr()
			}
		}
	}
	return from, to
}

// pingHost asks the peer's kernel by its public address.
func (p *plane) pingHost(ctx context.Context, to netip.Addr, size int) *echoView {
	home := p.trunk.where()
	from := home.Addr
	if to.Is6() {
		from = home.Addr6
	}
	if !from.IsValid() {
		return nil
	}
	return pinged(ping.Ask(ctx, ping.Question{From: from, To: to, Size: size + encap.HeaderLen + ether.HeaderLen}))
}

func pinged(rtt time.Duration, err error) *echoView {
	switch {
	case err == nil:
		return &echoView{RTT: rtt.Seconds()}
	case errors.Is(err, ping.ErrSilent):
		return &echoView{}
	}
	return &echoView{Error: err.Error()}
}
