package offload

import (
	"encoding/binary"

	"github.com/uvtep/uvtep/encap/ether"
)

// Complete finishes the checksum of f in place where h asks for it, and clears
// h. It is for frames that are no superframes; Splitter finishes those. False
// means that h points outside of f or between two words: the frame is
// malformed and must be dropped.
func Complete(h VnetHeader, f ether.Frame) bool {
	if !h.NeedsCsum() {
		return true
	}
	start := h.CsumStart()
	field := start + h.CsumOffset()
	if start < ether.HeaderLen || h.CsumOffset()&1 != 0 || field+2 > len(f) {
		return false
	}
	c := ^ether.Fold(ether.Sum(f[start:], 0))
	if h.CsumOffset() == udpCsumOffset {
		c = nonZero(c)
	}
	binary.BigEndian.PutUint16(f[field:], c)
	h.Clear()
	return true
}

// nonZero returns a checksum as UDP carries it: all ones in place of zero, its
// equal, since zero means that there is no checksum (RFC 768).
func nonZero(c uint16) uint16 {
	if c == 0 {
		return 0xffff
	}
	return c
}

// StripTags removes every VLAN tag of f like ether.StripTags and moves what h
// says along: a superframe loses its tag once, before it is split.
func StripTags(h VnetHeader, f ether.Frame) ether.Frame {
	out := ether.StripTags(f)
	if h.Flags() == 0 && !h.Super() {
		return out
	}
	n := len(f) - len(out)
	h.SetHeaderLen(max(h.HeaderLen()-n, 0))
	h.SetCsum(max(h.CsumStart()-n, 0), h.CsumOffset())
	return out
}
