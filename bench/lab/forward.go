//go:build linux

package lab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// dialTimeout bounds the second half of a forwarded connection, whose first half
// is accepted already.
const dialTimeout = 5 * time.Second

// Forward listens on a free port of the caller's own namespace, on loopback, and
// carries each TCP connection to addr as seen from the node. It ends with the lab.
func (n *Node) Forward(addr netip.AddrPort) (netip.AddrPort, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("forward to %v from %s: %w", addr, n.Name, err)
	}
	if !n.lab.track(ln) {
		return netip.AddrPort{}, ErrClosed
	}
	n.lab.wg.Go(func() { n.accept(ln, addr) })
	return ln.Addr().(*net.TCPAddr).AddrPort(), nil
}

func (n *Node) accept(ln net.Listener, addr netip.AddrPort) {
	for {
		near, err := ln.Accept()
		if err != nil {
			return
		}
		n.lab.wg.Go(func() { n.carry(near, addr) })
	}
}

// carry joins a connection to one of the node's until both directions have ended.
func (n *Node) carry(near net.Conn, addr netip.AddrPort) {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	far, err := n.Dial(ctx, "tcp", addr.String())
	cancel()
	if err != nil {
		_ = near.Close()
		return
	}
	both := &pair{near: near.(*net.TCPConn), far: far.(*net.TCPConn)}
	if !n.lab.track(both) {
		return
	}
	defer n.lab.forget(both)
	defer both.Close()
	var wg sync.WaitGroup
	wg.Go(func() { pour(both.near, both.far) })
	wg.Go(func() { pour(both.far, both.near) })
	wg.Wait()
}

// pair is a forwarded connection.
type pair struct{ near, far *net.TCPConn }

func (p *pair) Close() error {
	_ = p.near.Close()
	return p.far.Close()
}

// pour copies one direction and passes its end on.
func pour(dst, src *net.TCPConn) {
	_, _ = io.Copy(dst, src)
	_ = dst.CloseWrite()
	_ = src.CloseRead()
}
