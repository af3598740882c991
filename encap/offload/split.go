package offload

import "github.com/uvtep/uvtep/encap/ether"

// headerRoom is what a Splitter sets aside for the headers of one segment, on
// average: VXLAN, Ethernet, IPv6, and TCP with timestamps are 114 bytes.
const headerRoom = 128

// Fate is what came of a frame given to a Splitter.
type Fate uint8

const (
	// Ready: the gather lists are complete.
	Ready Fate = iota
	// Full: the scratch has no room left for this frame beside those before
	// it. Send what there is, Reset, and try again.
	Full
	// Malformed: the virtio header and the frame do not fit together, or the
	// frame would need more segments than the scratch can ever hold. Drop it.
	Malformed
)

// String returns the name of the fate.
func (v Fate) String() string {
	switch v {
	case Ready:
		return "Ready"
	case Full:
		return "Full"
	case Malformed:
		return "Malformed"
	}
	return "Fate?"
}

// Splitter turns what a TAP hands over into frames as the wire has them, each
// a gather list. It owns the scratch that the lists and the headers in them
// lie in. The zero Splitter holds nothing and is Full or Malformed for all.
type Splitter struct {
	head  []byte     // headers of segments, one after the other
	parts [][]byte   // the pieces that the lists are made of
	lists [][][]byte // one a frame
}

// NewSplitter returns a Splitter with room for about the given number of
// frames between two calls of Reset. The largest superframe must fit: 64 KiB in
// the smallest segments that TCP uses (88 bytes on Linux) are 745 frames.
func NewSplitter(frames int) *Splitter {
	return &Splitter{
		head:  make([]byte, 0, frames*headerRoom),
		parts: make([][]byte, 0, 2*frames),
		lists: make([][][]byte, 0, frames),
	}
}

// Reset takes back all scratch. Gather lists returned before are void.
func (s *Splitter) Reset() {
	s.head, s.parts, s.lists = s.head[:0], s.parts[:0], s.lists[:0]
}

// Split returns f as frames of the wire with complete checksums, one gather
// list each; prefix, as a rule the VXLAN header, is the beginning of every one.
// The payload is not copied: the lists share f, which the caller leaves alone
// until they are sent, and prefix. A superframe is cut as h says; of any other
// the checksum is finished in place where h asks for it, and h is cleared.
func (s *Splitter) Split(prefix []byte, h VnetHeader, f ether.Frame) ([][][]byte, Fate) {
	if h.Super() {
		return s.splitSuper(prefix, h, f)
	}
	if cap(s.lists) == 0 || !f.Valid() {
		return nil, Malformed
	}
	if len(s.lists) == cap(s.lists) {
		return nil, Full
	}
	if !Complete(h, f) {
		return nil, Malformed
	}
	first := len(s.lists)
	s.add(prefix, f)
	return s.lists[first:], Ready
}

// SegmentLen returns the length of the longest frame that f stands for, in
// bytes from its Ethernet header on: what has to fit the tunnel. It is that of
// f where f is no superframe, or none that can be split.
func SegmentLen(h VnetHeader, f ether.Frame) int {
	if !h.Super() {
		return len(f)
	}
	l, ok := locate(f)
	if !ok {
		return len(f)
	}
	return l.data + min(h.GSOSize(), l.end-l.data)
}

// add appends a gather list of two pieces.
func (s *Splitter) add(head, body []byte) {
	n := len(s.parts)
	s.parts = append(s.parts, head, body)
	s.lists = append(s.lists, s.parts[n:n+2:n+2])
}

// splitSuper is Split for superframes.
func (s *Splitter) splitSuper(prefix []byte, h VnetHeader, f ether.Frame) ([][][]byte, Fate) {
	l, ok := locate(f)
	if !ok || !l.describedBy(h) {
		return nil, Malformed
	}
	size := h.GSOSize()
	n := max(1, (l.end-l.data+size-1)/size)
	room := n * (len(prefix) + l.data)
	if n > cap(s.lists) || room > cap(s.head) {
		return nil, Malformed
	}
	if n > cap(s.lists)-len(s.lists) || room > cap(s.head)-len(s.head) {
		return nil, Full
	}
	first := len(s.lists)
	s.cut(newCut(prefix, l, f), size)
	return s.lists[first:], Ready
}

// describedBy reports whether h tells of the frame what l found in it: a
// superframe of the same kind with its checksum unfinished where l has it.
func (l *layout) describedBy(h VnetHeader) bool {
	kind := h.GSOType()
	switch {
	case l.udp:
		return kind == GSOUDPL4 && l.csumAt(h)
	case l.v6:
		return kind&^GSOECN == GSOTCPv6 && l.csumAt(h)
	}
	return kind&^GSOECN == GSOTCPv4 && l.csumAt(h)
}

func (l *layout) csumAt(h VnetHeader) bool {
	return h.NeedsCsum() && h.CsumStart() == l.l4 && h.CsumOffset() == l.csumOffset() && h.GSOSize() > 0
}

// cut appends the segments of c, each with size bytes of payload at most.
func (s *Splitter) cut(c cut, size int) {
	for at := c.data; at == c.data || at < c.end; at += size {
		till := min(at+size, c.end)
		n := len(s.head)
		s.head = append(append(s.head, c.prefix...), c.frame[:c.data]...)
		c.patch(s.head[n+len(c.prefix):], at, till)
		s.add(s.head[n:len(s.head):len(s.head)], c.frame[at:till])
	}
}
