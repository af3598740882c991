//go:build linux

package lab

import "strings"

// Condition says which offloads the devices of the underlay have, and so what a
// frame costs there. A virtual cable can carry 64 KiB at once; a real one cannot.
type Condition string

// The conditions; each is a name that a benchmark can bear, but for the zero
// value.
const (
	// Bare has no offload at all, not even of checksums: each frame is on the wire
	// what it is on a real one.
	Bare Condition = ""
	// PlainWire cuts every frame to the wire's size and joins none on receipt.
	PlainWire Condition = "wire"
	// WireGRO is PlainWire, with hosts that join what they receive (GRO) as drivers of
	// real devices do: the nearest to a plain NIC.
	WireGRO Condition = "wire-gro"
	// VethGSO leaves a veth as it is by default: superframes with unfinished
	// checksums cross the wire whole.
	VethGSO Condition = "veth-gso"
)

// wish says what shall become of an offload, by ethtool's name. It stays as it is
// where told is false.
type wish func(name string) (on, told bool)

// hosts is what the hosts' devices are told.
func (c Condition) hosts() wish {
	if c != WireGRO {
		return c.fabric()
	}
	return func(name string) (on, told bool) {
		return name == "rx-gro", superframes(name)
	}
}

// fabric is what the ports of the bridge between the hosts are told. They never
// join frames: a wire does not.
func (c Condition) fabric() wish {
	return func(name string) (on, told bool) {
		switch c {
		case VethGSO:
			return false, false
		case Bare:
			return false, superframes(name) || strings.HasPrefix(name, "tx-checksum")
		}
		return false, superframes(name)
	}
}

// superframes tells whether a feature of that name lets superframes cross or
// arise.
func superframes(name string) bool {
	return strings.HasPrefix(name, "rx-gro") || strings.HasSuffix(name, "-segmentation") ||
		name == "tx-gso-list" || name == "rx-udp-gro-forwarding"
}
