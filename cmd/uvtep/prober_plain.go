package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/uvtep/uvtep/encap/echo"
)

const (
	// plainTries is how many ports are tried for one that is free on both
	// addresses of a host.
	plainTries = 8
	// plainAgain is how often the port is tried on a new address that it cannot be
	// bound to.
	plainAgain = time.Second
)

// openPlain binds the sockets for messages without VXLAN to the host's addresses,
// on a port of their own that is the same on both. Without, others find out
// less.
func (p *prober) openPlain(addrs []netip.Addr) {
	var err error
	for range plainTries {
		if err = p.bindPlain(addrs); err == nil {
			return
		}
		p.closePlain()
		p.mu.Lock()
		p.port = 0
		p.mu.Unlock()
	}
	p.log.Warn().Err(err).Msg("no UDP port for probes without VXLAN; `uvtep probe` on other hosts tells less about this one")
}

// bindPlain binds the port, or the first time any.
func (p *prober) bindPlain(addrs []netip.Addr) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range addrs {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, p.port)))
		if err != nil {
			return err
		}
		p.plain[a] = c
		p.port = c.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	}
	return nil
}

// closePlain closes the sockets; the port is remembered.
func (p *prober) closePlain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for a, c := range p.plain {
		_ = c.Close()
		delete(p.plain, a)
	}
}

// listenPlain answers what comes without VXLAN, until ctx ends.
func (p *prober) listenPlain(ctx context.Context) error {
	p.mu.Lock()
	var all []*net.UDPConn
	for _, c := range p.plain {
		all = append(all, c)
	}
	p.mu.Unlock()
	var wg sync.WaitGroup
	for _, c := range all {
		wg.Go(func() { p.readPlain(c) })
	}
	<-ctx.Done()
	p.closePlain()
	wg.Wait()
	return nil
}

// readPlain reads until the socket is closed.
func (p *prober) readPlain(c *net.UDPConn) {
	buf := make([]byte, echo.MaxSize+1)
	for {
		n, from, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			p.takePlain(c, buf[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()))
		}
	}
}

// takePlain deals with a message that came without VXLAN.
func (p *prober) takePlain(c *net.UDPConn, b []byte, from netip.AddrPort) {
	at := time.Now()
	m, h := p.known(b, len(b), echo.Plain, from.Addr())
	switch {
	case h == nil:
		p.count.refused.Add(1)
	case m.Kind == echo.Answer:
		if p.takeAnswer(&m, h, arrival{at, b}) {
			p.count.heard.Add(1)
			return
		}
		p.count.refused.Add(1)
	default:
		r, ok := p.answer(&m, h, b)
		if !ok {
			p.count.refused.Add(1)
			return
		}
		p.count.answered.Add(1)
		out := make([]byte, r.m.Size)
		r.m.Held = time.Since(at)
		r.m.Put(out, &r.secret)
		_, _ = c.WriteToUDPAddrPort(out, from) // one that is lost is what is looked for
	}
}

// sendPlain sends a message without VXLAN, from the address of its family.
func (p *prober) sendPlain(m *echo.Message, s *echo.Secret, to netip.AddrPort) error {
	p.mu.Lock()
	var c *net.UDPConn
	for a, conn := range p.plain {
		if a.Is4() == to.Addr().Is4() {
			c = conn
		}
	}
	p.mu.Unlock()
	switch {
	case c == nil:
		return errors.New("this agent has no UDP port for it")
	case to.Port() == 0:
		return errors.New("the peer's agent has no UDP port for it")
	}
	b := make([]byte, m.Size)
	m.Put(b, s)
	if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	return nil
}

// answerPlain answers what comes without VXLAN, on the host's addresses as they
// are, until ctx ends.
func (p *plane) answerPlain(ctx context.Context) error {
	for ctx.Err() == nil {
		_, moved := p.trunk.home()
		if err := until(ctx, moved, p.prober.listenPlain); err != nil || ctx.Err() != nil {
			return err
		}
		p.rebindPlain(ctx)
	}
	return nil
}

// rebindPlain binds the port that others were told to the host's new addresses.
func (p *plane) rebindPlain(ctx context.Context) {
	for said := false; ctx.Err() == nil; {
		_, moved := p.trunk.home()
		err := p.prober.bindPlain(p.trunk.boundTo())
		if err == nil || p.prober.told().Port == 0 {
			return
		}
		p.prober.closePlain()
		if !said {
			p.log.Warn().Err(err).Dur("again_in", plainAgain).Msg("the UDP port for probes without VXLAN cannot be bound to the host's new address")
			said = true
		}
		select {
		case <-ctx.Done():
		case <-moved:
		case <-time.After(plainAgain):
		}
	}
}
