//go:build linux

package lab

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// Pings says how to ping. The zero value is three echoes of 56 bytes that may
// take a second each, one after the other.
type Pings struct {
	Count   int           // 0 means 3
	Size    int           // bytes of payload; 0 means 56
	Timeout time.Duration // of each; 0 means 1 s
}

// Echoes is what came of it.
type Echoes struct {
	Sent, Received int
	Min, Avg, Max  time.Duration
}

// Ping sends ICMP echo requests from the node. The error says why not all were
// answered.
func (n *Node) Ping(ctx context.Context, to netip.Addr, p Pings) (Echoes, error) {
	return Echoes{}, errors.ErrUnsupported
}

// Reach pings until the first answer comes or ctx ends.
func (n *Node) Reach(ctx context.Context, to netip.Addr) error { return errors.ErrUnsupported }
