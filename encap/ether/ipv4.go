package ether

import (
	"encoding/binary"
	"net/netip"
)

// Protocol numbers of IPv4's protocol and IPv6's next header field.
const (
	ProtoICMP   = 1
	ProtoTCP    = 6
	ProtoUDP    = 17
	ProtoICMPv6 = 58
	ProtoSCTP   = 132
)

const (
	// IPv4HeaderLen is the size of an IPv4 header without options, in bytes.
	IPv4HeaderLen = 20

	// IPv4DontFragment is the DF bit of IPv4.Fragment.
	IPv4DontFragment = 0x4000
	// IPv4MoreFragments is the MF bit of IPv4.Fragment.
	IPv4MoreFragments = 0x2000

	ipv4OffsetMask = 0x1fff
)

// IPv4 is an IPv4 header and what follows it, viewed in place (RFC 791 §3.1).
// All methods but Valid require a valid header.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+-------+---------------+-------------------------------+
//	|version|  IHL  | type of serv. |         total length          |
//	+-------+-------+---------------+-----+-------------------------+
//	|        identification         |flags|     fragment offset     |
//	+---------------+---------------+-----+-------------------------+
//	| time to live  |   protocol    |        header checksum        |
//	+---------------+---------------+-------------------------------+
//	|                        source address                         |
//	+---------------------------------------------------------------+
//	|                      destination address                      |
//	+---------------------------------------------------------------+
type IPv4 []byte

// Valid reports whether b begins with an IPv4 header whose own length and
// total length lie within b. The header checksum is not looked at. Bytes
// behind the total length, such as Ethernet padding, are allowed.
func (b IPv4) Valid() bool {
	if len(b) < IPv4HeaderLen || b[0]>>4 != 4 {
		return false
	}
	h, t := b.HeaderLen(), b.TotalLen()
	return h >= IPv4HeaderLen && h <= t && t <= len(b)
}

// HeaderLen returns the length of the header with its options, in bytes.
func (b IPv4) HeaderLen() int { return int(b[0]&15) << 2 }

// TOS returns the type of service byte: DSCP and ECN.
func (b IPv4) TOS() uint8 { return b[1] }

// TotalLen returns the length of header and payload, in bytes.
func (b IPv4) TotalLen() int { return int(binary.BigEndian.Uint16(b[2:])) }

// ID returns the identification.
func (b IPv4) ID() uint16 { return binary.BigEndian.Uint16(b[4:]) }

// Fragment returns the word of flags and fragment offset.
func (b IPv4) Fragment() uint16 { return binary.BigEndian.Uint16(b[6:]) }

// Fragmented reports whether b is a fragment: more follow, or the offset is
// not zero.
func (b IPv4) Fragmented() bool {
	return b.Fragment()&(IPv4MoreFragments|ipv4OffsetMask) != 0
}

// TTL returns the time to live.
func (b IPv4) TTL() uint8 { return b[8] }

// Protocol returns the number of the protocol carried.
func (b IPv4) Protocol() uint8 { return b[9] }

// Checksum returns the header checksum field.
func (b IPv4) Checksum() uint16 { return binary.BigEndian.Uint16(b[10:]) }

// Src returns the source address.
func (b IPv4) Src() netip.Addr { return netip.AddrFrom4([4]byte(b[12:16])) }

// Dst returns the destination address.
func (b IPv4) Dst() netip.Addr { return netip.AddrFrom4([4]byte(b[16:20])) }

// Options returns the header's options, empty as a rule.
func (b IPv4) Options() []byte { return b[IPv4HeaderLen:b.HeaderLen()] }

// Payload returns what the total length says is carried.
func (b IPv4) Payload() []byte { return b[b.HeaderLen():b.TotalLen()] }

// SetTOS replaces the type of service byte; the checksum is left alone.
func (b IPv4) SetTOS(v uint8) { b[1] = v }

// SetTotalLen replaces the total length; the checksum is left alone.
func (b IPv4) SetTotalLen(n int) { binary.BigEndian.PutUint16(b[2:], uint16(n)) }

// SetID replaces the identification; the checksum is left alone.
func (b IPv4) SetID(id uint16) { binary.BigEndian.PutUint16(b[4:], id) }

// SetFragment replaces flags and fragment offset; the checksum is left alone.
func (b IPv4) SetFragment(v uint16) { binary.BigEndian.PutUint16(b[6:], v) }

// SetTTL replaces the time to live; the checksum is left alone.
func (b IPv4) SetTTL(v uint8) { b[8] = v }

// SetProtocol replaces the protocol; the checksum is left alone.
func (b IPv4) SetProtocol(v uint8) { b[9] = v }

// SetChecksum replaces the header checksum field.
func (b IPv4) SetChecksum(v uint16) { binary.BigEndian.PutUint16(b[10:], v) }

// SetSrc replaces the source address, which must be IPv4; the checksum is
// left alone.
func (b IPv4) SetSrc(a netip.Addr) { v := a.As4(); copy(b[12:16], v[:]) }

// SetDst replaces the destination address, which must be IPv4; the checksum
// is left alone.
func (b IPv4) SetDst(a netip.Addr) { v := a.As4(); copy(b[16:20], v[:]) }

// HeaderValid reports whether the header checksum is right.
func (b IPv4) HeaderValid() bool { return Checksum(b[:b.HeaderLen()]) == 0 }

// Finish computes the header checksum and stores it.
func (b IPv4) Finish() {
	b.SetChecksum(0)
	b.SetChecksum(Checksum(b[:b.HeaderLen()]))
}
