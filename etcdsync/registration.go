package etcdsync

import (
	"context"
	"net/netip"
	"time"
)

// Registration is a host's place in the network. Its methods may be called
// while Run runs.
type Registration struct{}

// Subnet returns the host's IPv4 subnet, the zero Prefix when it has none.
func (r *Registration) Subnet() netip.Prefix { return netip.Prefix{} }

// Subnet6 returns the host's IPv6 subnet, the zero Prefix when it has none.
func (r *Registration) Subnet6() netip.Prefix { return netip.Prefix{} }

// Expires returns when the subnet's lease would run out if it were not kept
// alive; the zero Time for a reservation, which has no lease.
func (r *Registration) Expires() time.Time { return time.Time{} }

// Run keeps the registration: both leases alive, both keys as they should be.
// Whatever is lost is registered again, with the same subnet when that is
// possible. It ends with ctx and returns nil then; nothing is revoked, so that
// a restart finds everything.
func (r *Registration) Run(ctx context.Context) error { return errTodo }

// Update changes the host's addresses, in etcd as soon as it can be reached.
// It does not wait. The addresses of the Claim are replaced.
func (r *Registration) Update(publicIP, publicIPv6 netip.Addr) {}
