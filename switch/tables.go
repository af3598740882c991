package vswitch

import (
	"net/netip"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

// Tables is one immutable snapshot of what decides about the frames of one
// network, at one etcd revision. It must not be changed once it is given to a
// switch.
type Tables struct {
	Rev    int64
	FDB    *fdb.Table
	ARP    *arpproxy.Table
	Policy Policy
	// Own are the addresses on the TAP.
	Own []netip.Addr
	// MTU is the TAP's, in bytes of IP.
	MTU int
	// Paths say what the tunnel takes.
	Paths Paths
	// Sources, if not nil, says whose inner source addresses are whose; frames
	// with others' are dropped.
	Sources *Sources
	// Superframes says that the TAP takes superframes and unfinished
	// checksums. Without, every frame is written whole and finished.
	Superframes bool
}

// Policy is what the network's configuration leaves to choose. The zero value
// is the default.
type Policy struct {
	// Flood replicates broadcast, multicast and unproxied ARP to every VTEP.
	Flood bool
	// PassTags carries inner VLAN tags, which are stripped on the way out and
	// dropped on the way in otherwise.
	PassTags bool
	// StrictReserved drops datagrams with reserved bits set.
	StrictReserved bool
	// AcceptUnknownVTEP takes datagrams from sources that are no VTEPs.
	AcceptUnknownVTEP bool
}

// Self is who a switch is in one network.
type Self struct {
	VNI encap.VNI
	MAC ether.Addr // of the TAP and the VTEP
	// Echoes, if not nil, takes the echo messages to this VTEP, which go no
	// further.
	Echoes *Echoes
}

// asker is whom the stations behind the TAP are asked by: another address than
// the TAP's, whose frames a bridge that the TAP is a port of keeps to itself.
func (s *Self) asker() ether.Addr {
	a := s.MAC
	a[0] ^= 0x04 // neither of the bits that say group and local
	return a
}
