package etcdsync

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/state"
)

// The keys of a network, each below `<prefix>/`. Those under uvtep/ are ours,
// the others flannel's.
const (
	configKey  = "config"
	subnetsDir = "subnets/"
	hostsDir   = "uvtep/hosts/"
	staticDir  = "uvtep/static/"
)

// kind is what a key is about.
type kind uint8

const (
	unknown  kind = iota // nothing we know; perhaps a later uvtep does
	config               // the network configuration
	lease                // a host's subnet
	host                 // a host's record
	endpoint             // a station behind a host, as that host says
	static               // a station, as an operator says
)

// key is the name of a key, taken apart.
type key struct {
	kind    kind
	subnets subnets    // of a lease
	node    string     // of a host and of an endpoint
	vni     encap.VNI  // of an endpoint and of a static entry
	mac     ether.Addr // of an endpoint and of a static entry
}

// parseKey reads the name of a key below the prefix. A name that only a
// stranger can have made is an error.
func parseKey(name string) (key, error) {
	if name == configKey {
		return key{kind: config}, nil
	}
	if rest, ok := strings.CutPrefix(name, subnetsDir); ok {
		s, err := parseSubnets(rest)
		return key{kind: lease, subnets: s}, err
	}
	if rest, ok := strings.CutPrefix(name, hostsDir); ok {
		return parseHostKey(rest)
	}
	if rest, ok := strings.CutPrefix(name, staticDir); ok {
		vni, mac, err := parseStation(rest)
		return key{kind: static, vni: vni, mac: mac}, err
	}
	return key{}, nil
}

// parseHostKey reads `<node-id>/host` and `<node-id>/endpoints/<vni>/<mac>`.
func parseHostKey(s string) (key, error) {
	node, rest, _ := strings.Cut(s, "/")
	if !state.ValidNodeID(node) {
		return key{}, fmt.Errorf("%q is not a node id", node)
	}
	if rest == "host" {
		return key{kind: host, node: node}, nil
	}
	station, ok := strings.CutPrefix(rest, "endpoints/")
	if !ok {
		return key{}, nil
	}
	vni, mac, err := parseStation(station)
	return key{kind: endpoint, node: node, vni: vni, mac: mac}, err
}

// parseStation reads `<vni>/<mac>`, in the one form that is written.
func parseStation(s string) (encap.VNI, ether.Addr, error) {
	number, text, _ := strings.Cut(s, "/")
	n, err := strconv.ParseUint(number, 10, 32)
	vni := encap.VNI(n)
	if err != nil || !vni.Valid() || vni.String() != number {
		return 0, ether.Addr{}, fmt.Errorf("%q is not a VNI", number)
	}
	mac, err := ether.ParseAddr(text)
	if err != nil {
		return 0, ether.Addr{}, err
	}
	if mac.String() != text {
		return 0, ether.Addr{}, fmt.Errorf("MAC address %q is not in lower case with colons", text)
	}
	return vni, mac, checkMAC(mac)
}

// hostKey is where a host writes about itself.
func hostKey(node string) string { return hostsDir + node + "/host" }

// endpointsDir is where a host writes about the stations behind it in a network.
func endpointsDir(node string, vni encap.VNI) string {
	return hostsDir + node + "/endpoints/" + vni.String() + "/"
}

// staticKey is where an operator writes about a station.
func staticKey(vni encap.VNI, mac ether.Addr) string {
	return staticDir + vni.String() + "/" + mac.String()
}

// subnets are what a host leases: an IPv4 and an IPv6 range, either of which
// may be the zero Prefix.
type subnets struct{ v4, v6 netip.Prefix }

var (
	errNotSubnet = errors.New("not a subnet as in 10.10.238.0-24")
	// none4 stands for the missing IPv4 subnet of an IPv6-only lease: what
	// flannel writes for its zero value.
	none4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
)

// isZero reports whether there is no subnet at all.
func (s subnets) isZero() bool { return s == subnets{} }

// name returns the key below subnets/, in flannel's form: "10.5.52.0-24" or
// "10.5.52.0-24&2001:cafe:42::-64".
func (s subnets) name() string {
	v4 := s.v4
	if !v4.IsValid() {
		v4 = none4
	}
	text := dashed(v4)
	if s.v6.IsValid() {
		text += "&" + dashed(s.v6)
	}
	return text
}

func dashed(p netip.Prefix) string {
	return p.Addr().String() + "-" + strconv.Itoa(p.Bits())
}

// parseSubnets reads what name writes, and nothing else: two spellings of one
// subnet would be two leases.
func parseSubnets(name string) (subnets, error) {
	text4, text6, dual := strings.Cut(name, "&")
	v4, err := parseDashed(text4)
	if err != nil || !v4.Addr().Is4() {
		return subnets{}, errNotSubnet
	}
	s := subnets{v4: v4}
	if dual {
		if s.v6, err = parseDashed(text6); err != nil || !s.v6.Addr().Is6() || s.v6.Bits() == 0 {
			return subnets{}, errNotSubnet
		}
	}
	if s.v4.Bits() == 0 {
		s.v4 = netip.Prefix{}
	}
	if s.isZero() || s.name() != name {
		return subnets{}, errNotSubnet
	}
	return s, nil
}

// parseDashed reads a range without bits beyond its length.
func parseDashed(s string) (netip.Prefix, error) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return netip.Prefix{}, errNotSubnet
	}
	p, err := netip.ParsePrefix(s[:i] + "/" + s[i+1:])
	if err != nil || p.Masked() != p || p.Addr().Is4In6() {
		return netip.Prefix{}, errNotSubnet
	}
	return p, nil
}

// overlap reports whether two leases have an address in common.
func (s subnets) overlap(t subnets) bool {
	return s.v4.IsValid() && t.v4.IsValid() && s.v4.Overlaps(t.v4) ||
		s.v6.IsValid() && t.v6.IsValid() && s.v6.Overlaps(t.v6)
}

// prefixes returns those subnets that there are.
func (s subnets) prefixes() []netip.Prefix {
	out := make([]netip.Prefix, 0, 2)
	for _, p := range []netip.Prefix{s.v4, s.v6} {
		if p.IsValid() {
			out = append(out, p)
		}
	}
	return out
}

// String returns the subnets as in "10.5.52.0/24 2001:cafe:42::/64".
func (s subnets) String() string {
	var b strings.Builder
	for i, p := range s.prefixes() {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(p.String())
	}
	return b.String()
}
