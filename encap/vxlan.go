package encap

import (
	"encoding/binary"
	"strconv"

	"github.com/uvtep/uvtep/encap/ether"
)

const (
	// HeaderLen is the size of a VXLAN header, in bytes.
	HeaderLen = 8
	// Port is the UDP port that IANA assigned to VXLAN (RFC 7348 §5).
	Port = 4789
	// FlagVNI is the I flag in the header's first byte: the VNI is valid.
	FlagVNI = 0x08

	outerIPv4Len = 20
	outerIPv6Len = 40
	outerUDPLen  = 8

	maxVNI = 1<<24 - 1
)

// VNI is a VXLAN network identifier of 24 bits. The zero VNI is an identifier
// like any other on the wire; whether a network may have it is the
// configuration's business.
type VNI uint32

// Valid reports whether v fits in 24 bits.
func (v VNI) Valid() bool { return v <= maxVNI }

// String returns v in decimal.
func (v VNI) String() string { return strconv.FormatUint(uint64(v), 10) }

// Header is a VXLAN header and what follows it, viewed in place (RFC 7348
// §5). All methods but Valid require a valid header.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-----------------------------------------------+
//	|R|R|R|R|I|R|R|R|                   reserved                    |
//	+-+-+-+-+-+-+-+-+-------------------------------+---------------+
//	|          VXLAN network identifier             |   reserved    |
//	+-----------------------------------------------+---------------+
type Header []byte

// Valid reports whether h is long enough to hold a VXLAN header.
func (h Header) Valid() bool { return len(h) >= HeaderLen }

// HasVNI reports whether the I flag is set. RFC 7348 §5: it MUST be 1 for a
// valid VNI; without it the datagram is not for us.
func (h Header) HasVNI() bool { return h[0]&FlagVNI != 0 }

// VNI returns the network identifier.
func (h Header) VNI() VNI { return VNI(binary.BigEndian.Uint32(h[4:]) >> 8) }

// ReservedClear reports whether all bits but the I flag and the VNI are zero.
// RFC 7348 §5 wants them ignored on receipt; a strict network does not.
func (h Header) ReservedClear() bool {
	return binary.BigEndian.Uint64(h)&^(FlagVNI<<56|maxVNI<<8) == 0
}

// Payload returns the inner frame, of whatever length.
func (h Header) Payload() ether.Frame { return ether.Frame(h[HeaderLen:]) }

// PutHeader writes a VXLAN header for v to the first HeaderLen bytes of b: the
// I flag set, every reserved bit zero (RFC 7348 §5). Bits of v beyond 24 are
// cut off.
func PutHeader(b []byte, v VNI) {
	binary.BigEndian.PutUint64(b, FlagVNI<<56|uint64(v&maxVNI)<<8)
}

// Overhead returns how many bytes the tunnel adds to an inner IP datagram: 50
// over IPv4, 70 over IPv6, and 4 more for each inner VLAN tag. What the
// underlay's MTU leaves after it is the MTU of the overlay.
func Overhead(underlay6 bool, tags int) int {
	n := outerIPv4Len
	if underlay6 {
		n = outerIPv6Len
	}
	return n + outerUDPLen + HeaderLen + ether.HeaderLen + tags*ether.TagLen
}
