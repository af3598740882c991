package arpproxy

import (
	"net/netip"

	"github.com/uvtep/uvtep/encap/ether"
)

// Message is what a frame of address resolution is about.
type Message struct {
	// Sender is the address that it says it is from, 0.0.0.0 or :: in a probe.
	Sender netip.Addr
	// Target is the address asked for; in a statement it is the claim itself.
	Target netip.Addr
}

// Read reads a frame of address resolution, ARP or ND; ok is false for every
// other frame, and for one that is malformed. Read does not change or keep f,
// and does not allocate.
func Read(f ether.Frame) (m Message, ok bool) {
	if !f.Valid() {
		return Message{}, false
	}
	var in message
	var a Action
	switch f.Type() {
	case ether.TypeARP:
		in, a = View(f.Payload()).message()
	case ether.TypeIPv6:
		in, a = readND(f)
	}
	return Message{in.ip, in.target}, a == Answer
}
