package encap

import (
	"encoding/binary"
	"math/bits"

	"github.com/uvtep/uvtep/encap/ether"
)

// Odd constants that spread the bits of a flow's key; the digits of √2, √3 and
// √5, for want of a reason to prefer others.
const (
	flowKey1 = 0x6a09e667f3bcc909
	flowKey2 = 0xbb67ae8584caa73b
	flowKey3 = 0x3c6ef372fe94f82b
)

// FlowHash returns a number that is the same for all frames of one inner flow
// and well spread over different ones; any of its bits may choose the outer
// source port (RFC 7348 §5). A flow is the IP addresses and the protocol and,
// for TCP, UDP and SCTP, the ports. Of a fragmented datagram only addresses
// and protocol count, so that all its fragments go one way; of anything else
// but IP, both MAC addresses and the type. Any input is safe, one too short
// for an Ethernet header hashes to 0.
func FlowHash(f ether.Frame) uint32 {
	if !f.Valid() {
		return 0
	}
	t, b := f.Network()
	switch {
	case t == ether.TypeIPv4 && ether.IPv4(b).Valid():
		return flowHash4(b)
	case t == ether.TypeIPv6 && ether.IPv6(b).Valid():
		return flowHash6(b)
	}
	macs := binary.BigEndian.Uint64(f[4:])
	return fold(mix64(mix64(flowKey3, macs), uint64(binary.BigEndian.Uint32(f))<<16|uint64(t)))
}

func flowHash4(b ether.IPv4) uint32 {
	h := mix64(flowKey3, binary.BigEndian.Uint64(b[12:]))
	p := uint64(b.Protocol()) << 32
	if !b.Fragmented() {
		p |= ports(b.Protocol(), b.Payload())
	}
	return fold(mix64(h, p))
}

func flowHash6(b ether.IPv6) uint32 {
	h := mix64(flowKey3, binary.BigEndian.Uint64(b[8:]))
	h = mix64(h, binary.BigEndian.Uint64(b[16:]))
	h = mix64(h, binary.BigEndian.Uint64(b[24:]))
	h = mix64(h, binary.BigEndian.Uint64(b[32:]))
	proto, payload, fragment, ok := b.Transport()
	if fragment || !ok {
		return fold(h)
	}
	return fold(mix64(h, uint64(proto)<<32|ports(proto, payload)))
}

// ports returns both ports as one word, 0 for a protocol without or a payload
// too short. In all three protocols they are the first four bytes.
func ports(proto uint8, b []byte) uint64 {
	switch proto {
	case ether.ProtoTCP, ether.ProtoUDP, ether.ProtoSCTP:
		if len(b) >= 4 {
			return uint64(binary.BigEndian.Uint32(b))
		}
	}
	return 0
}

// mix64 folds v into h: the two halves of a 128-bit product, in which every
// bit of the input reaches about half of the bits.
func mix64(h, v uint64) uint64 {
	hi, lo := bits.Mul64(h^flowKey1, v^flowKey2)
	return hi ^ lo
}

// fold brings a mixed word to 32 bits.
func fold(h uint64) uint32 { return uint32(h>>32) ^ uint32(h) }
