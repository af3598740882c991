package hostnet

import (
	"errors"
	"net/netip"

	"github.com/uvtep/uvtep/encap/ether"
)

// ErrNoLink is returned when no interface has the name asked for.
var ErrNoLink = errors.New("no such interface")

// LinkConfig is how an interface shall be.
type LinkConfig struct {
	// MAC is its address; the zero Addr leaves it as it is.
	MAC ether.Addr
	// MTU is in bytes; 0 leaves it as it is.
	MTU int
	// Addrs are the addresses it carries. Other addresses of ours are
	// removed, foreign ones stay.
	Addrs []netip.Prefix
	// Up brings the interface up. It is never brought down by a false.
	Up bool
	// Bridge is the bridge it belongs to, made if there is none of the name;
	// empty leaves it as it is.
	Bridge string
}

// Link is an interface as it is.
type Link struct {
	// Name and Index are the interface's; the index is never used again for
	// another one while the namespace lives.
	Name  string
	Index int
	// MAC is the interface's address.
	MAC ether.Addr
	// MTU is in bytes.
	MTU int
	// Up is the administrative state.
	Up bool
	// Bridge is the name of the bridge it belongs to, or empty.
	Bridge string
	// Addrs are all its addresses, ours and foreign, sorted.
	Addrs []netip.Prefix
}

// FindLink returns the interface of that name as it is, or ErrNoLink.
func (h *Host) FindLink(name string) (Link, error) { return Link{}, errors.ErrUnsupported }

// EnsureLink makes the interface what c says and returns what it became. What
// is right already is not touched, so it may be called at any time and as
// often as one likes. The kernel's own noise on the interface (IPv6 link-local
// address, router solicitations) is turned off.
func (h *Host) EnsureLink(name string, c LinkConfig) (Link, error) {
	return Link{}, errors.ErrUnsupported
}

// SetDown brings the interface down; it is no error when there is none.
func (h *Host) SetDown(name string) error { return errors.ErrUnsupported }

// DeleteLink removes the interface; it is no error when there is none.
func (h *Host) DeleteLink(name string) error { return errors.ErrUnsupported }
