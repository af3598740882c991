package pcapng

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Block is one block of a file that this package has written, with its lengths
// and type.
type Block []byte

const (
	minBlock = 12
	// maxBlock bounds what is read at once: the longest frame, and some comment.
	maxBlock = 1 << 18
)

// ReadBlock reads the next block. io.EOF comes between two blocks only.
func ReadBlock(r io.Reader) (Block, error) {
	head := make([]byte, 8)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	n := le.Uint32(head[4:])
	if n < minBlock || n > maxBlock || n%4 != 0 {
		return nil, fmt.Errorf("a block of %d bytes: this is no capture of uvtep's", n)
	}
	b := append(make(Block, 0, n), head...)[:n]
	if _, err := io.ReadFull(r, b[len(head):]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

// Type is the type of the block.
func (b Block) Type() uint32 { return le.Uint32(b) }

// Frame returns what an enhanced packet block holds. The data is the block's.
func (b Block) Frame() (f Frame, ok bool) {
	const fixed = 28
	if b.Type() != EnhancedPacket || len(b) < fixed+4 {
		return Frame{}, false
	}
	n := int(le.Uint32(b[20:]))
	options := fixed + (n+3)&^3
	if n < 0 || options > len(b)-4 {
		return Frame{}, false
	}
	f = Frame{
		Interface: le.Uint32(b[8:]), Time: time.Unix(0, int64(le.Uint32(b[12:]))<<32|int64(le.Uint32(b[16:]))),
		Len: int(le.Uint32(b[24:])), Data: b[fixed : fixed+n],
	}
	eachOption(b[options:len(b)-4], func(code uint16, value []byte) {
		switch {
		case code == optComment:
			f.Comment = string(value)
		case code == epbFlags && len(value) == 4:
			f.Direction = Direction(le.Uint32(value) & 3)
		case code == epbPacketID && len(value) == 8:
			f.ID = le.Uint64(value)
		}
	})
	return f, true
}

// Link returns the link type of an interface description block.
func (b Block) Link() (l LinkType, ok bool) {
	if b.Type() != InterfaceDescriptor || len(b) < 20 {
		return 0, false
	}
	return LinkType(le.Uint16(b[8:])), true
}

// Statistics returns what an interface statistics block holds.
func (b Block) Statistics() (taken, lost uint64, ok bool) {
	const fixed = 20
	if b.Type() != InterfaceStatistics || len(b) < fixed+4 {
		return 0, 0, false
	}
	eachOption(b[fixed:len(b)-4], func(code uint16, value []byte) {
		switch {
		case code == isbIfRecv && len(value) == 8:
			taken = le.Uint64(value)
		case code == isbIfDrop && len(value) == 8:
			lost = le.Uint64(value)
		}
	})
	return taken, lost, true
}

// eachOption calls see with each option in b.
func eachOption(b []byte, see func(code uint16, value []byte)) {
	for len(b) >= 4 {
		code, n := le.Uint16(b), int(le.Uint16(b[2:]))
		if code == optEnd || 4+n > len(b) {
			return
		}
		see(code, b[4:4+n])
		b = b[min(len(b), 4+(n+3)&^3):]
	}
}
