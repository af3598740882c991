package main

import (
	"context"
	"net/netip"
	"net/url"
	"time"

	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/hostnet"
)

// returnWait is how long an address or an interface that went is expected back
// before the host goes elsewhere: addresses are renewed by taking and giving,
// links flap. While there is no underlay at all it is looked for as often.
const returnWait = time.Second

// base is what hangs on where the tunnel starts on this host, the agent's
// carrier. The plane's mu guards both.
type base struct {
	moved    chan struct{}          // closed when the carrier is another, then made anew
	rebind   bool                   // the sockets are to be bound to other addresses
	homeless bool                   // there is no underlay that can be used, and that was said
	reg      *etcdsync.Registration // nil before there is one
}

// home returns the host's own underlay addresses, and a channel that is closed
// when they are others, or the interface is.
func (p *plane) home() (own []netip.Addr, moved <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.carrier
	for _, ip := range []netip.Addr{c.Addr, c.Addr6, c.Public, c.Public6} {
		if ip.IsValid() {
			own = append(own, ip)
		}
	}
	return own, p.moved
}

// public returns what other hosts are told to send to.
func (p *plane) public() (v4, v6 netip.Addr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.carrier.Public, p.carrier.Public6
}

// enrolled says who is to be told when the host's public addresses are others
// than those claimed.
func (p *plane) enrolled(r *etcdsync.Registration, claimed *etcdsync.Claim) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reg = r
	if c := p.carrier; c.Public != claimed.PublicIP || c.Public6 != claimed.PublicIPv6 {
		r.Update(c.Public, c.Public6)
	}
}

// watch hears from the kernel what others do to the TAP, the routes and the
// underlay.
func (p *plane) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		p.mu.Lock()
		c := hostnet.WatchConfig{TAP: p.name, Underlay: p.carrier.Name, Routes: p.routes}
		moved := p.moved
		p.mu.Unlock()
		err := until(ctx, moved, func(ctx context.Context) error {
			return p.host.Watch(ctx, c, func(e hostnet.Event) {
				select {
				case p.kick <- e:
				default:
					p.missed.Store(true) // everything is looked at when those that wait are done with
				}
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rehome looks for the underlay again and goes where it is now. Where that means
// to leave an address or an interface it waits first, until patience is over:
// later says that it is to be looked for once more then.
func (p *plane) rehome(patienceOver bool) (later bool) {
	moved, rebound, later := p.lookHome(patienceOver)
	// What waits for a disk or for etcd's login is done without mu, which the
	// data path needs to be opened anew.
	if moved {
		p.tellContainers()
	}
	if rebound {
		p.store.Redial() // a connection from the old address would hang
	}
	return later
}

func (p *plane) lookHome(patienceOver bool) (moved, rebound, later bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o, was := p.underlay, p.carrier
	o.Was = was
	u, err := p.host.FindUnderlay(o)
	if err != nil {
		if !p.homeless {
			p.log.Warn().Err(err).Str("interface", was.Name).Msg("the underlay cannot be used now; waiting for it to come back, or for another")
		}
		p.homeless = true
		return false, false, true
	}
	p.homeless = false
	switch {
	case u == was:
		return false, false, false
	case !patienceOver && leaves(was, u):
		return false, false, true
	}
	return true, p.moveTo(u), false
}

// leaves reports whether going from one underlay to another means to leave an
// interface or an address.
func leaves(was, is hostnet.Underlay) bool {
	return is.Name != was.Name || was.Addr.IsValid() && is.Addr != was.Addr || was.Addr6.IsValid() && is.Addr6 != was.Addr6
}

// moveTo makes u the underlay: the MTU, the sockets and what other hosts are
// told follow. It reports whether the sockets are bound anew. mu is held.
func (p *plane) moveTo(u hostnet.Underlay) (rebound bool) {
	was := p.carrier
	p.carrier = u
	p.log.Info().Str("interface", u.Name).Str("was", was.Name).Stringer("address", u.Addr).Stringer("address6", u.Addr6).Int("mtu", u.MTU).
		Msg("the underlay is another now; going there")
	p.remeasure()
	if u.Addr != was.Addr || u.Addr6 != was.Addr6 {
		rebound, p.rebind = true, true
		p.renew()
		p.warnOfEmbedded()
	}
	if p.reg != nil && (u.Public != was.Public || u.Public6 != was.Public6) {
		p.reg.Update(u.Public, u.Public6)
	}
	if was.MTU = u.MTU; u != was {
		close(p.moved)
		p.moved = make(chan struct{})
	}
	return rebound
}

// warnOfEmbedded says when the embedded etcd serves on an address that is not
// this host's any more. mu is held.
func (p *plane) warnOfEmbedded() {
	if !p.embedded {
		return
	}
	l, err := url.Parse(p.embeddedListen)
	if err != nil {
		return
	}
	ip, err := netip.ParseAddr(l.Hostname())
	if err != nil || ip.IsLoopback() || ip.IsUnspecified() || ip == p.carrier.Addr || ip == p.carrier.Addr6 {
		return
	}
	p.log.Error().Str("listen", p.embeddedListen).Stringer("address", p.carrier.Addr).
		Msg("the embedded etcd serves on an address that this host may not have any more: give it back, or restart with another --embedded-etcd-listen and point the other hosts there")
}

// remeasure makes the TAP's MTU what the underlay allows now, unless somebody
// chose another one. mu is held.
func (p *plane) remeasure() {
	mtu, err := p.overlayMTU()
	if err != nil {
		p.log.Error().Err(err).Msg("the underlay's MTU is too small; the TAP keeps its own")
		return
	}
	if mtu == p.mtu {
		return
	}
	set := mtu
	if p.link.MTU != p.mtu {
		set = 0
		p.log.Warn().Str("tap", p.name).Int("is", p.link.MTU).Int("fits", mtu).Msg("somebody chose the TAP's MTU; left as it is")
	}
	p.mtu = mtu
	p.log.Info().Msgf("MTU: %d", mtu)
	if err := p.ensure(set); err != nil {
		p.log.Error().Err(err).Msg("TAP could not be given its MTU")
	}
	p.retable()
	p.applyRoutes()
}

// tellContainers writes the subnet file anew if what it says is not so any more.
func (p *plane) tellContainers() {
	p.mu.Lock()
	r := p.reg
	p.mu.Unlock()
	if r == nil || p.noSubnet {
		return
	}
	if err := p.writeSubnetFile(r); err != nil {
		p.log.Error().Err(err).Msg("subnet file not written; containers are told the MTU of before")
	}
}

// fittingMTU is what the tunnel leaves of the underlay's, in bytes.
func (p *plane) fittingMTU() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mtu
}

// until runs f until ctx ends or stop is closed.
func until(ctx context.Context, stop <-chan struct{}, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := f(ctx)
	cancel()
	<-done
	return err
}
