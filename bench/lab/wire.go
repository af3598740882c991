//go:build linux

package lab

import (
	"context"
	"errors"
	"time"
)

// Wire is a raw socket on one device of a node: it sees every frame that passes
// and can send any.
type Wire struct{}

// Frame is one frame as captured.
type Frame struct {
	Time     time.Time
	Outgoing bool   // sent by the node itself
	Data     []byte // from the destination MAC on, 802.1Q tag included; owned by the receiver
}

// Wire opens a raw socket on a device. Close it.
func (n *Node) Wire(dev string) (*Wire, error) { return nil, errors.ErrUnsupported }

// Next waits for the next frame.
func (w *Wire) Next(ctx context.Context) (Frame, error) { return Frame{}, errors.ErrUnsupported }

// Find waits for the first frame that match accepts.
func (w *Wire) Find(ctx context.Context, match func(Frame) bool) (Frame, error) {
	return Frame{}, errors.ErrUnsupported
}

// Send sends one frame, which must begin with an Ethernet header.
func (w *Wire) Send(frame []byte) error { return errors.ErrUnsupported }

// Close closes the socket and ends a waiting Next.
func (w *Wire) Close() error { return errors.ErrUnsupported }
