package hostnet

import (
	"errors"
	"net/netip"
)

// Masquerade says whose traffic is masqueraded where it leaves the overlay.
type Masquerade struct {
	// Network and IPv6Network are the whole overlay, Subnet and IPv6Subnet
	// this host's part of it. A zero prefix means that the family is not in
	// use.
	Network, IPv6Network netip.Prefix
	Subnet, IPv6Subnet   netip.Prefix
}

// EnsureMasquerade makes the rules of m the ones in force, all at once. It may
// be called at any time.
func (h *Host) EnsureMasquerade(m Masquerade) error { return errors.ErrUnsupported }

// RemoveMasquerade removes the rules; it is no error when there are none.
func (h *Host) RemoveMasquerade() error { return errors.ErrUnsupported }
