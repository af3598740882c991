package hostnet

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"

	"github.com/uvtep/uvtep/encap/ether"
)

// LinkConfig is how an interface shall be.
type LinkConfig struct {
	// MAC is its address; the zero Addr leaves it as it is.
	MAC ether.Addr
	// MTU is in bytes; 0 leaves it as it is.
	MTU int
	// Addrs are the addresses it carries; with an IPv6 one goes a link-local
	// one, made from the MAC. Other addresses of ours are removed, foreign
	// ones stay.
	Addrs []netip.Prefix
	// Up brings the interface up. It is never brought down by a false.
	Up bool
	// Bridge is the bridge it belongs to, made if there is none of the name;
	// empty leaves it as it is.
	Bridge string
}

// EnsureLink makes the interface what c says and returns what it became. What
// is right already is not touched, so it may be called at any time and as
// often as one likes. The kernel's own noise on the interface (an IPv6
// address of its own choice, router solicitations) is turned off, and an alias marks it as ours.
// On an error some of it may be done; calling again does the rest. Watch does
// not tell what EnsureLink did.
func (h *Host) EnsureLink(name string, c LinkConfig) (Link, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	a, err := h.attrs(name)
	if err != nil {
		return Link{}, err
	}
	for _, step := range []struct {
		what string
		do   func(*netlink.LinkAttrs, LinkConfig) error
	}{
		{"mark", h.ensureAlias},
		{"set MAC of", h.ensureMAC},
		{"set MTU of", h.ensureMTU},
		{"quiet", h.ensureQuiet}, // before it is up, or the noise is out already
		{"put into bridge", h.ensureBridge},
		{"bring up", h.ensureUp},
		{"set addresses of", h.ensureAddrs},
	} {
		if err := step.do(a, c); err != nil {
			return Link{}, fmt.Errorf("%s %s: %w", step.what, name, err)
		}
	}
	l, err := h.FindLink(name)
	if err == nil {
		h.turn++
		h.attire[l.Index] = attire{turn: h.turn, config: c, addrs: describePrefixes(l.Addrs)}
	}
	return l, err
}

// addrGenModeNone is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const addrGenModeNone = 1

// device is what the netlink library wants to see of an interface.
func device(a *netlink.LinkAttrs) netlink.Link { return &netlink.Device{LinkAttrs: *a} }

// ensureAlias marks the interface as ours, unless somebody named it otherwise.
func (h *Host) ensureAlias(a *netlink.LinkAttrs, _ LinkConfig) error {
	if a.Alias != "" {
		return nil
	}
	return h.handle.LinkSetAlias(device(a), alias)
}

func (h *Host) ensureMAC(a *netlink.LinkAttrs, c LinkConfig) error {
	if c.MAC.IsZero() || c.MAC == addrOf(a.HardwareAddr) {
		return nil
	}
	return h.handle.LinkSetHardwareAddr(device(a), c.MAC[:])
}

func (h *Host) ensureMTU(a *netlink.LinkAttrs, c LinkConfig) error {
	if c.MTU == 0 || c.MTU == a.MTU {
		return nil
	}
	return h.handle.LinkSetMTU(device(a), c.MTU)
}

func (h *Host) ensureUp(a *netlink.LinkAttrs, c LinkConfig) error {
	if !c.Up || a.Flags&net.FlagUp != 0 {
		return nil
	}
	return h.handle.LinkSetUp(device(a))
}

// ensureAddrs adds what is missing first and then removes what is stale, so
// that the host never lacks a source address in between.
func (h *Host) ensureAddrs(a *netlink.LinkAttrs, c LinkConfig) error {
	have, err := h.addrs()
	if err != nil {
		return err
	}
	want := withLinkLocal(c.Addrs, c.macOn(a))
	for _, p := range want {
		if marked(have, a.Index, p) {
			continue
		}
		if err := h.addAddr(a.Index, p); err != nil {
			return fmt.Errorf("add %s: %w", p, err)
		}
	}
	if have, err = h.addrs(); err != nil {
		return err
	}
	for _, p := range stale(have, a.Index, want) {
		if err := h.deleteAddr(a.Index, p); err != nil {
			return fmt.Errorf("remove %s: %w", p, err)
		}
	}
	return nil
}

// macOn is the MAC that the interface has once c is in force.
func (c LinkConfig) macOn(a *netlink.LinkAttrs) ether.Addr {
	if c.MAC.IsZero() {
		return addrOf(a.HardwareAddr)
	}
	return c.MAC
}

// withLinkLocal adds a link-local address where there is an IPv6 one. Without
// it the kernel asks for no neighbour on behalf of traffic that it forwards
// (net/ipv6/ndisc.c, ndisc_send_ns), so that containers would reach nobody. The
// kernel's own would announce itself first, and stay when the MAC changes.
func withLinkLocal(ps []netip.Prefix, mac ether.Addr) []netip.Prefix {
	if !slices.ContainsFunc(ps, func(p netip.Prefix) bool { return p.Addr().Is6() }) {
		return ps
	}
	return append(slices.Clip(ps), netip.PrefixFrom(linkLocal(mac), 64))
}

// linkLocal is the address that RFC 4291 appendix A makes of a MAC.
func linkLocal(mac ether.Addr) netip.Addr {
	return netip.AddrFrom16([16]byte{
		0: 0xfe, 1: 0x80,
		8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff,
		12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5],
	})
}

// marked reports whether the interface carries p as an address of ours.
func marked(have []addr, index int, p netip.Prefix) bool {
	return slices.ContainsFunc(have, func(a addr) bool {
		return a.index == index && a.prefix == p && a.proto == AddrProtocol
	})
}

// stale lists the addresses of the interface that are ours and not wanted, and
// the link-local one that the kernel gave it before it was quieted. A kernel
// that forgets marks (before Linux 5.18) shows it by an unmarked address just
// after we set it; there, what has the form of ours (host length) is ours.
func stale(have []addr, index int, want []netip.Prefix) []netip.Prefix {
	forgets := slices.ContainsFunc(have, func(a addr) bool {
		return a.index == index && a.proto == 0 && slices.Contains(want, a.prefix)
	})
	var gone []netip.Prefix
	for _, a := range have {
		if a.index != index || slices.Contains(want, a.prefix) {
			continue
		}
		if a.proto == AddrProtocol || a.proto == kernelLinkLocal || forgets && a.proto == 0 && a.prefix.IsSingleIP() {
			gone = append(gone, a.prefix)
		}
	}
	return gone
}

// ensureBridge puts the interface into the bridge.
func (h *Host) ensureBridge(a *netlink.LinkAttrs, c LinkConfig) error {
	if c.Bridge == "" {
		return nil
	}
	b, err := h.bridge(c.Bridge, c.macOn(a))
	if err != nil {
		return err
	}
	if a.MasterIndex == b.Attrs().Index {
		return nil
	}
	return h.handle.LinkSetMaster(device(a), b)
}

// bridge returns the bridge of that name, made and brought up if there is
// none. One that others made is taken as it is.
func (h *Host) bridge(name string, port ether.Addr) (netlink.Link, error) {
	b, err := h.handle.LinkByName(name)
	if noLink(err) {
		return h.makeBridge(name, port)
	}
	if err != nil {
		return nil, fmt.Errorf("bridge %q: %w", name, err)
	}
	if b.Type() != "bridge" {
		return nil, fmt.Errorf("%q is no bridge but of type %s", name, b.Type())
	}
	return b, nil
}

// makeBridge makes a bridge with an address of its own. Without one it would
// take its first port's, the VTEP's, and frames of the bridge itself would come
// from the VTEP's address.
func (h *Host) makeBridge(name string, port ether.Addr) (netlink.Link, error) {
	port[ether.AddrLen-1] ^= 0x80
	b := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, HardwareAddr: port[:]}}
	if err := h.handle.LinkAdd(b); err != nil {
		return nil, fmt.Errorf("make bridge %q: %w", name, err)
	}
	if err := h.handle.LinkSetAlias(b, alias); err != nil {
		return nil, fmt.Errorf("mark bridge %q: %w", name, err)
	}
	return b, h.handle.LinkSetUp(b)
}

// ensureQuiet keeps the kernel from speaking IPv6 on the interface by itself.
// Where /proc/sys may not be written, as in a container, that much noise is no
// reason to stop: the switch drops it.
func (h *Host) ensureQuiet(a *netlink.LinkAttrs, _ LinkConfig) error {
	if !h.hasIPv6(a.Name) {
		return nil
	}
	if h.ipv6(a.Name, "addr_gen_mode") != addrGenModeNone {
		if err := h.handle.LinkSetIP6AddrGenMode(device(a), addrGenModeNone); err != nil {
			return err
		}
	}
	for _, key := range []string{"accept_ra", "router_solicitations"} {
		if err := h.setIPv6(a.Name, key, 0); err != nil {
			h.log.Warn().Err(err).Str("tap", a.Name).Msg("IPv6 setting cannot be changed")
		}
	}
	return nil
}
