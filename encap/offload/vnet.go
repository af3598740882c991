package offload

import "encoding/binary"

// VnetHeaderLen is the size of the virtio header in front of every frame of a
// TAP opened with IFF_VNET_HDR, in bytes.
const VnetHeaderLen = 10

// Flags of VnetHeader.Flags (virtio 1.2 §5.1.6).
const (
	// FlagNeedsCsum: the checksum at CsumStart+CsumOffset is unfinished.
	FlagNeedsCsum = 1
	// FlagDataValid: the checksum was verified.
	FlagDataValid = 2
)

// Kinds of superframe in VnetHeader.GSOType (virtio 1.2 §5.1.6).
const (
	GSONone   = 0
	GSOTCPv4  = 1
	GSOTCPv6  = 4
	GSOUDPL4  = 5    // cut into datagrams of equal size (Linux 6.2), IPv4 and IPv6
	GSOECN    = 0x80 // bit beside a TCP kind: the first segment carries CWR
	gsoKindOf = 0x7f
)

// VnetHeader is a virtio_net_hdr viewed in place. Its words are little-endian,
// as a TAP has them after TUNSETVNETLE and on every little-endian machine. All
// methods but Valid require a valid header. Ten zero bytes say: one whole
// frame, nothing left to do.
//
//	 0       1       2           4           6            8            10
//	+-------+-------+-----------+-----------+------------+-------------+
//	| flags |  gso  | header    | gso size  | checksum   | checksum    |
//	|       | type  | length    |           | start      | offset      |
//	+-------+-------+-----------+-----------+------------+-------------+
type VnetHeader []byte

// Valid reports whether h is long enough to hold the header.
func (h VnetHeader) Valid() bool { return len(h) >= VnetHeaderLen }

// Flags returns FlagNeedsCsum and FlagDataValid.
func (h VnetHeader) Flags() uint8 { return h[0] }

// NeedsCsum reports whether the checksum is unfinished.
func (h VnetHeader) NeedsCsum() bool { return h[0]&FlagNeedsCsum != 0 }

// GSOType returns the kind of superframe, GSOECN included.
func (h VnetHeader) GSOType() uint8 { return h[1] }

// Super reports whether the frame is a superframe.
func (h VnetHeader) Super() bool { return h[1]&gsoKindOf != GSONone }

// HeaderLen returns the length of all headers of the frame, in bytes. It is a
// hint that nothing here relies on.
func (h VnetHeader) HeaderLen() int { return int(binary.LittleEndian.Uint16(h[2:])) }

// GSOSize returns how many bytes of payload go into each segment.
func (h VnetHeader) GSOSize() int { return int(binary.LittleEndian.Uint16(h[4:])) }

// CsumStart returns where in the frame the checksummed bytes begin.
func (h VnetHeader) CsumStart() int { return int(binary.LittleEndian.Uint16(h[6:])) }

// CsumOffset returns where behind CsumStart the checksum field lies.
func (h VnetHeader) CsumOffset() int { return int(binary.LittleEndian.Uint16(h[8:])) }

// Clear makes the header say that nothing is left to do.
func (h VnetHeader) Clear() { clear(h[:VnetHeaderLen]) }

// SetFlags replaces the flags.
func (h VnetHeader) SetFlags(v uint8) { h[0] = v }

// SetGSO replaces kind and size of the segments.
func (h VnetHeader) SetGSO(kind uint8, size int) {
	h[1] = kind
	binary.LittleEndian.PutUint16(h[4:], uint16(size))
}

// SetHeaderLen replaces the length of all headers.
func (h VnetHeader) SetHeaderLen(n int) { binary.LittleEndian.PutUint16(h[2:], uint16(n)) }

// SetCsum replaces where the checksummed bytes begin and where behind that the
// field lies.
func (h VnetHeader) SetCsum(start, offset int) {
	binary.LittleEndian.PutUint16(h[6:], uint16(start))
	binary.LittleEndian.PutUint16(h[8:], uint16(offset))
}
