package encap

import (
	"encoding/binary"

	"github.com/uvtep/uvtep/encap/ether"
)

// The codepoints of the two ECN bits (RFC 3168 §5), and their mask in the type
// of service and traffic class bytes.
const (
	ECNNotECT = 0
	ECNECT1   = 1
	ECNECT0   = 2
	ECNCE     = 3

	ECNMask = 3
)

// OuterECN returns the ECN codepoint for the outer header of f: that of the
// inner header, congestion experienced included (RFC 6040 §4.1, normal mode).
// For anything but IP it is ECNNotECT.
func OuterECN(f ether.Frame) uint8 {
	t, b := network(f)
	switch t {
	case ether.TypeIPv4:
		return ether.IPv4(b).TOS() & ECNMask
	case ether.TypeIPv6:
		return ether.IPv6(b).TrafficClass() & ECNMask
	}
	return ECNNotECT
}

// InnerECN applies the outer header's ECN codepoint to the inner header of f
// in place (RFC 6040 §4.2, figure 4). outer may be the whole type of service
// or traffic class; only its ECN bits count. The IPv4 header checksum is
// updated by the difference (RFC 1624), so that a wrong one stays wrong. False
// means that f must be dropped: the tunnel saw congestion and the inner
// transport would not understand the mark. Anything but IP is left alone.
func InnerECN(f ether.Frame, outer uint8) bool {
	outer &= ECNMask
	if outer == ECNNotECT || outer == ECNECT0 {
		return true // never changes a thing, and is what nearly all carry
	}
	t, b := network(f)
	switch t {
	case ether.TypeIPv4:
		return innerECN4(b, outer)
	case ether.TypeIPv6:
		return innerECN6(b, outer)
	}
	return true
}

func innerECN4(b ether.IPv4, outer uint8) bool {
	ecn, ok := decapsulateECN(b.TOS()&ECNMask, outer)
	if !ok || ecn == b.TOS()&ECNMask {
		return ok
	}
	old := binary.BigEndian.Uint16(b)
	b.SetTOS(b.TOS()&^ECNMask | ecn)
	b.SetChecksum(ether.Update16(b.Checksum(), old, binary.BigEndian.Uint16(b)))
	return true
}

func innerECN6(b ether.IPv6, outer uint8) bool {
	ecn, ok := decapsulateECN(b.TrafficClass()&ECNMask, outer)
	if ok {
		b.SetTrafficClass(b.TrafficClass()&^ECNMask | ecn)
	}
	return ok
}

// decapsulateECN is figure 4 of RFC 6040; ok is false for its one drop.
//
//	inner \ outer | Not-ECT   ECT(0)   ECT(1)   CE
//	--------------+--------------------------------
//	Not-ECT       | Not-ECT   Not-ECT  Not-ECT  drop
//	ECT(0)        | ECT(0)    ECT(0)   ECT(1)   CE
//	ECT(1)        | ECT(1)    ECT(1)   ECT(1)   CE
//	CE            | CE        CE       CE       CE
func decapsulateECN(inner, outer uint8) (ecn uint8, ok bool) {
	switch {
	case outer == ECNCE:
		return ECNCE, inner != ECNNotECT
	case outer == ECNECT1 && inner == ECNECT0:
		return ECNECT1, true
	}
	return inner, true
}

// network returns the type and bytes behind all tags when they hold at least
// a whole fixed IP header of the version that the type promises, else type 0.
// Only the ECN bits are read behind it, so no length inside has to be right.
func network(f ether.Frame) (ether.Type, []byte) {
	if !f.Valid() {
		return 0, nil
	}
	t, b := f.Network()
	switch {
	case t == ether.TypeIPv4 && len(b) >= ether.IPv4HeaderLen && b[0]>>4 == 4:
		return t, b
	case t == ether.TypeIPv6 && len(b) >= ether.IPv6HeaderLen && b[0]>>4 == 6:
		return t, b
	}
	return 0, nil
}
