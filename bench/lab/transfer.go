//go:build linux

package lab

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

// Flow says what to send. Bytes or For must be set.
type Flow struct {
	Bytes   int64         // how much
	For     time.Duration // or for how long
	At      netip.Addr    // the receiver's address to use; zero means its Addr
	Streams int           // parallel TCP connections; 0 means 1
	Size    int           // bytes of payload a UDP datagram; 0 means 1200
	NoHash  bool          // TCP: do not compare SHA-256 sums, which cost throughput
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
func (t Transfer) BitsPerSecond() float64 { return 0 }

// TCP sends bytes from the node to another over TCP. It fails if what arrives is
// not what was sent, by SHA-256.
func (n *Node) TCP(ctx context.Context, to *Node, f Flow) (Transfer, error) {
	return Transfer{}, errors.ErrUnsupported
}

// UDP sends numbered datagrams as fast as it can. Loss is no error.
func (n *Node) UDP(ctx context.Context, to *Node, f Flow) (Transfer, error) {
	return Transfer{}, errors.ErrUnsupported
}
