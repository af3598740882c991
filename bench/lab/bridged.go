//go:build linux

package lab

import (
	"context"
	"errors"
)

// AddBridged adds a namespace to a bridge of the host that an agent's TAP is a port
// of: a station of the overlay's Ethernet. Its eth0 is up and has the TAP's MTU,
// and no address.
func (h *Host) AddBridged(ctx context.Context, bridge, name string) (*Node, error) {
	tap, err := h.Link(h.TAP)
	if err != nil {
		return nil, err
	}
	n, err := h.lab.newNode(h.Name+name, plainSysctls(false))
	if err != nil {
		return nil, err
	}
	if err := h.addPort(ctx, bridge, name, n, hostDev, tap.MTU); err != nil {
		return nil, errors.Join(err, h.lab.drop(n, h.Node, name))
	}
	return n, nil
}
