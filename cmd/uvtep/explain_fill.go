package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/admin"
	"github.com/uvtep/uvtep/internal/spell"
)

// complete fills in what the words leave open, from what the agent is and has.
func (e *explainFlags) complete(ctx context.Context, w *spell.Words) error {
	self, err := e.self(ctx)
	if err != nil {
		return err
	}
	if e.from == fromWire {
		return e.completeWire(ctx, w, self)
	}
	if w.Src.IsZero() && !e.given("src") {
		w.Src = self.MAC
	}
	if six := w.NS.IsValid() || w.To.Is6(); !w.From.IsValid() {
		w.From = ownAddr(self, six)
	}
	if w.To.IsValid() && !e.given("dst") {
		mac, err := e.nextHop(ctx, self, w.To)
		if err != nil {
			return err
		}
		w.Dst = mac
	}
	return nil
}

// self is what the agent is in the network of --vni, or in its only one, whose
// VNI is that of the frames then. A datagram may have the VNI of no network.
func (e *explainFlags) self(ctx context.Context) (*selfView, error) {
	links, err := e.links(ctx)
	if err != nil {
		return nil, err
	}
	var selves each[selfView]
	if err := admin.Get(ctx, e.socket, selfPath, &selves); err != nil {
		return nil, err
	}
	known := []string{}
	for _, l := range links {
		known = append(known, fmt.Sprint(l.ID))
		if l.ID != e.vni && len(links) > 1 || l.ID != e.vni && e.vni != 0 && e.from == fromTAP {
			continue
		}
		for i := range selves {
			if selves[i].TAP == l.Name {
				if !e.given("vni") {
					e.vni = l.ID
				}
				return &selves[i], nil
			}
		}
	}
	if e.given("vni") {
		return nil, fmt.Errorf("the agent has no network with VNI %d: it has %s", e.vni, strings.Join(known, ", "))
	}
	return nil, fmt.Errorf("say which network the frame is of with --vni: the agent has %s", strings.Join(known, ", "))
}

// links are the agent's networks.
func (e *explainFlags) links(ctx context.Context) (all each[linkView], err error) {
	err = admin.Get(ctx, e.socket, linkPath, &all)
	return all, err
}

// ownAddr is the TAP's address of a family; none when it has none: then nobody
// asks, as in a probe.
func ownAddr(self *selfView, six bool) netip.Addr {
	for _, p := range self.Addrs {
		if p.Addr().Is6() == six {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

// nextHop is the MAC address that the host sends a packet for ip to: that of the
// station, or of the host that its subnet's route leads to.
func (e *explainFlags) nextHop(ctx context.Context, self *selfView, ip netip.Addr) (ether.Addr, error) {
	var neigh rows[neighRow]
	var routes rows[routeRow]
	if err := admin.Get(ctx, e.socket, neighPath, &neigh); err != nil {
		return ether.Addr{}, err
	}
	if err := admin.Get(ctx, e.socket, routePath, &routes); err != nil {
		return ether.Addr{}, err
	}
	via := ip.String()
	for _, r := range routes.Rows {
		if p, err := netip.ParsePrefix(r.Dst); err == nil && r.Dev == self.TAP && p.Contains(ip) {
			via = r.Gateway
		}
	}
	station := ""
	for _, n := range neigh.Rows {
		switch {
		case n.Dev != self.TAP:
		case n.Dst == ip.String():
			return ether.ParseAddr(n.LLAddr)
		case n.Dst == via:
			station = n.LLAddr
		}
	}
	for _, p := range []netip.Prefix{self.Subnet, self.Subnet6} {
		if p.Contains(ip) {
			return ether.Addr{}, fmt.Errorf("%s is in this host's own subnet: what is for it does not come to the TAP; say with --dst if it shall", ip)
		}
	}
	if station == "" {
		return ether.Addr{}, fmt.Errorf("no host has a route for %s here: say where the frame goes with --dst", ip)
	}
	return ether.ParseAddr(station)
}

// completeWire fills in a frame from another host: to the TAP, from the first
// station that the FDB has behind the host.
func (e *explainFlags) completeWire(ctx context.Context, w *spell.Words, self *selfView) error {
	if !e.given("dst") && !w.ARP.IsValid() && !w.NS.IsValid() {
		w.Dst = self.MAC
	}
	if e.given("src") {
		return nil
	}
	var table rows[fdbRow]
	if err := admin.Get(ctx, e.socket, fdbPath, &table); err != nil {
		return err
	}
	for _, r := range table.Rows {
		if a, err := ether.ParseAddr(r.MAC); err == nil && !a.IsZero() && r.Ifname == self.TAP && r.Dst == e.outerSrc {
			w.Src = a
			return nil
		}
	}
	return fmt.Errorf("no station is behind %s in the FDB: say which the frame is from with --src", e.outerSrc)
}
