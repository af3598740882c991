package hostnet

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/uvtep/uvtep/encap/ether"
)

// sight is an interface that is watched. It is followed by its index once it
// was seen, so that a new name does not hide it; when it is gone, one of the
// name asked for takes its place.
type sight struct {
	name   string // asked for; empty when nothing is
	routes bool   // its default routes matter, too
	last   *scene // nil when it was not there
	turn   uint64 // of the last EnsureLink that was taken into account
}

// attire is what EnsureLink made of an interface last: no news to anybody.
type attire struct {
	turn   uint64
	config LinkConfig
	addrs  string
}

// over is the scene was, or is where that is another interface, as EnsureLink
// left it.
func (a attire) over(was, is *scene) *scene {
	if was == nil || was.index != is.index {
		was = is
	}
	s := *was
	s.addrs = a.addrs
	s.up = s.up || a.config.Up
	if !a.config.MAC.IsZero() {
		s.mac = a.config.MAC
	}
	if a.config.MTU != 0 {
		s.mtu = a.config.MTU
	}
	if a.config.Bridge != "" {
		s.bridge = a.config.Bridge
	}
	return &s
}

// scene is an interface at one moment, as far as changes of it are reported.
type scene struct {
	name     string
	index    int
	mac      ether.Addr
	mtu      int
	routeMTU int // of its default route, 0 when that sets none
	up       bool
	carrier  bool
	bridge   string
	addrs    string // all of them
	usable   string // those the tunnel can start from, the best first
}

// concerned reports whether an announcement about the interface of that index
// is about this one.
func (s *sight) concerned(index int) bool {
	return s.name != "" && (s.last == nil || s.last.index == index)
}

// see looks at an interface again; nil is one that is not there. What we did to
// it meanwhile it was so before.
func (h *Host) see(s *sight) (was, is *scene, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was = s.last
	if s.name == "" {
		return nil, nil, nil
	}
	l, err := h.find(s)
	if err == nil {
		is, err = h.scene(l.Attrs(), s.routes)
	}
	if err != nil && !noLink(err) {
		return nil, nil, fmt.Errorf("look at %s: %w", s.name, err)
	}
	s.last = is
	if is == nil {
		return was, nil, nil
	}
	if a, ours := h.attire[is.index]; ours && a.turn > s.turn {
		s.turn = a.turn
		was = a.over(was, is)
	}
	return was, is, nil
}

func (h *Host) find(s *sight) (netlink.Link, error) {
	if s.last == nil {
		return h.handle.LinkByName(s.name)
	}
	l, err := h.handle.LinkByIndex(s.last.index)
	if noLink(err) {
		return h.handle.LinkByName(s.name)
	}
	return l, err
}

func (h *Host) scene(a *netlink.LinkAttrs, routes bool) (*scene, error) {
	as, err := h.addrs()
	if err != nil {
		return nil, err
	}
	s := &scene{
		name:    a.Name,
		index:   a.Index,
		mac:     addrOf(a.HardwareAddr),
		mtu:     a.MTU,
		up:      a.Flags&net.FlagUp != 0,
		carrier: a.Flags&net.FlagRunning != 0,
		addrs:   describePrefixes(prefixesOn(as, a.Index)),
		usable:  describeAddrs(newIface(a, as).addrs),
	}
	if s.bridge, err = h.nameOf(a.MasterIndex); err != nil || !routes {
		return s, err
	}
	defaults, err := h.defaultRoutes(a.Index)
	s.routeMTU = routeMTU(defaults, a.Index)
	return s, err
}

// nameOf returns the name of an interface by its index, empty for 0 and for one
// that has gone meanwhile.
func (h *Host) nameOf(index int) (string, error) {
	if index == 0 {
		return "", nil
	}
	l, err := h.handle.LinkByIndex(index)
	if noLink(err) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return l.Attrs().Name, nil
}

// describeAddrs are addresses in words, in the order given.
func describeAddrs(as []addr) string {
	var ps []netip.Prefix
	for _, a := range as {
		ps = append(ps, a.prefix)
	}
	return describePrefixes(ps)
}

func describePrefixes(ps []netip.Prefix) string {
	var words []string
	for _, p := range ps {
		words = append(words, p.String())
	}
	return strings.Join(words, " ")
}

// tapEvents tells what became of the TAP.
func tapEvents(was, is *scene) []Event {
	switch {
	case was == nil && is == nil:
		return nil
	case was == nil:
		return []Event{{Kind: TAPAppeared, Device: is.name}}
	case is == nil:
		return []Event{{Kind: TAPRemoved, Device: was.name}}
	case was.index != is.index:
		return []Event{{Kind: TAPRemoved, Device: was.name}, {Kind: TAPAppeared, Device: is.name}}
	}
	return changes(was.name, []change{
		{TAPRenamed, was.name, is.name},
		{TAPMAC, was.mac.String(), is.mac.String()},
		{TAPMTU, strconv.Itoa(was.mtu), strconv.Itoa(is.mtu)},
		{upOrDown(TAPUp, TAPDown, is.up), upText(was.up), upText(is.up)},
		{TAPBridge, orNone(was.bridge), orNone(is.bridge)},
		{TAPAddr, orNone(was.addrs), orNone(is.addrs)},
	})
}

// underlayEvents tells what became of the underlay. One that is gone is one
// that is down and has no address.
func underlayEvents(was, is *scene) []Event {
	if was == nil && is == nil {
		return nil
	}
	if was == nil {
		was = &scene{name: is.name, mtu: is.mtu}
	}
	if is == nil {
		is = &scene{name: was.name, mtu: was.mtu}
	}
	wasUp, isUp := was.up && was.carrier, is.up && is.carrier
	return changes(was.name, []change{
		{upOrDown(UnderlayUp, UnderlayDown, isUp), upText(wasUp), upText(isUp)},
		{UnderlayMTU, strconv.Itoa(was.outerMTU()), strconv.Itoa(is.outerMTU())},
		{UnderlayAddr, orNone(was.usable), orNone(is.usable)},
	})
}

// outerMTU is what the tunnel's datagrams may measure.
func (s *scene) outerMTU() int {
	if s.routeMTU > 0 {
		return min(s.mtu, s.routeMTU)
	}
	return s.mtu
}

// change is an event if both words differ.
type change struct {
	kind    EventKind
	was, is string
}

func changes(device string, all []change) []Event {
	all = slices.DeleteFunc(all, func(c change) bool { return c.was == c.is })
	var es []Event
	for _, c := range all {
		es = append(es, Event{Kind: c.kind, Device: device, Was: c.was, Is: c.is})
	}
	return es
}

func upOrDown(up, down EventKind, is bool) EventKind {
	if is {
		return up
	}
	return down
}

func upText(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
