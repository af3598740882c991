//go:build linux

package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Target is where a flow ends: a node, and the address of it to use; zero means
// the node's Addr.
type Target struct {
	Node *Node
	At   netip.Addr
}

// Spray sends datagrams of f.Streams flows that take turns, each flow with a
// source port of its own, dealt out to the targets in turn: with 64 flows and 8
// targets every target has 8. It counts what arrives at all of them together. Took
// ends with the last that arrived anywhere.
func (n *Node) Spray(ctx context.Context, to []Target, f Flow) (Transfer, error) {
	if len(to) == 0 {
		return Transfer{}, errors.New("spray: no target")
	}
	f.At = to[0].At
	f, err := f.withDefaults(to[0].Node)
	if err != nil {
		return Transfer{}, err
	}
	t, err := n.spray(ctx, to, f)
	if err != nil {
		return t, fmt.Errorf("spray from %s to %d targets: %w", n.Name, len(to), err)
	}
	return t, nil
}

func (n *Node) spray(ctx context.Context, to []Target, f Flow) (Transfer, error) {
	ins := make([]*net.UDPConn, len(to))
	for i, target := range to {
		in, err := target.listen()
		if err != nil {
			return Transfer{}, err
		}
		defer in.Close()
		defer closeOnEnd(ctx, in)()
		ins[i] = in
	}
	outs := make([]net.Conn, f.Streams)
	for i := range outs {
		out, err := n.Dial(ctx, "udp", ins[i%len(ins)].LocalAddr().String())
		if err != nil {
			return Transfer{}, because(ctx, err)
		}
		defer out.Close()
		outs[i] = out
	}
	return n.sprayOver(ctx, outs, ins, f)
}

// listen opens the target's socket.
func (t Target) listen() (in *net.UDPConn, err error) {
	at := t.At
	if !at.IsValid() {
		at = t.Node.Addr
	}
	err = t.Node.Do(func() error {
		in, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(at, 0)))
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := bigBuffer(in); err != nil {
		_ = in.Close()
		return nil, err
	}
	return in, nil
}

// sprayOver sends and counts.
func (n *Node) sprayOver(ctx context.Context, outs []net.Conn, ins []*net.UDPConn, f Flow) (Transfer, error) {
	start := time.Now()
	got := make([]*tally, len(ins))
	var wg sync.WaitGroup
	for i, in := range ins {
		got[i] = &tally{last: start, next: make([]uint64, len(outs))}
		wg.Go(func() { got[i].collect(in, f.Size) })
	}
	sent, err := takeTurns(ctx, outs, f, start)
	for i, in := range ins {
		got[i].over.Store(true)
		_ = in.SetReadDeadline(time.Now().Add(silence))
	}
	wg.Wait()
	sum, errs := Transfer{Sent: sent}, []error{err}
	for _, t := range got {
		sum.add(t.Transfer)
		sum.Took = max(sum.Took, t.last.Sub(start))
		errs = append(errs, t.err)
	}
	return sum, because(ctx, errors.Join(errs...))
}

// add takes in what another receiver of the same flow has counted.
func (t *Transfer) add(other Transfer) {
	t.Bytes += other.Bytes
	t.Received += other.Received
	t.Doubled += other.Doubled
	t.Reordered += other.Reordered
}

// takeTurns sends one datagram of each flow after the other until the flow is used
// up.
func takeTurns(ctx context.Context, outs []net.Conn, f Flow, start time.Time) (sent int64, err error) {
	buf := make([]byte, f.Size)
	for !f.over(start, sent) && ctx.Err() == nil {
		for _, out := range outs {
			binary.BigEndian.PutUint64(buf, uint64(sent))
			_, err := out.Write(buf)
			// A receiver that is not there yet answers with ICMP errors.
			if err != nil && !isErrno(err, unix.ECONNREFUSED) && !isErrno(err, unix.ENOBUFS) {
				return sent, err
			}
			sent++
		}
	}
	return sent, ctx.Err()
}
