package hostnet

import (
	"errors"
	"net/netip"
)

// UnderlayOptions says how to find the underlay. With none of the first three
// set it is the interface of the default route. The ones set are tried in the
// order Iface, IfaceRegex, CanReach; the first that fits wins.
type UnderlayOptions struct {
	// Iface are names or addresses of interfaces.
	Iface []string
	// IfaceRegex are regular expressions, matched against the addresses of
	// each interface first, then against its name.
	IfaceRegex []string
	// CanReach is an address: the interface that leads to it.
	CanReach netip.Addr
	// PublicIP and PublicIPv6 are what other hosts are told to send to
	// instead of the interface's own addresses.
	PublicIP, PublicIPv6 netip.Addr
}

// Validate reports all faults of o at once. It looks at no interface.
func (o UnderlayOptions) Validate() error { return nil }

// Underlay is the interface that carries the tunnel.
type Underlay struct {
	// Name and Index are the interface's.
	Name  string
	Index int
	// MTU is the smaller of the interface's and that of its default route, in
	// bytes.
	MTU int
	// Addr and Addr6 are the interface's own addresses, the ones sockets bind
	// to; the zero Addr where it has none of the family. One is always set.
	Addr, Addr6 netip.Addr
	// Public and Public6 are what other hosts are told to send to.
	Public, Public6 netip.Addr
}

// FindUnderlay chooses the interface and addresses that carry the tunnel.
func (h *Host) FindUnderlay(o UnderlayOptions) (Underlay, error) {
	return Underlay{}, errors.ErrUnsupported
}
