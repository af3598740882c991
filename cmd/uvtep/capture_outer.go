package main

import (
	"net/netip"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	vswitch "github.com/uvtep/uvtep/switch"
)

// outerDatagram is the datagram that a sample was in on the underlay.
func (s *captureStream) outerDatagram(x *vswitch.Sample) []byte {
	home := s.trunk.where()
	o := outerSide{home.Addr, home.Addr6, s.trunk.boundPort(), uint8(s.outerTTL), s.udpCsum != "off", s.trunk.sourcePort}
	return o.datagram(x)
}

// outerSide is this host's side of the tunnel.
type outerSide struct {
	v4, v6 netip.Addr
	port   uint16 // that datagrams come to
	ttl    uint8  // of those that leave, unless they have their own
	summed bool   // those have a checksum
	// sourcePort is what one leaves from.
	sourcePort func(*encap.Datagram) uint16
}

// datagram is the datagram that a sample was in on the underlay, from its IP
// header on, nil if it was in none. A socket tells no more of a datagram than
// addresses, ports and type of service: what else is in the headers is as uvtep
// sends it, and the TTL of what comes in is 0. A frame that went to many goes to
// the unspecified address here.
func (o *outerSide) datagram(x *vswitch.Sample) []byte {
	e := ends{tos: x.Outer.TOS}
	payload := x.Data
	switch {
	case x.Verdict.Inbound():
		e.src = netip.AddrPortFrom(x.Peer.Addr().Unmap(), x.Peer.Port())
		e.dst = netip.AddrPortFrom(localOf(o.v4, o.v6, e.src.Addr().Is6()), o.port)
	case x.Verdict == vswitch.Forward || x.Verdict == vswitch.Replicate:
		d := x.Outer
		if d.Peer = x.Peer; !d.Peer.IsValid() {
			d.Peer = netip.AddrPortFrom(unspecified(!o.v4.IsValid()), o.port)
		}
		e.src = netip.AddrPortFrom(localOf(o.v4, o.v6, d.Peer.Addr().Is6()), o.sourcePort(&d))
		if e.dst, e.ttl = d.Peer, d.TTL; e.ttl == 0 {
			e.ttl = o.ttl
		}
		e.summed = o.summed && x.Segment == 0
		payload = make([]byte, encap.HeaderLen, encap.HeaderLen+len(x.Data))
		encap.PutHeader(payload, x.VNI)
		payload = append(payload, x.Data...)
	default:
		return nil
	}
	return e.datagram(payload, x.Len-len(x.Data))
}

func localOf(v4, v6 netip.Addr, six bool) netip.Addr {
	switch {
	case six && v6.IsValid():
		return v6
	case six:
		return netip.IPv6Unspecified()
	case v4.IsValid():
		return v4
	}
	return netip.IPv4Unspecified()
}

func unspecified(six bool) netip.Addr { return localOf(netip.Addr{}, netip.Addr{}, six) }

// ends are what the outer headers of a datagram say.
type ends struct {
	src, dst netip.AddrPort
	tos, ttl uint8
	summed   bool // the UDP checksum is there
}

// datagram puts headers in front of a payload of which so many bytes are cut off.
// Lengths that have no room in a header, those of superframes, are 0 there.
func (e ends) datagram(payload []byte, cut int) []byte {
	length := ether.UDPHeaderLen + len(payload) + cut
	var b []byte
	var udp ether.UDP
	if e.dst.Addr().Is4() {
		b = make([]byte, ether.IPv4HeaderLen+ether.UDPHeaderLen, ether.IPv4HeaderLen+ether.UDPHeaderLen+len(payload))
		ip := ether.IPv4(b)
		ip[0] = 0x45
		ip.SetTOS(e.tos)
		ip.SetTotalLen(fits(ether.IPv4HeaderLen + length))
		ip.SetFragment(ether.IPv4DontFragment)
		ip.SetTTL(e.ttl)
		ip.SetProtocol(ether.ProtoUDP)
		ip.SetSrc(e.src.Addr())
		ip.SetDst(e.dst.Addr())
		ip.SetChecksum(ether.Checksum(ip[:ether.IPv4HeaderLen]))
		udp = ether.UDP(b[ether.IPv4HeaderLen:])
	} else {
		b = make([]byte, ether.IPv6HeaderLen+ether.UDPHeaderLen, ether.IPv6HeaderLen+ether.UDPHeaderLen+len(payload))
		ip := ether.IPv6(b)
		ip.SetVersion()
		ip.SetTrafficClass(e.tos)
		ip.SetPayloadLen(fits(length))
		ip.SetNextHeader(ether.ProtoUDP)
		ip.SetHopLimit(e.ttl)
		ip.SetSrc(e.src.Addr())
		ip.SetDst(e.dst.Addr())
		udp = ether.UDP(b[ether.IPv6HeaderLen:])
	}
	udp.SetSrcPort(e.src.Port())
	udp.SetDstPort(e.dst.Port())
	udp.SetLen(fits(length))
	header := len(b) - ether.UDPHeaderLen
	b = append(b, payload...)
	if e.summed && cut == 0 {
		e.sum(b, header)
	}
	return b
}

// sum fills in the UDP checksum; zero would say that there is none (RFC 768).
func (e ends) sum(b []byte, header int) {
	udp := ether.UDP(b[header:])
	pseudo := uint32(0)
	if e.dst.Addr().Is4() {
		pseudo = ether.PseudoSum4(ether.IPv4(b), ether.ProtoUDP, len(udp))
	} else {
		pseudo = ether.PseudoSum6(ether.IPv6(b), ether.ProtoUDP, len(udp))
	}
	c := ^ether.Fold(ether.Sum(udp, pseudo))
	if c == 0 {
		c = 0xffff
	}
	udp.SetChecksum(c)
}

// fits is a length that a header of 16 bits can say, else 0.
func fits(n int) int {
	if n > 1<<16-1 {
		return 0
	}
	return n
}
