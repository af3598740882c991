package fdb

import (
	"net/netip"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/snapmap"
)

// station is a Key in the form that is looked up: whole numbers stay in
// registers, where six bytes would be copied through memory at each call.
type station struct {
	mac uint64
	vni encap.VNI
}

// pack is k as a station.
func pack(k Key) station {
	m := &k.MAC
	return station{
		mac: uint64(m[0])<<40 | uint64(m[1])<<32 | uint64(m[2])<<24 |
			uint64(m[3])<<16 | uint64(m[4])<<8 | uint64(m[5]),
		vni: k.VNI,
	}
}

// key is the Key that was packed.
func (s station) key() Key {
	m := s.mac
	return Key{s.vni, ether.Addr{
		byte(m >> 40), byte(m >> 32), byte(m >> 24), byte(m >> 16), byte(m >> 8), byte(m),
	}}
}

// Hash hashes the key. The seed should be random, so that whoever chooses keys
// does not know their hashes.
func (k Key) Hash(seed uint64) uint64 { return hashStation(pack(k), seed) }

// odd keeps a factor of the hash from being zero for the zero address, and
// spreads the bits of short ones: 2^64 divided by the golden ratio.
const odd = 0x9e3779b97f4a7c15

func hashStation(s station, seed uint64) uint64 {
	return snapmap.Mix(s.mac^odd, uint64(s.vni)^seed)
}

// source is an outer source address that is accepted. It is never an IPv4
// address in IPv6 form.
type source struct {
	vni  encap.VNI
	addr netip.Addr
}

func hashSource(s source, seed uint64) uint64 { return snapmap.HashAddr(s.addr, uint64(s.vni)^seed) }
