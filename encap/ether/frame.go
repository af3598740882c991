package ether

import (
	"encoding/binary"
	"strconv"
)

const (
	// HeaderLen is the size of an untagged Ethernet header, in bytes.
	HeaderLen = 14
	// TagLen is the size of one VLAN tag, in bytes.
	TagLen = 4

	typeOffset = 12
)

// Type is an EtherType: what follows the Ethernet header or a tag. Values
// below 1536 are 802.3 lengths instead and pass through like any unknown type.
type Type uint16

// The EtherTypes that a VTEP looks at.
const (
	TypeIPv4 Type = 0x0800
	TypeARP  Type = 0x0806
	TypeVLAN Type = 0x8100 // 802.1Q
	TypeIPv6 Type = 0x86dd
	TypeQinQ Type = 0x88a8 // 802.1ad
)

// String returns the name of a type this package knows, else its number in
// hexadecimal.
func (t Type) String() string {
	switch t {
	case TypeIPv4:
		return "IPv4"
	case TypeARP:
		return "ARP"
	case TypeVLAN:
		return "802.1Q"
	case TypeIPv6:
		return "IPv6"
	case TypeQinQ:
		return "802.1ad"
	}
	return "0x" + strconv.FormatUint(uint64(t), 16)
}

// IsTag reports whether t announces a VLAN tag.
func (t Type) IsTag() bool { return t == TypeVLAN || t == TypeQinQ }

// Frame is an Ethernet II frame viewed in place, without its trailing check
// sequence; it owns no memory. All methods but Valid require a valid frame.
//
//	 0                   6                  12      14
//	+-------------------+-------------------+-------+----------
//	|    destination    |      source       | type  | payload …
//	+-------------------+-------------------+-------+----------
//
// A tagged frame has one or more tags of four bytes (the tag's own type, then
// the tag control information) in front of the type.
type Frame []byte

// Valid reports whether f is long enough to hold an Ethernet header.
func (f Frame) Valid() bool { return len(f) >= HeaderLen }

// Dst returns the destination address.
func (f Frame) Dst() Addr { return Addr(f[0:6]) }

// Src returns the source address.
func (f Frame) Src() Addr { return Addr(f[6:12]) }

// SetDst replaces the destination address.
func (f Frame) SetDst(a Addr) { copy(f[0:6], a[:]) }

// SetSrc replaces the source address.
func (f Frame) SetSrc(a Addr) { copy(f[6:12], a[:]) }

// Type returns the outermost type: that of the first tag, if there is one.
func (f Frame) Type() Type { return Type(binary.BigEndian.Uint16(f[typeOffset:])) }

// Payload returns what follows the untagged header; in a tagged frame it
// begins with the tag control information.
func (f Frame) Payload() []byte { return f[HeaderLen:] }

// Tagged reports whether the outermost type is that of a VLAN tag.
func (f Frame) Tagged() bool { return f.Type().IsTag() }

// Tags returns how many whole tags the frame carries. A tag that the end of
// the frame cuts off is not counted.
func (f Frame) Tags() int {
	n := 0
	for off := typeOffset; off+TagLen+2 <= len(f) && f.typeAt(off).IsTag(); off += TagLen {
		n++
	}
	return n
}

func (f Frame) typeAt(off int) Type { return Type(binary.BigEndian.Uint16(f[off:])) }

// Network returns the type behind all tags and the bytes that follow it. When
// the last tag is cut off, the type is still that of the tag.
func (f Frame) Network() (Type, []byte) {
	if !f.Tagged() {
		return f.Type(), f[HeaderLen:]
	}
	off := typeOffset + TagLen*f.Tags()
	return f.typeAt(off), f[off+2:]
}

// StripTags removes every whole tag by moving the two addresses forward in
// place, and returns the frame without them: a shorter view of the same
// memory. An untagged frame comes back as it is. A cut-off tag stays, so the
// result may still be Tagged; such a frame is malformed.
func StripTags(f Frame) Frame {
	n := TagLen * f.Tags()
	if n == 0 {
		return f
	}
	copy(f[n:], f[:2*AddrLen])
	return f[n:]
}

// PutHeader writes an untagged Ethernet header to the first HeaderLen bytes
// of b.
func PutHeader(b []byte, dst, src Addr, t Type) {
	_ = b[HeaderLen-1]
	copy(b[0:6], dst[:])
	copy(b[6:12], src[:])
	binary.BigEndian.PutUint16(b[typeOffset:], uint16(t))
}
