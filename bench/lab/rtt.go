//go:build linux

package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pongPatience is how long an answer may take before it counts as lost.
const pongPatience = 100 * time.Millisecond

// RTTs are round trip times.
type RTTs struct {
	Lost int // not answered in time

	sorted []time.Duration
}

// Len is how many were measured.
func (r RTTs) Len() int { return len(r.sorted) }

// Percentile is the time that p per cent of all took at most, by nearest rank;
// zero if none was measured.
func (r RTTs) Percentile(p float64) time.Duration {
	if len(r.sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(p / 100 * float64(len(r.sorted))))
	return r.sorted[max(rank, 1)-1]
}

// RTT sends datagrams to a node that sends each back, the next when the last is
// back or lost. What the first fifth of the flow's time has seen is left out: that
// is how long a load beside it may take to come up. Both ends block in the kernel
// on threads of their own, as two programs would, and Go's poller has no part in
// the figures.
func (n *Node) RTT(ctx context.Context, to *Node, f Flow) (RTTs, error) {
	f, err := f.withDefaults(to)
	if err != nil {
		return RTTs{}, err
	}
	r, err := n.rtt(ctx, to, f)
	if err != nil {
		return r, fmt.Errorf("RTT from %s to %s (%v): %w", n.Name, to.Name, f.At, err)
	}
	return r, nil
}

func (n *Node) rtt(ctx context.Context, to *Node, f Flow) (RTTs, error) {
	near, far, err := n.pair(ctx, to, f.At)
	if err != nil {
		return RTTs{}, err
	}
	defer near.Close()
	defer far.Close()
	var over atomic.Bool
	echoed := make(chan error, 1)
	go func() { echoed <- echo(int(far.Fd()), &over) }()
	p := pong{fd: int(near.Fd()), out: make([]byte, f.Size), in: make([]byte, f.Size)}
	r, err := p.play(ctx, f)
	over.Store(true)
	slices.Sort(r.sorted)
	return r, because(ctx, errors.Join(err, <-echoed, ctx.Err()))
}

// pair makes two UDP sockets that are connected to each other.
func (n *Node) pair(ctx context.Context, to *Node, at netip.Addr) (near, far *os.File, err error) {
	in, err := Target{to, at}.listen()
	if err != nil {
		return nil, nil, err
	}
	defer in.Close()
	out, err := n.Dial(ctx, "udp", in.LocalAddr().String())
	if err != nil {
		return nil, nil, err
	}
	defer out.Close()
	if near, err = blocking(out.(*net.UDPConn)); err != nil {
		return nil, nil, err
	}
	if far, err = blocking(in); err == nil {
		if err = connect(far, near); err == nil {
			return near, far, nil
		}
		_ = far.Close()
	}
	_ = near.Close()
	return nil, nil, err
}

// blocking takes a socket away from Go's poller: calls on the copy that it
// returns block in the kernel, for pongPatience at most.
func blocking(c *net.UDPConn) (*os.File, error) {
	f, err := c.File()
	if err != nil {
		return nil, err
	}
	patience := unix.NsecToTimeval(int64(pongPatience))
	err = errors.Join(
		unix.SetNonblock(int(f.Fd()), false),
		unix.SetsockoptTimeval(int(f.Fd()), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience),
	)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// connect makes far send to near, and receive from near alone.
func connect(far, near *os.File) error {
	at, err := unix.Getsockname(int(near.Fd()))
	if err != nil {
		return err
	}
	return unix.Connect(int(far.Fd()), at)
}

// echo sends back what comes until it is over.
func echo(fd int, over *atomic.Bool) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	buf := make([]byte, maxDatagram)
	for !over.Load() {
		n, err := unix.Read(fd, buf)
		if err == nil {
			_, err = unix.Write(fd, buf[:n])
		}
		if err != nil && !passing(err) {
			return err
		}
	}
	return nil
}

// passing tells whether a call came to nothing without anything being wrong: a
// signal of Go's runtime, nothing received in time, a full queue, or the peer's
// socket not there yet.
func passing(err error) bool {
	return isErrno(err, unix.EINTR) || isErrno(err, unix.EAGAIN) || isErrno(err, unix.ENOBUFS) || isErrno(err, unix.ECONNREFUSED)
}

// pong is the side that measures.
type pong struct {
	fd      int
	out, in []byte
}

// play measures until the flow is used up.
func (p *pong) play(ctx context.Context, f Flow) (r RTTs, err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r.sorted = make([]time.Duration, 0, 1<<17) // more than a second has room for
	start := time.Now()
	for seq := int64(0); !f.over(start, seq) && ctx.Err() == nil; seq++ {
		binary.BigEndian.PutUint64(p.out, uint64(seq))
		sent := time.Now()
		back, err := p.exchange(uint64(seq))
		switch {
		case err != nil:
			return r, err
		case time.Since(start) < f.For/5:
		case back:
			r.sorted = append(r.sorted, time.Since(sent))
		default:
			r.Lost++
		}
	}
	return r, nil
}

// exchange sends one datagram and waits for its return.
func (p *pong) exchange(seq uint64) (back bool, err error) {
	if _, err := unix.Write(p.fd, p.out); err != nil && !passing(err) {
		return false, err
	}
	for {
		n, err := unix.Read(p.fd, p.in)
		switch {
		case isErrno(err, unix.EINTR):
		case err != nil && passing(err):
			return false, nil
		case err != nil:
			return false, err
		case n >= seqLen && binary.BigEndian.Uint64(p.in) == seq: // not one given up before
			return true, nil
		}
	}
}
