package offload

import (
	"encoding/binary"

	"github.com/uvtep/uvtep/encap/ether"
)

// verify checks the first frame of o, once, when a second one wants to join: a
// frame that stays alone is left to its receiver. A bad one is closed for good.
func (o *output) verify() bool {
	if o.sound {
		return true
	}
	if !o.v6 {
		f := o.Frame
		o.ipSum = ether.Sum(f[netOffset:netOffset+2], 0) + ether.Sum(f[flags4:flags4+4], 0) + ether.Sum(f[addr4:plain4], 0)
	}
	o.sound = o.verifyAfter(o)
	o.open = o.sound
	return o.sound
}

// verifyAfter checks o's frame, whose IPv4 header has the same sum as that of
// first but for length, id and checksum.
func (o *output) verifyAfter(first *output) bool {
	return o.ipv4Sound(first) && o.transportSound()
}

func (o *output) ipv4Sound(first *output) bool {
	if o.v6 {
		return true
	}
	ip := ether.IPv4(o.Frame[netOffset:])
	return ether.Fold(first.ipSum+uint32(ip.TotalLen())+uint32(ip.ID())+uint32(ip.Checksum())) == 0xffff
}

// transportSound reports whether the checksum of TCP or UDP is right or
// unfinished. Without options and extensions the addresses of the pseudo
// header stand right before the transport header, so one sum covers both.
func (o *output) transportSound() bool {
	from := addr4
	if o.v6 {
		from = addr6
	}
	sum := ether.Sum(o.Frame[from:o.end], uint32(o.proto())+uint32(o.end-o.l4))
	return ether.Fold(sum) == 0xffff || o.unfinished(o.Frame)
}

// unfinished reports whether the checksum field of f is the pseudo header's
// sum. The field of UDP without checksum is zero, which the sum never is.
func (l *layout) unfinished(f ether.Frame) bool {
	field := binary.BigEndian.Uint16(f[l.l4+l.csumOffset():])
	return field == ether.Fold(l.pseudoSum(f))
}

// pseudoSum returns the sum of the pseudo header.
func (l *layout) pseudoSum(f ether.Frame) uint32 {
	if l.v6 {
		return ether.PseudoSum6(ether.IPv6(f[l.net:]), l.proto(), l.end-l.l4)
	}
	return ether.PseudoSum4(ether.IPv4(f[l.net:]), l.proto(), l.end-l.l4)
}
