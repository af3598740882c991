package hostnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/encap/ether"
)

// ErrNoLink is returned when no interface has the name asked for.
var ErrNoLink = errors.New("no such interface")

// Link is an interface as it is.
type Link struct {
	// Name and Index are the interface's. While the namespace lives, an index
	// is rarely used again for another interface.
	Name  string
	Index int
	// MAC is the interface's address.
	MAC ether.Addr
	// MTU is in bytes.
	MTU int
	// Up is the administrative state.
	Up bool
	// Carrier is whether it is up and something is at its other end: of a TAP, a
	// program that has it open.
	Carrier bool
	// Ours says that EnsureLink has dressed it, or made it as a bridge.
	Ours bool
	// Bridge is the name of the bridge it belongs to, or empty.
	Bridge string
	// Addrs are all its addresses, ours and foreign, sorted.
	Addrs []netip.Prefix
}

// FindLink returns the interface of that name as it is, or ErrNoLink.
func (h *Host) FindLink(name string) (Link, error) {
	a, err := h.attrs(name)
	if err != nil {
		return Link{}, err
	}
	l := Link{
		Name:    a.Name,
		Index:   a.Index,
		MAC:     addrOf(a.HardwareAddr),
		MTU:     a.MTU,
		Up:      a.Flags&net.FlagUp != 0,
		Carrier: a.RawFlags&unix.IFF_LOWER_UP != 0,
		Ours:    a.Alias == alias,
	}
	if l.Addrs, err = h.addrsOn(a.Index); err != nil {
		return Link{}, fmt.Errorf("addresses of %s: %w", name, err)
	}
	if a.MasterIndex == 0 {
		return l, nil
	}
	m, err := h.handle.LinkByIndex(a.MasterIndex)
	if err != nil {
		return Link{}, fmt.Errorf("bridge of %s: %w", name, err)
	}
	l.Bridge = m.Attrs().Name
	return l, nil
}

// attrs looks an interface up by its name.
func (h *Host) attrs(name string) (*netlink.LinkAttrs, error) {
	l, err := h.handle.LinkByName(name)
	if noLink(err) {
		return nil, fmt.Errorf("interface %q: %w", name, ErrNoLink)
	}
	if err != nil {
		return nil, fmt.Errorf("interface %q: %w", name, err)
	}
	return l.Attrs(), nil
}

// noLink reports whether err says that there is no such interface (any more).
func noLink(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing) || errors.Is(err, unix.ENODEV)
}

// addrsOn lists the addresses of one interface, sorted.
func (h *Host) addrsOn(index int) ([]netip.Prefix, error) {
	as, err := h.addrs()
	if err != nil {
		return nil, err
	}
	return prefixesOn(as, index), nil
}

func prefixesOn(as []addr, index int) []netip.Prefix {
	var ps []netip.Prefix
	for _, a := range as {
		if a.index == index {
			ps = append(ps, a.prefix)
		}
	}
	slices.SortFunc(ps, netip.Prefix.Compare)
	return ps
}

// addrOf is an Ethernet address in our words; interfaces without one (lo, tun)
// have the zero Addr.
func addrOf(b net.HardwareAddr) ether.Addr {
	if len(b) != ether.AddrLen {
		return ether.Addr{}
	}
	return ether.Addr(b)
}

// SetDown brings the interface down; it is no error when there is none.
func (h *Host) SetDown(name string) error {
	return h.onLink(name, "bring down", func(l netlink.Link) error { return h.handle.LinkSetDown(l) })
}

// DeleteLink removes the interface; it is no error when there is none.
func (h *Host) DeleteLink(name string) error {
	return h.onLink(name, "delete", func(l netlink.Link) error { return h.handle.LinkDel(l) })
}

// onLink does something to an interface if it is there.
func (h *Host) onLink(name, what string, do func(netlink.Link) error) error {
	l, err := h.handle.LinkByName(name)
	if err == nil {
		err = do(l)
	}
	if err == nil || noLink(err) {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, name, err)
}
