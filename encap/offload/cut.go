package offload

import (
	"encoding/binary"

	"github.com/uvtep/uvtep/encap/ether"
)

// cut is what the segments of one superframe have in common, worked out once:
// above all the sums of what does not differ between their headers.
type cut struct {
	layout
	prefix []byte
	frame  ether.Frame
	ip     uint32 // sum of the IPv4 header without length, id and checksum
	sum    uint32 // sum of pseudo and transport header without what differs
	seq    uint32
	id     uint16
	flags  uint8
	offset uint8 // byte 12 of the TCP header, summed together with the flags
}

// newCut prepares the segments of f. The sum of the pseudo header's addresses
// is what the unfinished checksum holds, less the length: so it is right with
// a routing header too, and what is wrong in f stays wrong in every segment.
func newCut(prefix []byte, l layout, f ether.Frame) cut {
	c := cut{layout: l, prefix: prefix, frame: f}
	b := f[l.l4:]
	field := b[l.csumOffset():]
	length := uint16(l.end - l.l4)
	c.sum = uint32(binary.BigEndian.Uint16(field)) + uint32(^length)
	if l.udp {
		c.sum += uint32(ether.UDP(b).SrcPort()) + uint32(ether.UDP(b).DstPort())
	} else {
		c.prepareTCP(ether.TCP(b[:l.data-l.l4]))
	}
	if !l.v6 {
		c.prepareIPv4(ether.IPv4(f[l.net:l.l4]))
	}
	return c
}

func (c *cut) prepareTCP(b ether.TCP) {
	c.seq, c.flags, c.offset = b.Seq(), b.Flags(), b[12]
	c.sum += ether.Sum(b[:4], 0) + ether.Sum(b[8:12], 0) + uint32(b.Window()) + ether.Sum(b[18:], 0)
}

func (c *cut) prepareIPv4(b ether.IPv4) {
	c.id = b.ID()
	c.ip = ether.Sum(b[:2], 0) + ether.Sum(b[6:10], 0) + ether.Sum(b[12:], 0)
}

// patch makes head, a copy of the superframe's headers, those of the segment
// whose payload lies in the superframe from at to till.
func (c *cut) patch(head []byte, at, till int) {
	body := c.data - c.l4 + till - at // transport header and payload
	if c.v6 {
		ether.IPv6(head[c.net:]).SetPayloadLen(c.l4 - c.net - ether.IPv6HeaderLen + body)
	} else {
		c.patchIPv4(ether.IPv4(head[c.net:]), body)
		c.id++ // as the kernel counts segments of one superframe
	}
	sum := ether.Sum(c.frame[at:till], c.sum+uint32(body))
	if c.udp {
		u := ether.UDP(head[c.l4:])
		u.SetLen(body)
		u.SetChecksum(nonZero(^ether.Fold(sum + uint32(body))))
		return
	}
	c.patchTCP(ether.TCP(head[c.l4:]), at, till, sum)
}

func (c *cut) patchIPv4(b ether.IPv4, body int) {
	n := c.l4 - c.net + body
	b.SetTotalLen(n)
	b.SetID(c.id)
	b.SetChecksum(^ether.Fold(c.ip + uint32(n) + uint32(c.id)))
}

// patchTCP sets what differs between TCP segments: CWR stands in the first
// only (RFC 3168 §6.1.2), FIN and PSH in the last only.
func (c *cut) patchTCP(b ether.TCP, at, till int, sum uint32) {
	seq, flags := c.seq+uint32(at-c.data), c.flags
	if at > c.data {
		flags &^= ether.TCPCwr
	}
	if till < c.end {
		flags &^= ether.TCPFin | ether.TCPPsh
	}
	b.SetSeq(seq)
	b.SetFlags(flags)
	b.SetChecksum(^ether.Fold(sum + seq>>16 + seq&0xffff + uint32(c.offset)<<8 + uint32(flags)))
}
