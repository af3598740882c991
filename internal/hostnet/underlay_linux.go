package hostnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"time"
)

// UnderlayOptions says how to find the underlay. With none of the first three
// set it is the interface of the default route. The ones set are tried in the
// order Iface, IfaceRegex, CanReach; the first that leads to an interface with an
// address wins.
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
	// Was is the underlay in use, when there is one. Its interface is kept for
	// as long as that is up and has an address, and its addresses for as long as
	// they are there, unless the fields above name others that are there: a
	// better default route, of a VPN perhaps, or one address more is no reason to
	// move. Nothing is logged unless another is found.
	Was Underlay
	// Silent says that nothing is logged in any case; see Announce.
	Silent bool

	quiet bool // it is looked for once more: nothing is logged
	waits bool // for an address that cannot be used yet
}

// Validate reports all faults of o at once. It looks at no interface.
func (o UnderlayOptions) Validate() error {
	var errs []error
	for _, s := range o.IfaceRegex {
		if _, err := regexp.Compile(s); err != nil {
			errs = append(errs, fmt.Errorf("interface regular expression %q: %w", s, err))
		}
	}
	if a := o.PublicIP; a.IsValid() && (!a.Is4() || !sendable(a)) {
		errs = append(errs, fmt.Errorf("public IPv4 address %s: not an address that others can send to", a))
	}
	if a := o.PublicIPv6; a.IsValid() && (!a.Is6() || a.Is4In6() || !sendable(a)) {
		errs = append(errs, fmt.Errorf("public IPv6 address %s: not an address that others can send to", a))
	}
	return errors.Join(errs...)
}

// sendable reports whether a can be the destination of another host's
// datagrams. IPv4 link-local addresses can (RFC 3927 networks exist); IPv6 ones
// cannot, they mean nothing without an interface.
func sendable(a netip.Addr) bool {
	return a.Zone() == "" && (a.IsGlobalUnicast() || a.Is4() && a.IsLinkLocalUnicast())
}

// Underlay is the interface that carries the tunnel.
type Underlay struct {
	// Name and Index are the interface's.
	Name  string
	Index int
	// MTU is the smaller of the interface's and that of the route that led to
	// it (else its default route), in bytes.
	MTU int
	// Addr and Addr6 are the interface's own addresses, the ones sockets bind
	// to; the zero Addr where it has none of the family. One is always set.
	Addr, Addr6 netip.Addr
	// Public and Public6 are what other hosts are told to send to.
	Public, Public6 netip.Addr
}

// FindUnderlay chooses the interface and addresses that carry the tunnel. The
// interfaces that uvtep made are never chosen. It may be called again after any
// change; nothing is remembered.
func (h *Host) FindUnderlay(o UnderlayOptions) (Underlay, error) {
	u, _, err := h.findUnderlay(o)
	return u, err
}

// AwaitUnderlay is FindUnderlay for a start, which may come as early as the
// host's own: for as long as settleWait it waits for an address that is there but
// cannot be used yet, if there is no other to start from.
func (h *Host) AwaitUnderlay(ctx context.Context, o UnderlayOptions) (Underlay, error) {
	patience := time.NewTimer(settleWait)
	defer patience.Stop()
	o.waits = true
	for {
		u, asks, err := h.findUnderlay(o)
		if !asks || !o.waits {
			return u, err
		}
		o.quiet = true
		select {
		case <-ctx.Done():
			return Underlay{}, ctx.Err()
		case <-patience.C:
			o.waits = false
		case <-time.After(settleLook):
		}
	}
}

// Settles reports whether an interface may have another IPv6 address in a moment:
// the kernel still asks whether it is somebody else's.
func (h *Host) Settles(name string) bool {
	s, err := h.survey()
	return err == nil && slices.ContainsFunc(s, func(i iface) bool { return i.name == name && i.asks })
}

const (
	// settleWait is how long the kernel may take to find out that an IPv6
	// address is nobody else's: two seconds if it asks once, as usual.
	settleWait = 5 * time.Second
	settleLook = 50 * time.Millisecond
)

// findUnderlay chooses the underlay. asks says that there is none but may be in a
// moment.
func (h *Host) findUnderlay(o UnderlayOptions) (u Underlay, asks bool, err error) {
	if err := o.Validate(); err != nil {
		return Underlay{}, false, err
	}
	s, err := h.survey()
	if err != nil {
		return Underlay{}, false, err
	}
	p, err := h.pick(s, o)
	if err != nil {
		return Underlay{}, slices.ContainsFunc(s, func(i iface) bool { return i.asks && !i.ours }), err
	}
	u, err = describe(p, o)
	if err != nil {
		return Underlay{}, p.iface.asks, err
	}
	if u != o.Was && !o.Silent {
		h.announce(u, p.iface.up)
	}
	return u, false, nil
}

// describe turns a choice into an Underlay, with the public addresses of o.
func describe(p choice, o UnderlayOptions) (Underlay, error) {
	i := p.iface
	u := Underlay{Name: i.name, Index: i.index, MTU: i.mtu}
	if p.mtu > 0 {
		u.MTU = min(u.MTU, p.mtu)
	}
	u.Addr, u.Addr6 = i.best(true, p.addr, o.Was.Addr), i.best(false, p.addr, o.Was.Addr6)
	u.Public, u.Public6 = u.Addr, u.Addr6
	if !u.Addr.IsValid() && !u.Addr6.IsValid() {
		return Underlay{}, fmt.Errorf("interface %s has no address for the tunnel: give it one, or choose another with --iface", i.name)
	}
	if o.PublicIP.IsValid() && !u.Addr.IsValid() {
		return Underlay{}, fmt.Errorf("public address %s: interface %s has no IPv4 address to send from", o.PublicIP, i.name)
	}
	if o.PublicIPv6.IsValid() && !u.Addr6.IsValid() {
		return Underlay{}, fmt.Errorf("public address %s: interface %s has no IPv6 address to send from", o.PublicIPv6, i.name)
	}
	if o.PublicIP.IsValid() {
		u.Public = o.PublicIP
	}
	if o.PublicIPv6.IsValid() {
		u.Public6 = o.PublicIPv6
	}
	return u, nil
}

// Announce logs a choice that was made in silence.
func (h *Host) Announce(u Underlay) { h.announce(u, true) }

// announce logs the choice in the words that flannel's users look for.
func (h *Host) announce(u Underlay, up bool) {
	if !up {
		h.log.Warn().Str("interface", u.Name).Msg("underlay interface is down")
	}
	own, public := u.Addr, u.Public
	if !own.IsValid() {
		own, public = u.Addr6, u.Public6
	}
	h.log.Info().Int("mtu", u.MTU).Msgf("Using interface with name %s and address %s", u.Name, own)
	h.announcePublic(own, public)
	if u.Addr.IsValid() && u.Addr6.IsValid() {
		h.log.Info().Msgf("Using interface with name %s and address %s", u.Name, u.Addr6)
		h.announcePublic(u.Addr6, u.Public6)
	}
}

func (h *Host) announcePublic(own, public netip.Addr) {
	if public == own {
		h.log.Info().Msgf("Defaulting external address to interface address (%s)", own)
		return
	}
	h.log.Info().Msgf("Using %s as external address", public)
}
