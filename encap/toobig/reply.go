package toobig

import (
	"encoding/binary"

	"github.com/uvtep/uvtep/encap/ether"
)

const (
	// MaxLen is the size of the longest answer, in bytes.
	MaxLen = maxHead + maxReply6

	// maxHead is an Ethernet header with two tags, which an answer keeps.
	maxHead = ether.HeaderLen + 2*4

	// maxReply4 is what every IPv4 host takes (RFC 1812 §4.3.2.3), maxReply6
	// the least MTU of IPv6 (RFC 4443 §2.4 (c)). Both in bytes of IP.
	maxReply4, maxReply6 = 576, 1280
	// minMTU4 is the least MTU of IPv4 (RFC 791 §3.2).
	minMTU4 = 68
	// minMTU6 is the least MTU that an IPv6 host may be told (RFC 8200 §5).
	minMTU6 = 1280

	icmpLen  = 8 // of the header, whose last four bytes hold the MTU
	replyTTL = 64

	unreachable4, needsFragmentation = 3, 4 // RFC 792, RFC 1191 §4
	tooBig6                          = 2    // RFC 4443 §3.2
	firstQuestion6                   = 128  // ICMPv6 types below are errors
)

// Reply builds in dst the answer to f: that the largest IP packet that gets
// through has mtu bytes. It returns the frame, which is the beginning of dst
// and goes back to where f came from; nil when f is to be dropped in silence,
// as all is that is not IP, was for many, or is an error itself (RFC 1122
// §3.2.2, RFC 4443 §2.4 (e)). dst must have a capacity of MaxLen and not overlap
// f. Reply does not allocate.
func Reply(dst []byte, f ether.Frame, mtu int) []byte {
	if !f.Valid() || f.Dst().IsMulticast() {
		return nil
	}
	t, b := f.Network()
	if len(f)-len(b) > maxHead {
		return nil
	}
	switch t {
	case ether.TypeIPv4:
		if p := ether.IPv4(b); p.Valid() && answerable4(p) {
			return reply4(dst, f, p, mtu)
		}
	case ether.TypeIPv6:
		if p := ether.IPv6(b); p.Valid() && answerable6(p) {
			return reply6(dst, f, p, mtu)
		}
	}
	return nil
}

func answerable4(p ether.IPv4) bool {
	src, to := p.Src(), p.Dst()
	if !src.IsValid() || src.IsUnspecified() || src.IsMulticast() || src.IsLoopback() || to.IsMulticast() || to.IsUnspecified() {
		return false
	}
	if src.As4()[0] >= 240 || to.As4()[0] >= 240 { // broadcast, reserved
		return false
	}
	if p.Fragment()&^(ether.IPv4DontFragment|ether.IPv4MoreFragments) != 0 {
		return false // not the first fragment
	}
	return p.Protocol() != ether.ProtoICMP || len(p.Payload()) > 0 && !isError4(p.Payload()[0])
}

// isError4 reports whether an ICMP type is one of RFC 1122 §3.2.2's errors.
func isError4(kind uint8) bool {
	switch kind {
	case unreachable4, 4, 5, 11, 12:
		return true
	}
	return false
}

func answerable6(p ether.IPv6) bool {
	src, to := p.Src(), p.Dst()
	if src.IsUnspecified() || src.IsMulticast() || src.IsLoopback() || to.IsMulticast() || to.IsUnspecified() {
		return false
	}
	proto, b, fragment, ok := p.Transport()
	if !ok || fragment {
		return ok // a fragment's sender must know, whatever is in it
	}
	return proto != ether.ProtoICMPv6 || len(b) > 0 && b[0] >= firstQuestion6
}

// reply4 builds an ICMP destination unreachable, fragmentation needed.
func reply4(dst []byte, f ether.Frame, p ether.IPv4, mtu int) []byte {
	quote := p[:min(p.TotalLen(), maxReply4-ether.IPv4HeaderLen-icmpLen)]
	n := ether.IPv4HeaderLen + icmpLen + len(quote)
	dst, b := head(dst, f, len(f)-len(p), n)
	h := ether.IPv4(b)
	clear(h[:ether.IPv4HeaderLen])
	h[0] = 4<<4 | ether.IPv4HeaderLen>>2
	h.SetTotalLen(n)
	h.SetFragment(ether.IPv4DontFragment)
	h.SetTTL(replyTTL)
	h.SetProtocol(ether.ProtoICMP)
	h.SetSrc(p.Dst())
	h.SetDst(p.Src())
	h.Finish()
	m := icmp(h[ether.IPv4HeaderLen:], quote, unreachable4, needsFragmentation, uint32(min(max(mtu, minMTU4), 0xffff)))
	binary.BigEndian.PutUint16(m[2:], ether.Checksum(m))
	return dst
}

// reply6 builds an ICMPv6 packet too big.
func reply6(dst []byte, f ether.Frame, p ether.IPv6, mtu int) []byte {
	whole := ether.IPv6HeaderLen + p.PayloadLen()
	quote := p[:min(whole, maxReply6-ether.IPv6HeaderLen-icmpLen)]
	n := icmpLen + len(quote)
	dst, b := head(dst, f, len(f)-len(p), ether.IPv6HeaderLen+n)
	h := ether.IPv6(b)
	h.SetVersion()
	h.SetPayloadLen(n)
	h.SetNextHeader(ether.ProtoICMPv6)
	h.SetHopLimit(replyTTL)
	h.SetSrc(p.Dst())
	h.SetDst(p.Src())
	m := icmp(h[ether.IPv6HeaderLen:], quote, tooBig6, 0, uint32(max(mtu, minMTU6)))
	sum := ether.Sum(m, ether.PseudoSum6(h, ether.ProtoICMPv6, len(m)))
	binary.BigEndian.PutUint16(m[2:], ^ether.Fold(sum))
	return dst
}

// head writes the first n bytes of f, an Ethernet header perhaps with tags, with
// the addresses the other way round, and returns a frame with room for body
// bytes behind them, and that room.
func head(dst []byte, f ether.Frame, n, body int) (frame, room []byte) {
	dst = dst[:n+body]
	copy(dst, f[:n])
	ether.Frame(dst).SetDst(f.Src())
	ether.Frame(dst).SetSrc(f.Dst())
	return dst, dst[n:]
}

// icmp writes a message without its checksum.
func icmp(m, quote []byte, kind, code uint8, mtu uint32) []byte {
	clear(m[:icmpLen])
	m[0], m[1] = kind, code
	binary.BigEndian.PutUint32(m[4:], mtu) // ICMP's two upper bytes are unused
	copy(m[icmpLen:], quote)
	return m
}
