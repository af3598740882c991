package ether

import "encoding/binary"

// UDPHeaderLen is the size of a UDP header, in bytes.
const UDPHeaderLen = 8

// UDP is a UDP header and what follows it, viewed in place (RFC 768). All
// methods but Valid require a valid header.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------------------------------+-------------------------------+
//	|          source port          |       destination port        |
//	+-------------------------------+-------------------------------+
//	|            length             |           checksum            |
//	+-------------------------------+-------------------------------+
type UDP []byte

// Valid reports whether b begins with a UDP header whose length lies within b.
func (b UDP) Valid() bool {
	return len(b) >= UDPHeaderLen && b.Len() >= UDPHeaderLen && b.Len() <= len(b)
}

// SrcPort returns the source port.
func (b UDP) SrcPort() uint16 { return binary.BigEndian.Uint16(b) }

// DstPort returns the destination port.
func (b UDP) DstPort() uint16 { return binary.BigEndian.Uint16(b[2:]) }

// Len returns the length of header and payload, in bytes.
func (b UDP) Len() int { return int(binary.BigEndian.Uint16(b[4:])) }

// Checksum returns the checksum field; 0 means none over IPv4.
func (b UDP) Checksum() uint16 { return binary.BigEndian.Uint16(b[6:]) }

// Payload returns what the length says is carried.
func (b UDP) Payload() []byte { return b[UDPHeaderLen:b.Len()] }

// SetSrcPort replaces the source port.
func (b UDP) SetSrcPort(v uint16) { binary.BigEndian.PutUint16(b, v) }

// SetDstPort replaces the destination port.
func (b UDP) SetDstPort(v uint16) { binary.BigEndian.PutUint16(b[2:], v) }

// SetLen replaces the length.
func (b UDP) SetLen(n int) { binary.BigEndian.PutUint16(b[4:], uint16(n)) }

// SetChecksum replaces the checksum field.
func (b UDP) SetChecksum(v uint16) { binary.BigEndian.PutUint16(b[6:], v) }
