//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Flow says what to send. Bytes or For must be set.
type Flow struct {
	Bytes   int64         // how much
	For     time.Duration // or for how long
	At      netip.Addr    // the receiver's address to use; zero means its Addr
	Streams int           // parallel TCP connections, or UDP flows that take turns; 0 means 1
	Size    int           // bytes of payload in a UDP datagram, at least 8; 0 means 1200
	NoHash  bool          // TCP: do not compare SHA-256 sums, which cost throughput
}

// withDefaults fills in what was left out, for a flow to a node.
func (f Flow) withDefaults(to *Node) (Flow, error) {
	if !f.At.IsValid() {
		f.At = to.Addr
	}
	if f.Streams == 0 {
		f.Streams = 1
	}
	if f.Size == 0 {
		f.Size = 1200
	}
	switch {
	case (f.Bytes > 0) == (f.For > 0):
		return f, errors.New("flow: want Bytes or For, one of them")
	case f.Size < seqLen || f.Size > maxDatagram:
		return f, fmt.Errorf("flow: Size %d: want %d to %d", f.Size, seqLen, maxDatagram)
	case f.Streams < 0:
		return f, fmt.Errorf("flow: %d streams", f.Streams)
	}
	return f, nil
}

// over tells whether a flow of datagrams that began at start is used up when that
// many have been sent.
func (f Flow) over(start time.Time, sent int64) bool {
	if f.For > 0 {
		return time.Since(start) >= f.For
	}
	return sent*int64(f.Size) >= f.Bytes
}

// Transfer is what came of a flow.
type Transfer struct {
	Bytes     int64         // payload that arrived
	Took      time.Duration // from the first byte sent to the last received
	Sent      int64         // UDP: datagrams sent
	Received  int64         // UDP: datagrams that arrived, each counted once
	Doubled   int64         // UDP: datagrams that arrived again
	Reordered int64         // UDP: datagrams that arrived after a later one
}

// BitsPerSecond is the payload's rate.
func (t Transfer) BitsPerSecond() float64 {
	if t.Took <= 0 {
		return 0
	}
	return float64(t.Bytes) * 8 / t.Took.Seconds()
}

// closeOnEnd closes what c holds when ctx ends, so that blocked calls return. The
// function that it returns undoes that.
func closeOnEnd(ctx context.Context, c ...net.Conn) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		for _, conn := range c {
			_ = conn.Close()
		}
	})
}

// because prefers the reason for which ctx ended to what it made fail.
func because(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
