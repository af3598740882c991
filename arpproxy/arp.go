package arpproxy

import (
	"encoding/binary"
	"net/netip"

	"github.com/uvtep/uvtep/encap/ether"
)

// ARPLen is the size of an ARP message for Ethernet and IPv4, in bytes.
const ARPLen = 28

// Op is an ARP operation.
type Op uint16

// The operations that the proxy knows (RFC 826); all others pass.
const (
	OpRequest Op = 1
	OpReply   Op = 2
)

const (
	hardwareEthernet = 1
	offOp            = 6
	offSenderMAC     = 8
	offSenderIP      = 14
	offTargetMAC     = 18
	offTargetIP      = 24
)

// View is an ARP message viewed in place, for Ethernet and IPv4 (RFC 826). It
// may be followed by padding. All methods but Valid require a valid message.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------------------------------+-------------------------------+
//	|     hardware space (1)        |    protocol space (0x0800)    |
//	+---------------+---------------+-------------------------------+
//	| hw length (6) | pr length (4) |           operation           |
//	+---------------+---------------+-------------------------------+
//	|                sender hardware address                        |
//	+                               +-------------------------------+
//	|                               |   sender protocol address     |
//	+-------------------------------+-------------------------------+
//	|   (sender protocol address)   |                               |
//	+-------------------------------+   target hardware address     +
//	|                                                               |
//	+---------------------------------------------------------------+
//	|                target protocol address                        |
//	+---------------------------------------------------------------+
type View []byte

// Valid reports whether v is a whole ARP message for Ethernet and IPv4.
func (v View) Valid() bool {
	return len(v) >= ARPLen &&
		binary.BigEndian.Uint16(v) == hardwareEthernet &&
		ether.Type(binary.BigEndian.Uint16(v[2:])) == ether.TypeIPv4 &&
		v[4] == ether.AddrLen && v[5] == 4
}

// Op returns the operation.
func (v View) Op() Op { return Op(binary.BigEndian.Uint16(v[offOp:])) }

// SenderMAC returns the sender's hardware address.
func (v View) SenderMAC() ether.Addr { return ether.Addr(v[offSenderMAC:offSenderIP]) }

// SenderIP returns the sender's protocol address.
func (v View) SenderIP() netip.Addr { return netip.AddrFrom4([4]byte(v[offSenderIP:offTargetMAC])) }

// TargetMAC returns the target's hardware address, which means nothing in a
// request.
func (v View) TargetMAC() ether.Addr { return ether.Addr(v[offTargetMAC:offTargetIP]) }

// TargetIP returns the target's protocol address.
func (v View) TargetIP() netip.Addr { return netip.AddrFrom4([4]byte(v[offTargetIP:ARPLen])) }

// message is what v says, with Answer when that is to be judged. Operations
// that the proxy does not know pass.
func (v View) message() (message, Action) {
	if !v.Valid() {
		return message{}, Malformed
	}
	m := message{ip: v.SenderIP(), mac: v.SenderMAC(), target: v.TargetIP()}
	switch op := v.Op(); {
	case op != OpRequest && op != OpReply:
		return m, Pass
	case m.ip == m.target: // RFC 5227 §2.3; the reply form is as common
		m.kind = announcement
	case op == OpReply:
		m.kind = statement
	}
	return m, Answer
}

// arpMessage is an ARP message to be written.
type arpMessage struct {
	op                   Op
	senderMAC, targetMAC ether.Addr
	senderIP, targetIP   [4]byte
}

// put writes m to the first ARPLen bytes of b.
func (m *arpMessage) put(b []byte) {
	_ = b[ARPLen-1]
	binary.BigEndian.PutUint16(b, hardwareEthernet)
	binary.BigEndian.PutUint16(b[2:], uint16(ether.TypeIPv4))
	b[4], b[5] = ether.AddrLen, 4
	binary.BigEndian.PutUint16(b[offOp:], uint16(m.op))
	copy(b[offSenderMAC:], m.senderMAC[:])
	copy(b[offSenderIP:], m.senderIP[:])
	copy(b[offTargetMAC:], m.targetMAC[:])
	copy(b[offTargetIP:], m.targetIP[:])
}
