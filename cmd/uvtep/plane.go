package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/hostnet"
	"github.com/uvtep/uvtep/internal/ledger"
	vswitch "github.com/uvtep/uvtep/switch"
	"github.com/uvtep/uvtep/switch/tap"
)

// plane is a network's part of the data path, the TAP, and the kernel's routes
// into it. It puts right what others change behind its back.
type plane struct {
	*member
	name    string
	routes  *hostnet.Routes
	totals  vswitch.Totals
	sent    ledger.Ledger // by VTEP
	heard   ledger.Ledger
	kick    chan hostnet.Event // something may have to be put right
	missed  atomic.Bool        // there was no room in kick
	origins etcdsync.Origins   // where rows of the tables come from
	place   <-chan struct{}    // closed when the host has its place in the network

	mu      sync.Mutex
	mtu     int                    // that fits the underlay; guarded by mu, as all below
	dev     *tap.Device            // of the TAP
	shut    bool                   // dev is closed for good
	net     *vswitch.Network       // of dev
	link    hostnet.Link           // the TAP as it was dressed last
	addrs   []netip.Prefix         // that it carries
	tables  *etcdsync.Tables       // published last
	routed  *etcdsync.Routes       // that routes was given last; nil for none
	routing routing                // how it was given them
	noIPv6  bool                   // the TAP's MTU is too small for IPv6
	reg     *etcdsync.Registration // nil before there is one
	public  [2]netip.Addr          // what it tells other hosts to send to
	callers *announcer
	prober  *prober
	behind
	sources
	offloads
	samples
	journal journal // of what came into force when
}

func newPlane(m *member, mtu int) *plane {
	p := &plane{
		member: m, mtu: mtu, name: tapName(m.tap, m.network.VNI), place: m.ready,
		routes: hostnet.NewRoutes(m.host), kick: make(chan hostnet.Event, 64), callers: newAnnouncer(), behind: newBehind(m),
		offloads: offloads{wish: m.offload, plain: m.offload == offloadOff}, samples: samples{began: time.Now()},
	}
	if v4, v6, err := m.state.Subnet(); err == nil && !m.noSubnet {
		// Until the lease says otherwise: with its last address a TAP that
		// outlived its agent would lose its routes.
		p.addrs = tapAddrs(v4, v6)
	}
	p.prober = newProber(m, &p.totals)
	return p
}

// open opens the TAP, dressed but for its addresses.
func (p *plane) open() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reopened()
}

// reopened is open with mu held.
func (p *plane) reopened() error {
	if _, err := p.host.FindLink(p.name); err == nil {
		p.log.Info().Str("tap", p.name).Msg("TAP device already exists")
	}
	dev, err := tap.Open(tap.Config{Name: p.name, Queues: p.queues, VnetHdr: !p.plain})
	if err != nil {
		return err
	}
	if err := p.offloads.opened(dev); err != nil {
		return errors.Join(err, dev.Close())
	}
	message := "Returning existing device"
	if dev.Created {
		message = "TAP device created"
	}
	p.log.Info().Str("tap", dev.Name).Int("queues", len(dev.Queues)).Bool("vnet_hdr", dev.Capabilities.VnetHdr).
		Bool("tso", dev.Capabilities.TCP).Bool("uso", dev.Capabilities.UDP).
		Interface("why_not", dev.Capabilities.Reason).Msg(message)
	p.dev = dev
	if err := p.ensure(p.mtu); err != nil {
		return errors.Join(err, dev.Close())
	}
	if err := p.state.SetTAP(p.name, p.link.Index); err != nil {
		p.log.Warn().Err(err).Msg("a start under another VNI will not find this TAP")
	}
	if p.net, err = p.newNetwork(dev); err != nil {
		return errors.Join(err, dev.Close())
	}
	return nil
}

// newNetwork is what the switch is to serve on dev, with the tables in force. mu
// is held.
func (p *plane) newNetwork(dev *tap.Device) (*vswitch.Network, error) {
	c := vswitch.NetworkConfig{
		Self: vswitch.Self{VNI: p.network.VNI, MAC: p.mac, Echoes: p.prober.echoes}, Wake: dev.Wake, Count: &p.totals,
		MergeUDP: p.mergeUDP, Outer: p.outer, Sightings: p.sightings, Sent: &p.sent, Heard: &p.heard,
	}
	for lane := range p.queues {
		c.Ports = append(c.Ports, portOf(dev, lane))
	}
	n, err := vswitch.NewNetwork(c)
	if err == nil && p.tables != nil {
		n.SetTables(p.switchTables())
	}
	return n, err
}

// switchTables is the tables in force as the switch wants them. mu is held.
func (p *plane) switchTables() *vswitch.Tables {
	t := &vswitch.Tables{
		Rev: p.tables.Rev, FDB: p.tables.FDB, ARP: p.tables.ARP, Policy: policy(p.tables.Network),
		MTU: p.link.MTU, Paths: p.trunk.paths(), Sources: p.innerSources(), Superframes: p.wish == offloadAuto && p.dev.Capabilities.TCP,
	}
	for _, a := range p.addrs {
		t.Own = append(t.Own, a.Addr())
	}
	return t
}

// portOf is a lane's end of the TAP. A kernel without multi-queue gives one
// queue: all lanes write to it, one reads it.
func portOf(dev *tap.Device, lane int) vswitch.Port {
	if lane < len(dev.Queues) {
		return port{dev.Queues[lane]}
	}
	return writeOnly{port{dev.Queues[lane%len(dev.Queues)]}}
}

// writeOnly is a queue that another lane reads.
type writeOnly struct{ port }

func (w writeOnly) Read([]byte, [][]byte) (int, error) { return 0, w.Idle() }

// port is a TAP queue as the switch wants it.
type port struct{ *tap.Queue }

func (p port) Writer() vswitch.Writer { return p.Queue.Writer() }

// dress gives the TAP its addresses and brings it up.
func (p *plane) dress(addrs []netip.Prefix) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.addrs = addrs
	if err := p.ensure(p.mtu); err != nil && !errors.Is(err, hostnet.ErrNoLink) {
		return err
	}
	p.retable() // a TAP that is gone just now gets the addresses when it is made anew
	return nil
}

// retable puts the tables in force once more, after what the host adds to them
// has changed. mu is held.
func (p *plane) retable() {
	if p.tables != nil {
		p.net.SetTables(p.switchTables())
		p.changed()
	}
}

// ensure makes the TAP what it should be; an MTU of 0 leaves that alone. On an
// error the TAP is what has become of it. mu is held.
func (p *plane) ensure(mtu int) error {
	l, err := p.host.EnsureLink(p.name, hostnet.LinkConfig{MAC: p.mac, MTU: mtu, Addrs: p.fittingAddrs(mtu), Up: true, Bridge: p.bridge})
	if err != nil {
		if l, e := p.host.FindLink(p.name); e == nil && l.Index == p.link.Index {
			p.link = l
		}
		return err
	}
	p.link = l
	return nil
}

// fittingAddrs are the TAP's addresses that it can carry with an MTU (0: the one
// it has). mu is held.
func (p *plane) fittingAddrs(mtu int) []netip.Prefix {
	if mtu == 0 {
		mtu = p.link.MTU
	}
	if p.noIPv6 = mtu < hostnet.MinMTU6; !p.noIPv6 {
		return p.addrs
	}
	out := slices.DeleteFunc(slices.Clone(p.addrs), func(a netip.Prefix) bool { return a.Addr().Is6() })
	if len(out) < len(p.addrs) {
		p.log.Error().Str("tap", p.name).Int("mtu", mtu).Msgf("the TAP's MTU is less than the %d that IPv6 needs: the overlay has no IPv6 on this host until it grows", hostnet.MinMTU6)
	}
	return out
}

// publish puts new tables in force: in the switch first, which costs nothing,
// then in the kernel.
func (p *plane) publish(t *etcdsync.Tables) {
	p.prober.hear(t)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tables = t
	p.trunk.listenTo(p.member, t.Network.AlsoListen)
	p.retable()
	p.applyRoutes()
	p.callers.add(t.Changed)
	p.behind.hear(t)
}

// applyRoutes brings the kernel's routes in line. mu is held.
func (p *plane) applyRoutes() {
	if p.tables == nil {
		return
	}
	if err := p.giveRoutes(); err != nil {
		p.routed = nil
		p.log.Error().Err(err).Msg("routes could not all be set")
	}
}

// giveRoutes tells routes what changed since it was told last, or all there is
// when that depends on more than the tables. None without a subnet, whatever an
// earlier run left. mu is held.
func (p *plane) giveRoutes() error {
	now, how := p.wantedRoutes()
	before, same := p.routed, p.routing == how
	p.routed, p.routing = &now, how
	if before == nil || !same {
		return p.routes.Reconcile(how.index, how.routes(now.Sorted()))
	}
	gone, fresh := now.Since(*before)
	if len(gone) == 0 && len(fresh) == 0 {
		return nil
	}
	return p.routes.Change(how.index, gone, how.routes(fresh))
}

// wantedRoutes are the routes there shall be, and how. mu is held.
func (p *plane) wantedRoutes() (etcdsync.Routes, routing) {
	how := routing{p.link.Index, p.narrowMTU(), p.noIPv6}
	if p.noSubnet {
		return etcdsync.Routes{}, how
	}
	return p.tables.Routes, how
}

// routes are the routes as the kernel shall have them.
func (how routing) routes(of []etcdsync.Route) []hostnet.Route {
	out := make([]hostnet.Route, 0, len(of))
	for _, r := range of {
		k := hostnet.Route{Dst: r.Dst, Via: r.Via}
		if r.Over6 {
			k.MTU = how.narrow
		}
		if !how.noIPv6 || r.Dst.Addr().Is4() {
			out = append(out, k)
		}
	}
	return out
}

// routing is what kernel routes depend on besides the tables.
type routing struct {
	index  int  // the TAP's
	narrow int  // narrowMTU
	noIPv6 bool // the TAP's MTU is too small for it
}

// narrowMTU is what routes to hosts reached over IPv6 take, where that is less
// than the TAP's MTU, else 0. mu is held.
func (p *plane) narrowMTU() int {
	mtu, err := hostnet.MTU(p.trunk.where().MTU, p.network.MTU, true)
	if err != nil || mtu >= p.mtu {
		return 0
	}
	return mtu
}

// run switches until ctx ends. A TAP that is removed is made anew.
func (p *plane) run(ctx context.Context) error {
	return together(ctx, p.switchFrames, p.watch, p.mend, p.announce, p.sample, p.prober.run, p.answerPlain)
}

func (p *plane) switchFrames(ctx context.Context) error {
	for {
		p.mu.Lock()
		net := p.net
		p.mu.Unlock()
		p.web.begins(p.name)
		err := p.trunk.serve(ctx, net)
		p.web.ends(p.name, "it is being opened anew")
		switch {
		case ctx.Err() != nil:
			return err
		case err == nil && p.goOn():
			continue // on other sockets
		case err == nil:
			p.log.Info().Str("tap", p.name).Msg("opening the TAP's queues anew")
		case errors.Is(err, tap.ErrGone):
			p.log.Warn().Str("tap", p.name).Msg("TAP device is gone; making it anew")
		default:
			return err
		}
		if err := p.reopen(ctx); err != nil {
			return err
		}
	}
}

// goOn has the queues that were woken used again, and reports false when they
// are to be opened anew.
func (p *plane) goOn() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.renewal != nil {
		return false
	}
	p.dev.Rearm()
	return true
}

// reopen makes the TAP anew with all that hung on it. It keeps trying: what
// removed the device may be at it still.
func (p *plane) reopen(ctx context.Context) error {
	p.mu.Lock()
	_ = p.dev.Close()
	p.offloads.closed()
	p.mu.Unlock()
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := p.replay()
		if err == nil {
			return nil
		}
		p.log.Error().Err(err).Dur("again_in", wait).Msg("TAP could not be opened anew")
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (p *plane) replay() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.reopened(); err != nil {
		return err
	}
	p.offloads.renewed()
	p.applyRoutes()
	return nil
}

// watch hears from the kernel what others do to the TAP and the routes.
func (p *plane) watch(ctx context.Context) error {
	return p.host.Watch(ctx, hostnet.WatchConfig{TAP: p.name, Routes: p.routes}, func(e hostnet.Event) {
		select {
		case p.kick <- e:
		default:
			p.missed.Store(true) // everything is looked at when those that wait are done with
		}
	})
}

// mend puts the TAP and the routes right after every event.
func (p *plane) mend(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-p.kick:
			p.hear(e)
			if p.missed.Swap(false) {
				p.hear(hostnet.Event{Kind: hostnet.Resync})
			}
		}
	}
}

// hear puts the TAP and the routes right.
func (p *plane) hear(e hostnet.Event) {
	switch e.Kind {
	case hostnet.TAPRemoved:
		return // the switch notices by itself, and reopens
	case hostnet.TAPRenamed:
		p.renamed(e.Is)
		return
	case hostnet.TAPMTU:
		p.log.Warn().Str("tap", p.name).Str("was", e.Was).Str("is", e.Is).Msg("somebody changed the TAP's MTU; left as it is")
	case hostnet.Resync, hostnet.TAPAppeared:
	default:
		p.log.Warn().Str("tap", p.name).Str("event", fmt.Sprint(e.Kind)).Str("was", e.Was).Str("is", e.Is).Msg("somebody changed the TAP; putting it right")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, err := p.host.FindLink(p.name); err != nil || l.Index != p.link.Index {
		return // not the one that is open: it is being made anew, or a stranger's
	}
	if err := p.ensure(0); err != nil {
		p.log.Error().Err(err).Msg("TAP could not be put right")
		return
	}
	p.retable()
	if err := p.routes.Resync(); err != nil {
		p.routed = nil // the next tables try it again
		p.log.Error().Err(err).Msg("routes could not all be put right")
	}
}

// renamed removes the TAP that somebody gave another name: under its own it is
// made anew, as one that was removed.
func (p *plane) renamed(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l, err := p.host.FindLink(name); err != nil || !l.Ours || l.Index != p.link.Index {
		return // gone, or not what was open here
	}
	p.log.Warn().Str("tap", p.name).Str("is", name).Msg("somebody renamed the TAP; making it anew")
	if err := p.host.DeleteLink(name); err != nil {
		p.log.Error().Err(err).Str("tap", name).Msg("the renamed TAP could not be removed; remove it, or restart the agent")
	}
}

// close closes the queues; the device stays.
func (p *plane) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = true
	p.prober.closePlain()
	if p.dev == nil {
		return nil
	}
	if err := p.dev.Close(); err != nil {
		return fmt.Errorf("close tap: %w", err)
	}
	return nil
}
