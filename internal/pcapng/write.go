package pcapng

import (
	"encoding/binary"
	"time"
)

// Types of blocks (draft-ietf-opsawg-pcapng, §11.1).
const (
	SectionHeader       = 0x0a0d0d0a
	InterfaceDescriptor = 1
	InterfaceStatistics = 5
	EnhancedPacket      = 6
)

// LinkType says what a frame begins with (draft-ietf-opsawg-pcaplinktype).
type LinkType uint16

const (
	Ethernet LinkType = 1
	RawIP    LinkType = 101 // an IPv4 or IPv6 header
)

// Codes of options, and values of them.
const (
	optEnd        = 0
	optComment    = 1
	shbUserAppl   = 4
	ifName        = 2
	ifDescription = 3
	ifTSResol     = 9
	epbFlags      = 2
	epbPacketID   = 5
	isbIfRecv     = 4
	isbIfDrop     = 5

	magic       = 0x1a2b3c4d // tells the byte order
	nanoseconds = 9
)

// Direction is which way a frame went, as the flags of a block say it.
type Direction uint32

const (
	Inbound  Direction = 1
	Outbound Direction = 2
)

// Interface describes one of the interfaces of a file.
type Interface struct {
	Name, Description string
	Link              LinkType
	SnapLen           uint32 // 0: no limit
}

// Frame is a frame with what is to be said of it.
type Frame struct {
	Interface uint32 // in the order in which they were appended
	Time      time.Time
	Direction Direction
	ID        uint64 // the same for all that show the same; 0: none
	Comment   string
	Len       int // of the frame before it was cut
	Data      []byte
}

// AppendSection appends the beginning of a file, written by a program.
func AppendSection(b []byte, program string) []byte {
	b, at := begin(b, SectionHeader)
	b = le.AppendUint32(b, magic)
	b = le.AppendUint16(b, 1) // version 1.0
	b = le.AppendUint16(b, 0)
	b = le.AppendUint64(b, ^uint64(0)) // of a length that is not known
	b = option(b, shbUserAppl, program)
	return end(b, at)
}

// AppendInterface appends the description of an interface, whose times are in
// nanoseconds.
func AppendInterface(b []byte, i Interface) []byte {
	b, at := begin(b, InterfaceDescriptor)
	b = le.AppendUint16(b, uint16(i.Link))
	b = le.AppendUint16(b, 0)
	b = le.AppendUint32(b, i.SnapLen)
	b = option(b, ifName, i.Name)
	b = option(b, ifDescription, i.Description)
	b = option(b, ifTSResol, string([]byte{nanoseconds}))
	return end(b, at)
}

// AppendFrame appends a frame.
func AppendFrame(b []byte, f *Frame) []byte {
	b, at := begin(b, EnhancedPacket)
	ns := uint64(f.Time.UnixNano())
	b = le.AppendUint32(b, f.Interface)
	b = le.AppendUint32(b, uint32(ns>>32))
	b = le.AppendUint32(b, uint32(ns))
	b = le.AppendUint32(b, uint32(len(f.Data)))
	b = le.AppendUint32(b, uint32(f.Len))
	b = pad(append(b, f.Data...))
	b = option(b, optComment, f.Comment)
	b = le.AppendUint32(le.AppendUint32(b, 4<<16|epbFlags), uint32(f.Direction))
	if f.ID != 0 {
		b = le.AppendUint64(le.AppendUint32(b, 8<<16|epbPacketID), f.ID)
	}
	return end(b, at)
}

// AppendStatistics appends how many frames were taken on an interface until now,
// and how many were lost for want of room.
func AppendStatistics(b []byte, iface uint32, now time.Time, taken, lost uint64) []byte {
	b, at := begin(b, InterfaceStatistics)
	ns := uint64(now.UnixNano())
	b = le.AppendUint32(b, iface)
	b = le.AppendUint32(b, uint32(ns>>32))
	b = le.AppendUint32(b, uint32(ns))
	b = le.AppendUint64(le.AppendUint32(b, 8<<16|isbIfRecv), taken)
	b = le.AppendUint64(le.AppendUint32(b, 8<<16|isbIfDrop), lost)
	return end(b, at)
}

var le = binary.LittleEndian

// begin begins a block whose length end will write.
func begin(b []byte, typ uint32) ([]byte, int) {
	at := len(b)
	return le.AppendUint32(le.AppendUint32(b, typ), 0), at
}

// end ends the options and the block that began at at.
func end(b []byte, at int) []byte {
	b = le.AppendUint32(b, optEnd)
	n := uint32(len(b) - at + 4)
	le.PutUint32(b[at+4:], n)
	return le.AppendUint32(b, n)
}

// option appends an option, unless it is empty.
func option(b []byte, code uint16, value string) []byte {
	if value == "" {
		return b
	}
	value = value[:min(len(value), 1<<16-4)]
	b = le.AppendUint16(le.AppendUint16(b, code), uint16(len(value)))
	return pad(append(b, value...))
}

// pad fills up to 32 bits: every block before b was filled up too.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
