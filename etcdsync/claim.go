package etcdsync

import (
	"context"
	"net/netip"
	"time"

	"github.com/uvtep/uvtep/encap/ether"
)

// Claim is what a host asks of the network: a subnet, and to be known by it.
type Claim struct {
	// Network is the configuration the subnet is cut from.
	Network Network
	// NodeID is the host's identity: 32 lower-case hexadecimal digits.
	NodeID string
	// PublicIP and PublicIPv6 are where other hosts send datagrams; one may
	// be missing.
	PublicIP, PublicIPv6 netip.Addr
	// Port is where, if not the network's port; 0 means that one.
	Port uint16
	// MAC is the address of the host's VTEP.
	MAC ether.Addr
	// NoSubnet asks for the host record alone: no subnet is leased.
	NoSubnet bool
	// Want is the IPv4 subnet to have, or to fail (the IPv6 one in a network
	// without IPv4).
	Want netip.Prefix
	// Previous and Previous6 are the subnets to try first, those the host had.
	Previous, Previous6 netip.Prefix
	// LeaseTTL is how long the subnet outlives its host, 0 means 24 hours.
	LeaseTTL time.Duration
	// LivenessTTL is how long the host record does, 0 means 30 seconds.
	LivenessTTL time.Duration
	// Resubnet, when not nil, is called by Run after the host had to take
	// other subnets than it had, with the Registration holding the new ones.
	Resubnet func(*Registration)
}

// Acquire registers a host: it takes the subnet that is already its own, else
// the one it had, else a free one, and writes the host record. Every write is
// a compare-and-swap. It waits for etcd as long as ctx lasts; its errors are
// ErrBadClaim, ErrNoSubnetFree, ErrSubnetTaken and the end of ctx.
func (s *Store) Acquire(ctx context.Context, c Claim) (*Registration, error) {
	return nil, errTodo
}
