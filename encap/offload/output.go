package offload

import (
	"encoding/binary"
	"math/bits"

	"github.com/uvtep/uvtep/encap/ether"
)

// output is a frame or superframe to be: its first frame, what a glance at its
// headers says, and the chain of payloads that follow.
type output struct {
	Arrival
	layout
	frames  int    // how many frames are in it
	size    int    // payload of the first, in bytes: the segment size
	payload int    // payload of all
	ahead   int    // index of the first piece behind the first frame, or -1
	last    int    // index of the last one
	hash    uint32 // of group, addresses, protocol and ports
	seq     uint32 // the TCP sequence number that must come next
	ipSum   uint32 // sum of the IPv4 header without length, id and checksum
	fits    bool   // it may be part of a superframe, if its checksums are right
	push    bool   // the last frame has PSH, so nothing may follow
	open    bool   // another frame may be merged
	sound   bool   // the checksums of the first frame were verified
	fixedID bool   // all frames have one IPv4 id, else it counts up
}

// sort is what a frame means to the flows of a batch.
type sort uint8

const (
	stranger sort = iota // of no flow that could be merged: ARP, ICMP, tagged
	opaque               // perhaps of any flow: a fragment, damage, headers unread
	inFlow               // of the flow that hash stands for
)

// Offsets in an untagged frame.
const (
	netOffset = ether.HeaderLen
	id4       = netOffset + 4
	flags4    = netOffset + 6
	addr4     = netOffset + 12
	plain4    = netOffset + ether.IPv4HeaderLen // transport without options
	next6     = netOffset + 6
	addr6     = netOffset + 8
	plain6    = netOffset + ether.IPv6HeaderLen // transport without extensions
)

// examine looks at the headers of the frame. It reads only what every frame
// needs; checksums come later, if ever.
func (o *output) examine() sort {
	f := o.Frame
	if !f.Valid() {
		return stranger
	}
	switch f.Type() {
	case ether.TypeIPv4:
		return o.examine4(ether.IPv4(f[netOffset:]))
	case ether.TypeIPv6:
		return o.examine6(ether.IPv6(f[netOffset:]))
	}
	return stranger
}

func (o *output) examine4(b ether.IPv4) sort {
	if !b.Valid() {
		return opaque
	}
	if b.Fragmented() {
		return fragment(b.Protocol())
	}
	o.net, o.l4, o.end = netOffset, netOffset+b.HeaderLen(), netOffset+b.TotalLen()
	o.fits = o.l4 == plain4 && o.end == len(o.Frame) && b.TotalLen() <= o.MTU && b.Fragment()&^ether.IPv4DontFragment == 0
	return o.examineTransport(b.Protocol(), binary.LittleEndian.Uint64(b[12:]))
}

func (o *output) examine6(b ether.IPv6) sort {
	if !b.Valid() {
		return opaque
	}
	proto, payload, fragmented, ok := b.Transport()
	if fragmented || !ok {
		return fragment(proto)
	}
	o.net, o.end, o.v6 = netOffset, plain6+b.PayloadLen(), true
	o.l4 = o.end - len(payload)
	o.fits = o.l4 == plain6 && o.end == len(o.Frame) && o.end-netOffset <= o.MTU
	source := mix(binary.LittleEndian.Uint64(b[8:]), binary.LittleEndian.Uint64(b[16:]))
	return o.examineTransport(proto, mix(source^binary.LittleEndian.Uint64(b[24:]), binary.LittleEndian.Uint64(b[32:])))
}

// fragment tells the sort of a fragment, or of a chain of headers too long to
// walk. Whose ports it would have is unknown, so that it may be of any flow,
// unless the protocol is one that nothing is merged of.
func fragment(proto uint8) sort {
	if proto == ether.ProtoICMP || proto == ether.ProtoICMPv6 {
		return stranger
	}
	return opaque
}

// examineTransport looks behind the IP header.
func (o *output) examineTransport(proto uint8, key uint64) sort {
	b := o.Frame[o.l4:o.end]
	switch {
	case proto != ether.ProtoTCP && proto != ether.ProtoUDP:
		return stranger
	case proto == ether.ProtoTCP && ether.TCP(b).Valid():
		o.examineTCP(ether.TCP(b))
	case proto == ether.ProtoUDP && ether.UDP(b).Valid():
		o.examineUDP(ether.UDP(b))
	default:
		return opaque
	}
	o.size = o.end - o.data
	o.payload = o.size
	o.seq += uint32(o.size)
	o.fits = o.fits && o.size > 0
	ports := uint64(binary.LittleEndian.Uint32(b)) | uint64(proto)<<32 | uint64(o.Group)<<40
	o.hash = uint32(mix(key, ports))
	return inFlow
}

// examineTCP: no flag but ACK and PSH, no reserved bit.
func (o *output) examineTCP(b ether.TCP) {
	o.data, o.seq = o.l4+b.HeaderLen(), b.Seq()
	o.push = b.Flags()&ether.TCPPsh != 0
	o.fits = o.fits && b.Flags()&^ether.TCPPsh == ether.TCPAck && b[12]&15 == 0
}

// examineUDP: a length that is that of IP, and a checksum.
func (o *output) examineUDP(b ether.UDP) {
	o.udp, o.data = true, o.l4+ether.UDPHeaderLen
	o.fits = o.fits && o.Segment == 0 && b.Len() == len(b) && b.Checksum() != 0
}

// mix folds the two halves of a 128-bit product together, in which every bit
// of a and b reaches about half of the bits.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^0x6a09e667f3bcc909, b^0xbb67ae8584caa73b)
	return hi ^ lo
}
