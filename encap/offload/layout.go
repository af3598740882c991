package offload

import "github.com/uvtep/uvtep/encap/ether"

// Offsets of the checksum field in a transport header.
const (
	tcpCsumOffset = 16
	udpCsumOffset = 6
)

// layout says where the headers of a whole TCP or UDP frame lie, as offsets
// from its first byte.
type layout struct {
	net  int  // IP header
	l4   int  // TCP or UDP header
	data int  // payload
	end  int  // behind the payload; Ethernet padding may follow
	v6   bool // IPv6, else IPv4
	udp  bool // UDP, else TCP
}

// csumOffset returns where the checksum field lies behind l4.
func (l *layout) csumOffset() int {
	if l.udp {
		return udpCsumOffset
	}
	return tcpCsumOffset
}

// proto returns the protocol number.
func (l *layout) proto() uint8 {
	if l.udp {
		return ether.ProtoUDP
	}
	return ether.ProtoTCP
}

// locate finds the headers of f behind VLAN tags, IPv4 options and IPv6
// extension headers. ok is false for anything but a whole TCP segment or UDP
// datagram with lengths that fit: fragments, other protocols, damage.
func locate(f ether.Frame) (l layout, ok bool) {
	if !f.Valid() {
		return l, false
	}
	t, b := f.Network()
	l.net = len(f) - len(b)
	switch {
	case t == ether.TypeIPv4 && ether.IPv4(b).Valid() && !ether.IPv4(b).Fragmented():
		ip := ether.IPv4(b)
		l.l4, l.end = l.net+ip.HeaderLen(), l.net+ip.TotalLen()
		return l, l.locateTransport(f, ip.Protocol())
	case t == ether.TypeIPv6 && ether.IPv6(b).Valid():
		proto, payload, fragment, ok := ether.IPv6(b).Transport()
		l.v6, l.end = true, l.net+ether.IPv6HeaderLen+ether.IPv6(b).PayloadLen()
		l.l4 = l.end - len(payload)
		return l, ok && !fragment && l.locateTransport(f, proto)
	}
	return l, false
}

// locateTransport completes l behind l4 and checks the lengths there.
func (l *layout) locateTransport(f ether.Frame, proto uint8) bool {
	b := f[l.l4:l.end]
	switch proto {
	case ether.ProtoTCP:
		if !ether.TCP(b).Valid() {
			return false
		}
		l.data = l.l4 + ether.TCP(b).HeaderLen()
		return true
	case ether.ProtoUDP:
		l.udp, l.data = true, l.l4+ether.UDPHeaderLen
		return ether.UDP(b).Valid() && ether.UDP(b).Len() == len(b)
	}
	return false
}
