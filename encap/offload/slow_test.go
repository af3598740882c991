package offload_test

import (
	"bytes"
	"encoding/binary"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

// This file is what the package does, done plainly: with copies, one field
// after the other, every checksum from the beginning. It judges the fast code.

// slowSum is the sum of RFC 1071, folded.
func slowSum(b []byte, sum uint32) uint32 {
	for i := 0; i < len(b); i += 2 {
		word := uint32(b[i]) << 8
		if i+1 < len(b) {
			word += uint32(b[i+1])
		}
		sum += word
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum
}

// slowWire returns the frames that a virtio header and a frame stand for, in
// one piece each, with complete checksums.
func slowWire(h offload.VnetHeader, f []byte) [][]byte {
	f = bytes.Clone(f)
	start := int(binary.LittleEndian.Uint16(h[6:]))
	field := start + int(binary.LittleEndian.Uint16(h[8:]))
	size := int(binary.LittleEndian.Uint16(h[4:]))
	udp := field-start == 6
	if h[0]&1 == 0 {
		return [][]byte{f}
	}
	if h[1]&0x7f == 0 { // the ECN bit alone says nothing
		slowChecksum(f, start, field, binary.BigEndian.Uint16(f[field:]))
		return [][]byte{f}
	}
	data := start + 8
	if !udp {
		data = start + int(f[start+12]>>4)*4
	}
	pseudo := slowSum(nil, uint32(binary.BigEndian.Uint16(f[field:]))+uint32(^uint16(len(f)-start)))
	var out [][]byte
	for at := data; at < len(f) || at == data; at += size {
		till := min(at+size, len(f))
		seg := append(bytes.Clone(f[:data]), f[at:till]...)
		slowHeaders(seg, len(out), at == data, till == len(f), start, udp, at-data)
		slowChecksum(seg, start, field, uint16(slowSum(nil, pseudo+uint32(len(seg)-start))))
		out = append(out, seg)
	}
	return out
}

// slowHeaders writes what differs from segment to segment.
func slowHeaders(seg []byte, index int, first, last bool, start int, udp bool, offset int) {
	net := 14
	for binary.BigEndian.Uint16(seg[net-2:]) == 0x8100 {
		net += 4
	}
	if seg[net]>>4 == 4 {
		binary.BigEndian.PutUint16(seg[net+2:], uint16(len(seg)-net))
		binary.BigEndian.PutUint16(seg[net+4:], binary.BigEndian.Uint16(seg[net+4:])+uint16(index))
		binary.BigEndian.PutUint16(seg[net+10:], 0)
		binary.BigEndian.PutUint16(seg[net+10:], ^uint16(slowSum(seg[net:net+int(seg[net]&15)*4], 0)))
	} else {
		binary.BigEndian.PutUint16(seg[net+4:], uint16(len(seg)-net-40))
	}
	if udp {
		binary.BigEndian.PutUint16(seg[start+4:], uint16(len(seg)-start))
		return
	}
	binary.BigEndian.PutUint32(seg[start+4:], binary.BigEndian.Uint32(seg[start+4:])+uint32(offset))
	if !first {
		seg[start+13] &^= ether.TCPCwr
	}
	if !last {
		seg[start+13] &^= ether.TCPFin | ether.TCPPsh
	}
}

// slowChecksum finishes the checksum at field over seg from start on.
func slowChecksum(seg []byte, start, field int, pseudo uint16) {
	binary.BigEndian.PutUint16(seg[field:], 0)
	sum := ^uint16(slowSum(seg[start:], uint32(pseudo)))
	if sum == 0 && field-start == 6 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(seg[field:], sum)
}

// join returns the bytes of a gather list.
func join(list [][]byte) []byte { return bytes.Join(list, nil) }
