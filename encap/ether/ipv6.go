package ether

import (
	"encoding/binary"
	"net/netip"
)

// IPv6HeaderLen is the size of an IPv6 header without extensions, in bytes.
const IPv6HeaderLen = 40

// Next header numbers of the extension headers that Transport walks along.
const (
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extAuth        = 51
	extDestination = 60
	extMobility    = 135
	extHIP         = 139
	extShim6       = 140
)

// maxExtensions bounds the walk along extension headers. Real traffic has at
// most a handful, and a frame made of empty ones must not cost a long loop.
const maxExtensions = 8

// IPv6 is an IPv6 header and what follows it, viewed in place (RFC 8200 §3).
// All methods but Valid require a valid header.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------+---------------+---------------------------------------+
//	|version| traffic class |              flow label               |
//	+-------+---------------+-------+---------------+---------------+
//	|        payload length         |  next header  |   hop limit   |
//	+-------------------------------+---------------+---------------+
//	|                  source address (16 bytes)                    |
//	+---------------------------------------------------------------+
//	|                destination address (16 bytes)                 |
//	+---------------------------------------------------------------+
type IPv6 []byte

// Valid reports whether b begins with an IPv6 header whose payload length
// lies within b. Bytes behind the payload, such as Ethernet padding, are
// allowed. Jumbograms (RFC 2675) count as empty.
func (b IPv6) Valid() bool {
	return len(b) >= IPv6HeaderLen && b[0]>>4 == 6 && IPv6HeaderLen+b.PayloadLen() <= len(b)
}

// TrafficClass returns the traffic class: DSCP and ECN.
func (b IPv6) TrafficClass() uint8 { return b[0]<<4 | b[1]>>4 }

// FlowLabel returns the 20 bits of the flow label.
func (b IPv6) FlowLabel() uint32 { return binary.BigEndian.Uint32(b) & 0xfffff }

// PayloadLen returns the length of what follows the fixed header, in bytes.
func (b IPv6) PayloadLen() int { return int(binary.BigEndian.Uint16(b[4:])) }

// NextHeader returns the number of the first extension header or, without
// any, of the protocol carried.
func (b IPv6) NextHeader() uint8 { return b[6] }

// HopLimit returns the hop limit.
func (b IPv6) HopLimit() uint8 { return b[7] }

// Src returns the source address.
func (b IPv6) Src() netip.Addr { return netip.AddrFrom16([16]byte(b[8:24])) }

// Dst returns the destination address.
func (b IPv6) Dst() netip.Addr { return netip.AddrFrom16([16]byte(b[24:40])) }

// Payload returns what the payload length says is carried, extension headers
// included.
func (b IPv6) Payload() []byte { return b[IPv6HeaderLen : IPv6HeaderLen+b.PayloadLen()] }

// SetVersion writes version 6 and clears traffic class and flow label.
func (b IPv6) SetVersion() { binary.BigEndian.PutUint32(b, 6<<28) }

// SetTrafficClass replaces the traffic class.
func (b IPv6) SetTrafficClass(v uint8) {
	b[0] = b[0]&0xf0 | v>>4
	b[1] = b[1]&0x0f | v<<4
}

// SetPayloadLen replaces the payload length.
func (b IPv6) SetPayloadLen(n int) { binary.BigEndian.PutUint16(b[4:], uint16(n)) }

// SetNextHeader replaces the next header number.
func (b IPv6) SetNextHeader(v uint8) { b[6] = v }

// SetHopLimit replaces the hop limit.
func (b IPv6) SetHopLimit(v uint8) { b[7] = v }

// SetSrc replaces the source address; an IPv4 address is stored mapped.
func (b IPv6) SetSrc(a netip.Addr) { v := a.As16(); copy(b[8:24], v[:]) }

// SetDst replaces the destination address; an IPv4 address is stored mapped.
func (b IPv6) SetDst(a netip.Addr) { v := a.As16(); copy(b[24:40], v[:]) }

// Transport walks along the extension headers and returns the protocol behind
// them with its bytes. fragment tells that b is part of a fragmented datagram;
// behind a fragment header that is not the first the walk ends, and payload is
// then the middle of something. An atomic fragment (RFC 6946) counts as whole.
// ok is false when a header is cut off or there are more than a few; proto and
// payload are then where the walk gave up.
func (b IPv6) Transport() (proto uint8, payload []byte, fragment, ok bool) {
	proto, payload = b.NextHeader(), b.Payload()
	for range maxExtensions {
		n, is := extensionLen(proto, payload)
		if !is {
			return proto, payload, fragment, true
		}
		if n > len(payload) {
			return proto, payload, fragment, false
		}
		first := true
		if proto == extFragment {
			word := binary.BigEndian.Uint16(payload[2:])
			first = word&^7 == 0
			fragment = fragment || word&^6 != 0
		}
		proto, payload = payload[0], payload[n:]
		if !first {
			return proto, payload, fragment, true
		}
	}
	_, is := extensionLen(proto, payload)
	return proto, payload, fragment, !is
}

// extensionLen returns the length of the extension header of number proto at
// the beginning of b, which may be more than b has; is tells whether proto is
// an extension header at all. ESP is not: nothing can be read behind it.
func extensionLen(proto uint8, b []byte) (n int, is bool) {
	switch proto {
	case extHopByHop, extRouting, extDestination, extMobility, extHIP, extShim6:
		n = 8
		if len(b) >= 8 {
			n = 8 + 8*int(b[1])
		}
	case extAuth: // RFC 4302 §2.2: 32-bit words, minus 2
		n = 8
		if len(b) >= 8 {
			n = 8 + 4*int(b[1])
		}
	case extFragment:
		n = 8
	default:
		return 0, false
	}
	return n, true
}
