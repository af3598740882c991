package main

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/uvtep/uvtep/internal/hostnet"
)

// returnWait is how long an address or an interface that went is expected back
// before the host goes elsewhere: addresses are renewed by taking and giving,
// links flap. While there is no underlay at all it is looked for as often.
const returnWait = time.Second

// base is where the tunnel starts on this host. The trunk's mu guards it.
type base struct {
	carrier  hostnet.Underlay // the interface that carries the tunnel
	moved    chan struct{}    // closed when the carrier is another, then made anew
	rebind   bool             // the sockets are to be bound to other addresses
	letGo    chan struct{}    // closed when they are, then made anew
	homeless bool             // there is no underlay that can be used, and that was said
}

// await waits for an underlay.
func (t *trunk) await(ctx context.Context) error {
	u, err := t.host.AwaitUnderlay(ctx, t.underlay)
	t.carrier = u
	return err
}

// lookAgain looks at the underlay once more before there are sockets: the wait for
// a network may have been a long one. What cannot be found now is as it was.
func (t *trunk) lookAgain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sockets != nil {
		return
	}
	o := t.underlay
	o.Was = t.carrier
	u, err := t.host.FindUnderlay(o)
	if err != nil {
		t.log.Warn().Err(err).Msg("the underlay cannot be used now")
		return
	}
	t.carrier = u
}

// where returns where the tunnel starts.
func (t *trunk) where() hostnet.Underlay {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.carrier
}

// place returns where the tunnel starts, and whether that can be used now.
func (t *trunk) place() (u hostnet.Underlay, usable bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.carrier, !t.homeless
}

// home returns the host's own underlay addresses, and a channel that is closed
// when they are others, or the interface is.
func (t *trunk) home() (own []netip.Addr, moved <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.carrier
	for _, ip := range []netip.Addr{c.Addr, c.Addr6, c.Public, c.Public6} {
		if ip.IsValid() {
			own = append(own, ip)
		}
	}
	return own, t.moved
}

// watch hears from the kernel of changes of the underlay.
func (t *trunk) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		t.mu.Lock()
		c, moved := hostnet.WatchConfig{Underlay: t.carrier.Name}, t.moved
		t.mu.Unlock()
		err := until(ctx, moved, func(ctx context.Context) error {
			return t.host.Watch(ctx, c, func(e hostnet.Event) {
				select {
				case t.kick <- e:
				default:
					t.missed.Store(true) // it is looked at when those that wait are done with
				}
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// mend follows the underlay.
func (t *trunk) mend(ctx context.Context) error {
	again := time.NewTimer(returnWait)
	again.Stop()
	for {
		later := false
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
			later = t.rehome(true)
		case e := <-t.kick:
			later = t.hear(e)
			if t.missed.Swap(false) {
				later = t.rehome(false) || later
			}
		}
		if later {
			again.Reset(returnWait)
		}
	}
}

// hear acts on an event. later says that the underlay is to be looked for once
// more in a while.
func (t *trunk) hear(e hostnet.Event) (later bool) {
	switch e.Kind {
	case hostnet.UnderlayAddr, hostnet.UnderlayMTU, hostnet.UnderlayDown, hostnet.UnderlayUp, hostnet.UnderlayRoute:
		t.log.Warn().Str("interface", e.Device).Str("event", fmt.Sprint(e.Kind)).Str("was", e.Was).Str("is", e.Is).Msg("the underlay changed")
	case hostnet.Resync:
	default:
		return false
	}
	return t.rehome(false)
}

// rehome looks for the underlay again and goes where it is now, with all networks.
// Where that means to leave an address or an interface it waits first, until
// patience is over: later says that it is to be looked for once more then.
func (t *trunk) rehome(patienceOver bool) (later bool) {
	moved, rebound, later := t.lookHome(patienceOver)
	if moved {
		for _, p := range t.working() {
			p.rehomed()
		}
	}
	if rebound {
		t.store.Redial() // a connection from the old address would hang
	}
	return later
}

func (t *trunk) lookHome(patienceOver bool) (moved, rebound, later bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	o, was := t.underlay, t.carrier
	o.Was, o.Silent = was, true
	u, err := t.host.FindUnderlay(o)
	if err != nil {
		if !t.homeless {
			t.log.Warn().Err(err).Str("interface", was.Name).Msg("the underlay cannot be used now; waiting for it to come back, or for another")
		}
		t.homeless = true
		return false, false, true
	}
	t.homeless = false
	switch {
	case u == was:
		return false, false, false
	case leaves(was, u) && (!patienceOver || was.Addr6.IsValid() && !u.Addr6.IsValid() && t.host.Settles(u.Name)):
		return false, false, true
	}
	t.host.Announce(u)
	return true, t.moveTo(u), false
}

// leaves reports whether going from one underlay to another means to leave an
// interface or an address.
func leaves(was, is hostnet.Underlay) bool {
	return is.Name != was.Name || was.Addr.IsValid() && is.Addr != was.Addr || was.Addr6.IsValid() && is.Addr6 != was.Addr6
}

// moveTo makes u the underlay, and has the sockets bound to its addresses. It
// reports whether these are others. mu is held.
func (t *trunk) moveTo(u hostnet.Underlay) (rebound bool) {
	was := t.carrier
	t.carrier = u
	t.log.Info().Str("interface", u.Name).Str("was", was.Name).Stringer("address", u.Addr).Stringer("address6", u.Addr6).Int("mtu", u.MTU).
		Msg("the underlay is another now; going there")
	if u.Addr != was.Addr || u.Addr6 != was.Addr6 {
		rebound = true
		if t.sockets != nil {
			t.rebindSockets()
		}
		t.warnOfEmbedded()
	}
	if was.MTU = u.MTU; u != was {
		close(t.moved)
		t.moved = make(chan struct{})
	}
	return rebound
}

// warnOfEmbedded says when the embedded etcd serves on an address that is not
// this host's any more. mu is held.
func (t *trunk) warnOfEmbedded() {
	if !t.embedded {
		return
	}
	l, err := url.Parse(t.embeddedListen)
	if err != nil {
		return
	}
	ip, err := netip.ParseAddr(l.Hostname())
	if err != nil || ip.IsLoopback() || ip.IsUnspecified() || ip == t.carrier.Addr || ip == t.carrier.Addr6 {
		return
	}
	t.log.Error().Str("listen", t.embeddedListen).Stringer("address", t.carrier.Addr).
		Msg("the embedded etcd serves on an address that this host may not have any more: give it back, or restart with another --embedded-etcd-listen and point the other hosts there")
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
