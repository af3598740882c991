package offload

import (
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

// Unfinished recognises a frame whose TCP or UDP checksum its sender left
// unfinished, as a kernel peer on the same machine does: the field holds
// exactly the folded sum of the pseudo header. It then fills h, which must be
// clear, so that the receiver finishes it, and returns true. Any other frame
// leaves h as it is; a checksum that is merely wrong stays wrong.
//
// Such a peer may also send a whole superframe in one datagram. TCP of more
// than mtu bytes of IP becomes a superframe with segments that fill mtu. UDP
// becomes one when segment, the payload of the datagrams inside as the socket
// reported it, is not zero; without it, it is one large datagram.
func Unfinished(h VnetHeader, f ether.Frame, mtu, segment int) bool {
	l, ok := locate(f)
	if !ok || !l.unfinished(f) {
		return false
	}
	l.describe(h, f, mtu, segment)
	return true
}

// Undivided reports whether a received message is one datagram although the
// socket says that it holds several of segment bytes each. That is how the UDP
// superframe of a kernel peer on the same machine reaches a socket with UDP_GRO
// (seen on Linux 6.18): one VXLAN header, one inner frame, and as the segment
// size that of the datagrams inside the inner frame. Such a frame goes on with
// Arrival.Segment set. message begins with the VXLAN header.
func Undivided(message []byte, segment int) bool {
	if segment <= 0 || segment >= len(message) || len(message) < encap.HeaderLen {
		return false
	}
	f := encap.Header(message).Payload()
	l, ok := locate(f)
	return ok && l.udp && l.end == len(f) && l.unfinished(f)
}

// describe fills h for a frame with an unfinished checksum.
func (l *layout) describe(h VnetHeader, f ether.Frame, mtu, segment int) {
	h.SetFlags(FlagNeedsCsum)
	h.SetHeaderLen(l.data)
	h.SetCsum(l.l4, l.csumOffset())
	size := mtu - (l.data - l.net)
	if l.udp {
		size = segment
	}
	if size <= 0 || size >= l.end-l.data {
		return
	}
	h.SetGSO(l.kind(f), size)
}

// kind returns the kind of superframe that f can be.
func (l *layout) kind(f ether.Frame) uint8 {
	switch {
	case l.udp:
		return GSOUDPL4
	case ether.TCP(f[l.l4:]).Flags()&ether.TCPCwr != 0:
		return l.tcpKind() | GSOECN
	}
	return l.tcpKind()
}

func (l *layout) tcpKind() uint8 {
	if l.v6 {
		return GSOTCPv6
	}
	return GSOTCPv4
}
