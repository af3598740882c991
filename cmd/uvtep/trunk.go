package main

import (
	"context"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/internal/hostnet"
	"github.com/uvtep/uvtep/internal/sched"
	vswitch "github.com/uvtep/uvtep/switch"
)

const (
	// recvBuffer and sendBuffer are the socket buffers asked for, in bytes.
	recvBuffer = 4 << 20
	sendBuffer = 2 << 20
)

// trunk is the way to other hosts that all networks of an agent share: where the
// tunnel starts on this host, the sockets there, and the switch between them and
// the networks' TAPs.
//
// Locks are taken in this order: a plane's mu, the trunk's mu. Who holds the gate
// may take both.
type trunk struct {
	*agent
	sw     *vswitch.Switch
	totals vswitch.Totals // of what belongs to no network

	captures vswitch.Captures
	kick     chan hostnet.Event // the underlay may be another
	missed   atomic.Bool        // there was no room in kick
	opened   chan struct{}      // closed when there are sockets
	gate     sync.RWMutex       // who sends holds it for reading, who binds the sockets anew for writing

	mu      sync.Mutex
	sockets *underlay.Underlay // nil before a network has said on which port; guarded by mu, as all below
	port    uint16             // that they are to be on
	bound   uint16             // that they are on
	serving int                // networks
	base
	listening
	pathSet

	schedule
}

func newTrunk(a *agent) *trunk {
	t := &trunk{
		agent: a, kick: make(chan hostnet.Event, 64), opened: make(chan struct{}), pathSet: newPathSet(),
		schedule: schedule{crew: sched.New(a.nice)},
		base:     base{moved: make(chan struct{}), letGo: make(chan struct{})}, listening: listening{wanted: map[*member][]uint16{}},
	}
	t.sw = vswitch.New(vswitch.Config{
		Lanes:     a.queues,
		NewSender: func() vswitch.Sender { return t.bundle().NewSender() },
		Wake:      func() { t.bundle().Wake() },
		FloodRate: a.floodRate,
		Captures:  &t.captures,
		Begin:     t.begin,
	}, &t.totals)
	return t
}

// bundle returns the sockets.
func (t *trunk) bundle() *underlay.Underlay {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sockets
}

// open has the sockets open on a network's port. Those that are on another one,
// which was that of a network that the host has left, are bound anew.
func (t *trunk) open(m *member) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	others := t.want(m, m.network.AlsoListen)
	if t.port = m.network.Port; t.sockets == nil {
		if err := t.opening(); err != nil {
			return fatal{err}
		}
		return nil
	}
	switch {
	case t.port != t.bound:
		t.rebindSockets()
	case others:
		t.relisten = true
		t.sockets.Wake()
	}
	return nil
}

// shut makes an error that keeps the sockets from being opened the agent's: no
// network can do without.
func (t *trunk) shut(err error) error {
	if t.bundle() == nil {
		return fatal{err}
	}
	return err
}

// opening opens the sockets. mu is held.
func (t *trunk) opening() (err error) {
	if t.sockets, err = underlay.Open(t.wanting()); err != nil {
		t.sockets = nil
		return err
	}
	t.bound = t.port
	c := t.sockets.Capabilities()
	t.log.Info().Bool("udp_segment", c.UDPSegment).Bool("udp_gro", c.UDPGRO).Bool("mmsg", c.Mmsg).
		Int("recv_buffer", c.RecvBuffer).Int("send_buffer", c.SendBuffer).Interface("why_not", c.Reason).Msg("underlay opened")
	if n := len(t.sockets.SourcePorts(!t.carrier.Addr.IsValid())); n < t.sourcePorts {
		t.log.Warn().Int("ports", n).Int("wanted", t.sourcePorts).Msg("fewer source ports are free than asked for")
	}
	if len(t.ports) > 0 {
		t.listen()
	}
	close(t.opened)
	return nil
}

// wanting is what sockets are asked for. mu is held.
func (t *trunk) wanting() underlay.Config {
	return underlay.Config{
		Addr4: t.carrier.Addr, Addr6: t.carrier.Addr6, Port: t.port, Lanes: t.queues,
		SourcePorts: t.sourcePorts, SourceMin: t.sourceMin, SourceMax: t.sourceMax,
		TTL: t.outerTTL, NoChecksum: t.udpCsum == "off", RecvBuffer: recvBuffer, SendBuffer: sendBuffer,
		Degraded: func(feature string, why error) {
			t.log.Warn().Str("feature", feature).Err(why).Msg("kernel feature given up")
		},
		TooBig: func(vtep netip.Addr) { t.doubted(vtep) },
	}
}

// boundPort is the port that the sockets are on.
func (t *trunk) boundPort() uint16 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.bound
}

// sourcePort returns the port that a datagram leaves from, 0 for none.
func (t *trunk) sourcePort(d *encap.Datagram) uint16 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sockets == nil {
		return 0
	}
	port, _ := t.sockets.SourcePort(d)
	return port
}

// run receives for all networks until ctx ends, and follows the underlay.
func (t *trunk) run(ctx context.Context) error {
	return together(ctx, t.receive, t.watch, t.mend, t.measure, t.listenAgain)
}

func (t *trunk) receive(ctx context.Context) error {
	select {
	case <-t.opened:
	case <-ctx.Done():
		return nil
	}
	for {
		err := t.sw.Run(ctx, t.receivers())
		if err != nil || ctx.Err() != nil {
			return err
		}
		if err := t.reopen(ctx); err != nil {
			return err
		}
	}
}

// receivers returns the receivers by lane.
func (t *trunk) receivers() (all [][]vswitch.Receiver) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reserve()
	for lane := range t.sockets.Lanes() {
		var rs []vswitch.Receiver
		for _, r := range t.sockets.Receivers(lane) {
			rs = append(rs, r)
		}
		all = append(all, rs)
	}
	return all
}

// reserve makes room for the goroutines of the data path: they wait in system
// calls that keep their processors (see internal/wait), so there must be as
// many more. mu is held.
func (t *trunk) reserve() {
	n := runtime.NumCPU() + t.sockets.Lanes()*(max(t.serving, 1)+len(t.sockets.Receivers(0)))
	if n != runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(n)
	}
}

// serve moves the frames of a network until ctx ends, its TAP fails or is woken,
// or the sockets are to be bound anew.
func (t *trunk) serve(ctx context.Context, n *vswitch.Network) error {
	t.gate.RLock()
	defer t.gate.RUnlock()
	letGo := t.enter(1)
	defer t.enter(-1)
	return until(ctx, letGo, func(ctx context.Context) error { return t.sw.Serve(ctx, n) })
}

// enter counts who sends. They are to end when letGo is closed.
func (t *trunk) enter(n int) (letGo <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.serving += n
	t.reserve()
	return t.letGo
}

// rebindSockets has all let go of the sockets, and these bound anew. mu is held.
func (t *trunk) rebindSockets() {
	if !t.rebind {
		t.rebind = true
		close(t.letGo)
	}
	t.sockets.Wake()
}

// reopen binds the sockets anew, or opens and closes those of further ports, while
// nobody receives; to bind them it waits until nobody sends either. It keeps
// trying.
func (t *trunk) reopen(ctx context.Context) error {
	gated := false
	defer func() {
		if gated {
			t.gate.Unlock()
		}
	}()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		if !gated && t.rebinding() {
			t.gate.Lock()
			gated = true
		}
		err := t.renew(gated)
		if err == nil {
			return nil
		}
		t.log.Error().Err(err).Dur("again_in", wait).Msg("sockets could not be opened anew")
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (t *trunk) rebinding() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.rebind
}

// renew does what reopen is to do, once. What has to wait for a gate that is not
// held is left: receiving ends at once for it.
func (t *trunk) renew(gated bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rebind && gated {
		if err := t.bindAnew(); err != nil {
			return err
		}
		t.rebind, t.relisten = false, t.relisten || len(t.ports) > 0
		t.letGo = make(chan struct{})
	}
	if t.relisten {
		t.listen()
	}
	if !t.rebind {
		t.sockets.Rearm()
	}
	return nil
}

// bindAnew moves the sockets to the addresses and the port where they should be.
// mu is held.
func (t *trunk) bindAnew() error {
	if t.port == t.bound {
		return t.sockets.Move(t.carrier.Addr, t.carrier.Addr6)
	}
	next, err := underlay.Open(t.wanting())
	if err != nil {
		return err
	}
	_ = t.sockets.Close()
	t.sockets, t.bound = next, t.port
	return nil
}

// close closes the sockets.
func (t *trunk) close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sockets == nil {
		return nil
	}
	return t.sockets.Close()
}
