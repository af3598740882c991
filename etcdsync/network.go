package etcdsync

import (
	"net/netip"

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

// NewNetwork returns a network over the given ranges (either may be the zero
// Prefix) with everything else at its default.
func NewNetwork(v4, v6 netip.Prefix) Network {
	return Network{IPv4: v4, IPv6: v6, VNI: 1, Port: encap.Port, InnerVLAN: InnerVLANRFC, UnknownVTEP: UnknownVTEPDrop}
}

// ParseNetwork reads a network configuration. Warnings are about things that
// work otherwise than somebody may expect. The error is an ErrBadNetwork and
// lists every fault.
func ParseNetwork(b []byte) (n Network, warnings []string, err error) {
	return Network{}, nil, errTodo
}

// Complete returns n with what is unset at its default (the subnet length and
// the first and last subnet, which follow from the ranges), or an
// ErrBadNetwork that lists every fault.
func (n Network) Complete() (Network, error) { return n, errTodo }

// MarshalJSON writes the configuration in flannel's form, with everything
// stated that flannel would otherwise assume differently (the port above all).
func (n Network) MarshalJSON() ([]byte, error) { return nil, errTodo }
