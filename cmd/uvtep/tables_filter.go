package main

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
	"github.com/uvtep/uvtep/internal/admin"
	"github.com/uvtep/uvtep/internal/hostnet"
)

// The parameters of each table: iproute2's words for the same.
var (
	fdbParameters   = []string{"dev", "vni", "dst", "mac", "state", "stats"}
	neighParameters = []string{"dev", "to", "nud", "family", "stats"}
	routeParameters = []string{"dev", "exact", "root", "match", "via", "proto", "family", "stats"}
)

// states are those of neighbours (ip-neighbour(8)), protocols the names of those who
// make routes (ip-route(8), iproute2's rt_protos): most of them none of ours has.
var (
	states    = []string{"permanent", "static", "noarp", "reachable", "stale", "none", "incomplete", "delay", "probe", "failed", "all"}
	protocols = []string{"all", "kernel", "boot", "static", "redirect", "gated", "ra", "mrt", "zebra", "bird", "babel", "dnrouted", "xorp", "ntk", "dhcp", "keepalived", "openr", "bgp", "isis", "ospf", "rip", "eigrp"}
)

// filter is which rows of a table are asked for. The zero filter takes all.
type filter struct {
	dev              string
	vni              *encap.VNI
	mac              ether.Addr
	dst, via         netip.Addr
	exact, to, match netip.Prefix // to: within it; match: it is within the row's
	none             bool         // a state or a protocol that no row has
	four, six        bool         // that family alone
	stats            bool         // tell where rows come from, too
}

// parseFilter reads parameters. All faults are told at once.
func parseFilter(v url.Values, known []string) (filter, error) {
	f, faults := filter{}, []string(nil)
	for name := range v {
		if !slices.Contains(known, name) {
			faults = append(faults, fmt.Sprintf("%s: there is %s", name, strings.Join(known, ", ")))
			continue
		}
		if err := f.set(name, v.Get(name)); err != nil {
			faults = append(faults, fmt.Sprintf("%s %q: %v", name, v.Get(name), err))
		}
	}
	if len(faults) > 0 {
		slices.Sort(faults)
		return f, admin.BadRequest{Err: fmt.Errorf("%s", strings.Join(faults, "; "))}
	}
	return f, nil
}

// set takes in one parameter.
func (f *filter) set(name, value string) (err error) {
	switch name {
	case "dev":
		f.dev = value
	case "vni":
		n, e := strconv.ParseUint(value, 10, 32)
		vni := encap.VNI(n)
		if e != nil || !vni.Valid() {
			return fmt.Errorf("want 0 to 16777215")
		}
		f.vni = &vni
	case "mac":
		f.mac, err = ether.ParseAddr(value)
	case "dst":
		f.dst, err = parseAddr(value)
	case "via":
		f.via, err = parseAddr(value)
	case "exact":
		f.exact, err = parsePrefix(value)
	case "root", "to":
		f.to, err = parsePrefix(value)
	case "match":
		f.match, err = parsePrefix(value)
	case "state", "nud":
		if !slices.Contains(states, strings.ToLower(value)) {
			return fmt.Errorf("want one of %s", strings.Join(states, ", "))
		}
		f.none = f.none || !slices.Contains([]string{"permanent", "all"}, strings.ToLower(value))
	case "proto":
		if _, e := strconv.ParseUint(value, 10, 8); e != nil && !slices.Contains(protocols, value) {
			return fmt.Errorf("want a number up to 255, or one of %s", strings.Join(protocols, ", "))
		}
		f.none = f.none || value != strconv.Itoa(hostnet.RouteProtocol) && value != "all"
	case "family":
		f.four, f.six = value == "inet", value == "inet6"
		if !f.four && !f.six {
			return fmt.Errorf("want inet or inet6")
		}
	case "stats":
		f.stats, err = strconv.ParseBool(value)
	}
	return err
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, fmt.Errorf("want an IP address")
	}
	return a.Unmap(), nil
}

// parsePrefix reads a prefix, or an address as the prefix of it alone.
func parsePrefix(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, fmt.Errorf("want an IP address, or a prefix such as 10.10.3.0/24")
	}
	return p.Masked(), nil
}

// takes says what is asked of every table.
func (f *filter) takes(tap string, a netip.Addr) bool {
	return !f.none && (f.dev == "" || f.dev == tap) && (!f.four || a.Is4()) && (!f.six || a.Is6())
}

func (f *filter) takesStation(tap string, k fdb.Key, v *fdb.VTEP) bool {
	return f.takes(tap, netip.Addr{}) && (f.vni == nil || *f.vni == k.VNI) && (f.mac.IsZero() || f.mac == k.MAC) &&
		(!f.dst.IsValid() || v.Owns(f.dst))
}

func (f *filter) takesNeighbour(tap string, ip netip.Addr) bool {
	return f.takes(tap, ip) && (!f.to.IsValid() || f.to.Contains(ip))
}

func (f *filter) takesRoute(tap string, r hostnet.Route) bool {
	return f.takes(tap, r.Dst.Addr()) && (!f.exact.IsValid() || f.exact == r.Dst) && (!f.via.IsValid() || f.via == r.Via) &&
		(!f.to.IsValid() || f.to.Bits() <= r.Dst.Bits() && f.to.Contains(r.Dst.Addr())) &&
		(!f.match.IsValid() || r.Dst.Bits() <= f.match.Bits() && r.Dst.Contains(f.match.Addr()))
}
