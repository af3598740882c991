package arpproxy

import (
	"net/netip"

	"github.com/uvtep/uvtep/encap/ether"
)

// Claim returns the IP address that the sender of f says is its own, in a
// message of address resolution that is valid and comes from the station that
// it says it is from; ok is false for every other frame. f must be valid. Claim
// does not change or keep f, and does not allocate.
func Claim(f ether.Frame) (ip netip.Addr, ok bool) {
	var m message
	var a Action
	switch f.Type() {
	case ether.TypeARP:
		m, a = View(f.Payload()).message()
	case ether.TypeIPv6:
		m, a = readND(f)
	}
	if a != Answer || !m.honest(f) || m.ip.IsUnspecified() {
		return netip.Addr{}, false
	}
	return m.ip, true
}
