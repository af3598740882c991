package offload

import (
	"bytes"
	"encoding/binary"

	"github.com/uvtep/uvtep/encap/ether"
)

const (
	// maxSuper is the longest superframe, in bytes of IP: what the length
	// fields hold.
	maxSuper = 65535
	// maxUDPFrames is how many datagrams the kernel itself puts into a
	// superframe at most (UDP_GRO_CNT_MAX in net/ipv4/udp_offload.c), what
	// receivers with UDP_GRO are made for, and all that a TAP takes on kernels
	// with UDP_MAX_SEGMENTS of 64 (include/linux/virtio_net.h).
	maxUDPFrames = 64
	// maxTCPFrames bounds a gather list: 64 KiB in segments of 536 bytes, the
	// least that TCP must take (RFC 9293 §3.7.1), are 122.
	maxTCPFrames = 128
)

// precedes reports whether next may follow o, as far as the headers tell:
// every field equal that one set of headers stands for, the sequence unbroken,
// the payload no longer than the first one's. These are the rules of the
// kernel's GRO (net/core/gro.c, net/ipv4/tcp_offload.c, udp_offload.c) or
// stricter.
func (o *output) precedes(next *output) bool {
	if next.data != o.data || next.v6 != o.v6 || next.udp != o.udp || next.Group != o.Group {
		return false
	}
	if next.size > o.size || o.data-netOffset+o.payload+next.size > maxSuper || !o.sameTransport(next) {
		return false
	}
	if o.v6 {
		return sameIPv6(o.Frame, next.Frame)
	}
	return sameIPv4(o.Frame, next.Frame) && o.countsID(next.Frame)
}

// sameIPv4 compares all from the Ethernet to the IPv4 addresses but length, id
// and checksum. Both have no options.
func sameIPv4(a, b ether.Frame) bool {
	return word(a, 0) == word(b, 0) && word(a, 8) == word(b, 8) && // to TOS
		half(a, flags4) == half(b, flags4) && // flags, TTL, protocol
		word(a, addr4) == word(b, addr4)
}

// sameIPv6 compares all from the Ethernet to the IPv6 addresses but the payload
// length. Both have no extensions.
func sameIPv6(a, b ether.Frame) bool {
	return word(a, 0) == word(b, 0) && word(a, 8) == word(b, 8) && // to the traffic class
		half(a, netOffset) == half(b, netOffset) && // flow label
		half(a, next6) == half(b, next6) && // next header, hop limit
		word(a, addr6) == word(b, addr6) && word(a, addr6+8) == word(b, addr6+8) &&
		word(a, addr6+16) == word(b, addr6+16) && word(a, addr6+24) == word(b, addr6+24)
}

// word and half load bytes to compare them.
func word(f ether.Frame, at int) uint64 { return binary.LittleEndian.Uint64(f[at:]) }
func half(f ether.Frame, at int) uint32 { return binary.LittleEndian.Uint32(f[at:]) }

// sameTransport compares ports and, of TCP, all but checksum, PSH and the
// sequence number, which must be the one that comes next.
func (o *output) sameTransport(next *output) bool {
	a, b := o.Frame[o.l4:o.data], next.Frame[o.l4:o.data]
	if half(ether.Frame(a), 0) != half(ether.Frame(b), 0) {
		return false
	}
	return o.udp || o.seq+uint32(next.size) == next.seq &&
		ether.TCP(a).Ack() == ether.TCP(b).Ack() && ether.TCP(a).Window() == ether.TCP(b).Window() &&
		bytes.Equal(a[18:], b[18:]) // urgent pointer, options
}

// countsID decides whether f has the IPv4 id of the next frame. It counts up by
// one from frame to frame; or it is the same in all, which only atomic
// datagrams may have (RFC 6864 §4.1), and then nobody looks at it.
func (o *output) countsID(f ether.Frame) bool {
	step := binary.BigEndian.Uint16(f[id4:]) - binary.BigEndian.Uint16(o.Frame[id4:])
	if o.frames == 1 {
		o.fixedID = step == 0 && ether.IPv4(f[netOffset:]).Fragment() == ether.IPv4DontFragment
	}
	if o.fixedID {
		return step == 0
	}
	return int(step) == o.frames
}

// count makes next the last frame of o. Nothing may follow a shorter one, one
// with PSH, or as many as a superframe takes.
func (o *output) count(next *output) {
	most := maxTCPFrames
	if o.udp {
		most = maxUDPFrames
	}
	o.push = next.push
	o.frames, o.payload, o.seq = o.frames+1, o.payload+next.size, next.seq
	o.open = next.size == o.size && !next.push && o.frames < most
}
