package etcdsync

import (
	"net/netip"
	"slices"

	"github.com/uvtep/uvtep/encap"
)

// Network is the configuration that all hosts of a network share: flannel's
// `<prefix>/config`, with uvtep's additions inside its Backend. The zero
// Network is not a valid one; start from NewNetwork or ParseNetwork.
type Network struct {
	// IPv4 and IPv6 are the ranges that subnets are cut from; the zero Prefix
	// where the network has none of the family.
	IPv4, IPv6 netip.Prefix
	// SubnetLen and IPv6SubnetLen are the prefix lengths of a host's subnets.
	SubnetLen, IPv6SubnetLen int
	// SubnetMin to SubnetMax are the first and the last subnet handed out.
	SubnetMin, SubnetMax         netip.Addr
	IPv6SubnetMin, IPv6SubnetMax netip.Addr
	// VNI is the VXLAN network identifier, 1 unless told otherwise.
	VNI encap.VNI
	// Port is the UDP port that hosts listen on unless their record says
	// otherwise; 4789.
	Port uint16
	// MTU is the underlay's MTU to assume at most, 0 for none: the overlay's
	// is smaller by the tunnel's overhead.
	MTU int

	// Flood replicates broadcast, multicast and unanswered ARP to all VTEPs.
	Flood bool
	// InnerVLAN is InnerVLANRFC or InnerVLANPass.
	InnerVLAN string
	// StrictReserved drops datagrams whose reserved header bits are not zero.
	StrictReserved bool
	// AlsoListen are further UDP ports that datagrams are taken from.
	AlsoListen []uint16
	// UnknownVTEP is UnknownVTEPDrop or UnknownVTEPAccept.
	UnknownVTEP string
}

// The values of Network.InnerVLAN and Network.UnknownVTEP.
const (
	InnerVLANRFC  = "rfc"  // tags are stripped on sending, refused on receipt (RFC 7348 §6.1)
	InnerVLANPass = "pass" // tags are carried

	UnknownVTEPDrop   = "drop"   // datagrams from strangers are dropped
	UnknownVTEPAccept = "accept" // and are let in, where the underlay is trusted
)

const (
	defaultVNI = 1
	// An MTU below what every IPv4 host must take (RFC 791 §3.1) is a typing
	// error.
	minMTU, maxMTU = 576, 65535
)

// family is what differs between the two halves of a configuration. Flannel
// has the same rules for both with other numbers.
type family struct {
	name       string // what the fields' names begin with
	defaultLen int    // length of a host's subnet in a network that is large enough
	maxLen     int    // a subnet needs an address for the TAP, the bridge and a container
	maxNetwork int    // four subnets of maxLen
}

var (
	family4 = family{"", 24, 30, 28}
	family6 = family{"IPv6", 64, 126, 124}
)

// NewNetwork returns a network over the given ranges (either may be the zero
// Prefix) with everything else at its default.
func NewNetwork(v4, v6 netip.Prefix) Network {
	return Network{IPv4: v4, IPv6: v6, VNI: defaultVNI, Port: encap.Port, InnerVLAN: InnerVLANRFC, UnknownVTEP: UnknownVTEPDrop}
}

// Complete returns n with what is unset at its default (the subnet length and
// the first and last subnet, which follow from the ranges), or an
// ErrBadNetwork that lists every fault.
func (n Network) Complete() (Network, error) {
	var f faults
	if !n.IPv4.IsValid() && !n.IPv6.IsValid() {
		f.addf("Network is missing: the range that hosts lease their subnets from")
	}
	n.complete(&f)
	return n, f.err(ErrBadNetwork)
}

func (n *Network) complete(f *faults) {
	n.AlsoListen = slices.Clone(n.AlsoListen)
	if n.IPv4.IsValid() && !n.IPv4.Addr().Is4() {
		f.addf("Network %s is not an IPv4 range", n.IPv4)
		n.IPv4 = netip.Prefix{}
	}
	if n.IPv6.IsValid() && !n.IPv6.Addr().Is6() {
		f.addf("IPv6Network %s is not an IPv6 range", n.IPv6)
		n.IPv6 = netip.Prefix{}
	}
	family4.complete(f, &n.IPv4, &n.SubnetLen, &n.SubnetMin, &n.SubnetMax)
	family6.complete(f, &n.IPv6, &n.IPv6SubnetLen, &n.IPv6SubnetMin, &n.IPv6SubnetMax)
	n.completeBackend(f)
}

func (n *Network) completeBackend(f *faults) {
	if n.Port == 0 {
		n.Port = encap.Port
	}
	if n.InnerVLAN == "" {
		n.InnerVLAN = InnerVLANRFC
	}
	if n.UnknownVTEP == "" {
		n.UnknownVTEP = UnknownVTEPDrop
	}
	if !n.VNI.Valid() {
		f.addf("Backend.VNI %s does not fit in 24 bits", n.VNI)
	}
	if n.MTU != 0 && (n.MTU < minMTU || n.MTU > maxMTU) {
		f.addf("Backend.MTU %d is not between %d and %d", n.MTU, minMTU, maxMTU)
	}
	if n.InnerVLAN != InnerVLANRFC && n.InnerVLAN != InnerVLANPass {
		f.addf("Backend.InnerVLAN %q is neither %q nor %q", n.InnerVLAN, InnerVLANRFC, InnerVLANPass)
	}
	if n.UnknownVTEP != UnknownVTEPDrop && n.UnknownVTEP != UnknownVTEPAccept {
		f.addf("Backend.UnknownVTEP %q is neither %q nor %q", n.UnknownVTEP, UnknownVTEPDrop, UnknownVTEPAccept)
	}
	for _, p := range n.AlsoListen {
		if p == 0 {
			f.addf("Backend.AlsoListen: 0 is not a port")
		}
	}
}

// complete fills in and checks one half of a configuration. For a family that
// the network does not have there is nothing to do.
func (fam family) complete(f *faults, network *netip.Prefix, length *int, first, last *netip.Addr) {
	if !network.IsValid() {
		*network, *length, *first, *last = netip.Prefix{}, 0, netip.Addr{}, netip.Addr{}
		return
	}
	*network = network.Masked()
	if !fam.completeLen(f, *network, length) {
		return
	}
	base, hostBits := addrValue(network.Addr()), network.Addr().BitLen()-*length
	bitLen := network.Addr().BitLen()
	if !first.IsValid() {
		// The first subnet is left out, as flannel does: its first address is
		// the network's own.
		*first = base.add(u128{lo: 1}.shl(hostBits)).addr(bitLen)
	}
	if !last.IsValid() {
		size := u128{lo: 1}.shl(bitLen - network.Bits())
		*last = base.add(size).sub(u128{lo: 1}.shl(hostBits)).addr(bitLen)
	}
	good := fam.checkBound(f, "SubnetMin", *network, *length, *first)
	good = fam.checkBound(f, "SubnetMax", *network, *length, *last) && good
	if good && last.Less(*first) {
		f.addf("%sSubnetMax %s lies before %sSubnetMin %s", fam.name, *last, fam.name, *first)
	}
}

// completeLen settles the length of a subnet, by flannel's rules, and reports
// whether that was possible.
func (fam family) completeLen(f *faults, network netip.Prefix, length *int) bool {
	if *length == 0 {
		*length = max(fam.defaultLen, network.Bits()+2)
	}
	switch {
	case network.Bits() > fam.maxNetwork:
		f.addf("%sNetwork %s is too small: the longest prefix that works is /%d", fam.name, network, fam.maxNetwork)
	case *length < 0 || *length > fam.maxLen:
		f.addf("%sSubnetLen %d is not between 1 and %d", fam.name, *length, fam.maxLen)
	case *length < network.Bits()+2:
		f.addf("%sSubnetLen %d does not fit: %s must hold at least four subnets", fam.name, *length, network)
	default:
		return true
	}
	return false
}

// checkBound checks the first or the last subnet.
func (fam family) checkBound(f *faults, field string, network netip.Prefix, length int, a netip.Addr) bool {
	switch {
	case !network.Contains(a):
		f.addf("%s%s %s is not in %s", fam.name, field, a, network)
	case netip.PrefixFrom(a, length).Masked().Addr() != a:
		f.addf("%s%s %s is not on a boundary of /%d subnets", fam.name, field, a, length)
	default:
		return true
	}
	return false
}

// pools returns the ranges of subnets to lease from; that of a family that the
// network does not have is empty. n is complete.
func (n Network) pools() (v4, v6 pool) {
	if n.IPv4.IsValid() {
		v4 = newPool(n.SubnetMin, n.SubnetMax, n.SubnetLen)
	}
	if n.IPv6.IsValid() {
		v6 = newPool(n.IPv6SubnetMin, n.IPv6SubnetMax, n.IPv6SubnetLen)
	}
	return v4, v6
}

// contains reports whether a subnet lies in the network's range of its family.
func (n Network) contains(p netip.Prefix) bool {
	whole := n.IPv4
	if p.Addr().Is6() {
		whole = n.IPv6
	}
	return whole.IsValid() && p.Bits() >= whole.Bits() && whole.Contains(p.Addr())
}
