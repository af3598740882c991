package ether

import "encoding/binary"

// TCPHeaderLen is the size of a TCP header without options, in bytes.
const TCPHeaderLen = 20

// Flags of TCP.Flags (RFC 9293 §3.1).
const (
	TCPFin = 1 << iota
	TCPSyn
	TCPRst
	TCPPsh
	TCPAck
	TCPUrg
	TCPEce
	TCPCwr
)

// TCP is a TCP header and what follows it, viewed in place (RFC 9293 §3.1).
// The length of the segment is that of the slice. All methods but Valid
// require a valid header.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------------------------------+-------------------------------+
//	|          source port          |       destination port        |
//	+-------------------------------+-------------------------------+
//	|                        sequence number                        |
//	+---------------------------------------------------------------+
//	|                    acknowledgment number                      |
//	+-------+-------+---------------+-------------------------------+
//	|offset | rsrvd |     flags     |            window             |
//	+-------+-------+---------------+-------------------------------+
//	|           checksum            |        urgent pointer         |
//	+-------------------------------+-------------------------------+
type TCP []byte

// Valid reports whether b begins with a TCP header that lies within b with
// all its options.
func (b TCP) Valid() bool {
	return len(b) >= TCPHeaderLen && b.HeaderLen() >= TCPHeaderLen && b.HeaderLen() <= len(b)
}

// SrcPort returns the source port.
func (b TCP) SrcPort() uint16 { return binary.BigEndian.Uint16(b) }

// DstPort returns the destination port.
func (b TCP) DstPort() uint16 { return binary.BigEndian.Uint16(b[2:]) }

// Seq returns the sequence number of the first byte carried.
func (b TCP) Seq() uint32 { return binary.BigEndian.Uint32(b[4:]) }

// Ack returns the acknowledgment number.
func (b TCP) Ack() uint32 { return binary.BigEndian.Uint32(b[8:]) }

// HeaderLen returns the length of the header with its options, in bytes.
func (b TCP) HeaderLen() int { return int(b[12]>>4) << 2 }

// Flags returns the eight flags of byte 13.
func (b TCP) Flags() uint8 { return b[13] }

// Window returns the window as the header has it, without scaling.
func (b TCP) Window() uint16 { return binary.BigEndian.Uint16(b[14:]) }

// Checksum returns the checksum field.
func (b TCP) Checksum() uint16 { return binary.BigEndian.Uint16(b[16:]) }

// Options returns the header's options.
func (b TCP) Options() []byte { return b[TCPHeaderLen:b.HeaderLen()] }

// Payload returns the bytes of the stream that the segment carries.
func (b TCP) Payload() []byte { return b[b.HeaderLen():] }

// SetSrcPort replaces the source port.
func (b TCP) SetSrcPort(v uint16) { binary.BigEndian.PutUint16(b, v) }

// SetDstPort replaces the destination port.
func (b TCP) SetDstPort(v uint16) { binary.BigEndian.PutUint16(b[2:], v) }

// SetSeq replaces the sequence number.
func (b TCP) SetSeq(v uint32) { binary.BigEndian.PutUint32(b[4:], v) }

// SetAck replaces the acknowledgment number.
func (b TCP) SetAck(v uint32) { binary.BigEndian.PutUint32(b[8:], v) }

// SetHeaderLen replaces the header length, a multiple of 4 from 20 to 60.
func (b TCP) SetHeaderLen(n int) { b[12] = b[12]&15 | uint8(n>>2)<<4 }

// SetFlags replaces the eight flags of byte 13.
func (b TCP) SetFlags(v uint8) { b[13] = v }

// SetWindow replaces the window.
func (b TCP) SetWindow(v uint16) { binary.BigEndian.PutUint16(b[14:], v) }

// SetChecksum replaces the checksum field.
func (b TCP) SetChecksum(v uint16) { binary.BigEndian.PutUint16(b[16:], v) }
