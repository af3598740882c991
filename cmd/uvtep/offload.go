package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uvtep/uvtep/internal/admin"
	"github.com/uvtep/uvtep/switch/tap"
)

// What can be wished of the TAP's offloads.
const (
	offloadAuto = "auto" // on, where the kernel has them
	offloadOff  = "off"
)

func validOffload(s string) bool { return s == offloadAuto || s == offloadOff }

// renewalPatience is how long a change waits for a TAP that is made anew: less
// than the one who asked does, so that the answer still reaches it.
const renewalPatience = 5 * time.Second

// offloadPath is where an agent is told to turn the offloads on and off.
const offloadPath = "/v1/link/offload"

// offloadChange is what it is told.
type offloadChange struct {
	Offload string `json:"offload"`
}

// offloads is the part of a plane that can be switched while it runs. The wish
// is the plane's and not the TAP's, and so holds for one that is made anew. The
// plane's mu guards it.
type offloads struct {
	wish     string
	plain    bool          // the queues are opened without virtio headers
	mergeUDP bool          // the TAP takes superframes of UDP, wished for or not
	renewal  chan struct{} // not nil: the TAP is made anew, until it is closed
}

// opened sets the offloads of a device that has just been opened. They are on
// for a moment in any case: that tells what may be turned on later.
func (o *offloads) opened(dev *tap.Device) error {
	err := dev.SetOffload(true)
	o.mergeUDP = dev.Capabilities.UDP
	if err == nil && o.wish == offloadOff {
		err = dev.SetOffload(false)
	}
	return err
}

// closed says that the device is closed and will be opened anew.
func (o *offloads) closed() {
	if o.renewal == nil {
		o.renewal = make(chan struct{})
	}
}

// renewed says that the device is open again.
func (o *offloads) renewed() {
	close(o.renewal)
	o.renewal = nil
}

// setOffload turns the offloads on or off. When it returns without an error no
// superframe passes the TAP any more, or they do again.
func (a *agent) setOffload(ctx context.Context, c offloadChange) (any, error) {
	if !validOffload(c.Offload) {
		return nil, admin.BadRequest{Err: fmt.Errorf("offload %q: say auto or off", c.Offload)}
	}
	for _, p := range a.working() {
		if err := p.setOffload(ctx, c); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return a.links(), nil
}

func (p *plane) setOffload(ctx context.Context, c offloadChange) error {
	renewal, err := p.turn(ctx, c.Offload)
	if err != nil {
		return fmt.Errorf("turn offload %s: %w; say it once more, or restart the agent with --offload %s", c.Offload, err, c.Offload)
	}
	if renewal != nil {
		ctx, cancel := context.WithTimeout(ctx, renewalPatience)
		defer cancel()
		select {
		case <-renewal:
		case <-ctx.Done():
			return fmt.Errorf("offload %s: %w: the TAP is still being made anew; the agent's log says why", c.Offload, ctx.Err())
		}
	}
	return nil
}

// turn does what is wished. If the TAP has to be made anew first, or just now
// is, renewal is closed when it has been.
func (p *plane) turn(ctx context.Context, wish string) (renewal <-chan struct{}, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wish = wish
	p.log.Info().Str("tap", p.name).Str("offload", wish).Msg("offload wish changed")
	switch {
	case p.shut: // its descriptors may be somebody else's by now
		err = errors.New("the agent is stopping")
	case p.renewal != nil: // it will be as is wished
	case wish == offloadOff:
		err = p.stopSuperframes(ctx)
	case p.plain:
		p.reheader()
	default:
		err = p.startSuperframes()
	}
	if errors.Is(err, tap.ErrGone) { // which is about to be noticed
		p.offloads.closed()
		err = nil
	}
	return p.renewal, err
}

// stopSuperframes ends superframes inwards first, and waits until none is being
// written any more. Those that the device has queued before it stops to make
// them are split like all others. mu is held.
func (p *plane) stopSuperframes(ctx context.Context) error {
	p.retable()
	if err := p.trunk.sw.Settle(ctx); err != nil {
		return err
	}
	return p.dev.SetOffload(false)
}

// startSuperframes lets the device make superframes, and if it does, makes them
// inwards too. mu is held.
func (p *plane) startSuperframes() error {
	err := p.dev.SetOffload(true)
	p.retable()
	return err
}

// reheader has the queues opened anew, with virtio headers: a device gets or
// loses them with its first queue only. What waits in the queues is lost, which
// an agent that began with offloads is spared. mu is held.
func (p *plane) reheader() {
	p.plain = false
	p.renew()
}

// renew has the queues opened anew, unless they are being already. mu is held.
func (p *plane) renew() {
	if p.renewal == nil {
		p.offloads.closed()
		p.dev.Wake()
	}
}
