package arpproxy

import (
	"net/netip"

	"github.com/uvtep/uvtep/encap/ether"
)

// MaxLen is the size of the longest frame that Reply and Announce build, in
// bytes: a neighbour advertisement. An ARP frame is 42 bytes long.
const MaxLen = ether.HeaderLen + 40 + 32

const arpFrameLen = ether.HeaderLen + ARPLen

// Reply builds in dst the answer to req, which Decide wants answered: the
// target has the address mac. It returns the frame, which is the beginning of
// dst and goes back into the TAP that req came from. dst must have a capacity
// of MaxLen and may be req itself. Reply does not allocate.
func Reply(dst []byte, req ether.Frame, mac ether.Addr) []byte {
	v := View(req.Payload())
	asker := req.Src()
	m := message{
		op:        OpReply,
		senderMAC: mac,
		senderIP:  v.TargetIP().As4(),
		targetMAC: v.SenderMAC(),
		targetIP:  v.SenderIP().As4(),
	}
	return putARP(dst, asker, &m)
}

// Announce builds in dst the frame that tells all stations that ip has the
// address mac (RFC 5227 §2.3: a request from and for ip), and returns it: the
// beginning of dst. dst must have a capacity of MaxLen. Announce does not
// allocate.
func Announce(dst []byte, ip netip.Addr, mac ether.Addr) []byte {
	m := message{op: OpRequest, senderMAC: mac, senderIP: ip.As4(), targetIP: ip.As4()}
	return putARP(dst, ether.Broadcast, &m)
}

// putARP builds the frame that takes m to the station to.
func putARP(dst []byte, to ether.Addr, m *message) []byte {
	dst = dst[:arpFrameLen]
	ether.PutHeader(dst, to, m.senderMAC, ether.TypeARP)
	m.put(dst[ether.HeaderLen:])
	return dst
}
