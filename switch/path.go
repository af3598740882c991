package vswitch

import (
	"math"
	"net/netip"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

// Paths says how large an IP packet the tunnel takes to each VTEP, in bytes.
// The zero Paths knows no limit.
type Paths struct {
	over4, over6 int                // to a VTEP reached over IPv4, over IPv6
	narrow       map[netip.Addr]int // to VTEPs whose paths take less
	least        int                // of them all; 0: no limit
}

// NewPaths returns the paths over an underlay that takes so much to VTEPs
// reached over IPv4 and IPv6 (0: no limit), and less to some of them. The map
// must not be changed afterwards.
func NewPaths(over4, over6 int, narrow map[netip.Addr]int) Paths {
	p := Paths{over4: over4, over6: over6, narrow: narrow, least: math.MaxInt}
	for _, n := range []int{over4, over6} {
		if n > 0 {
			p.least = min(p.least, n)
		}
	}
	for _, n := range narrow {
		p.least = min(p.least, n)
	}
	if p.least == math.MaxInt {
		p.least = 0
	}
	return p
}

// To returns how large a packet to a VTEP may be, 0 if there is no limit.
func (p *Paths) To(vtep netip.Addr) int {
	n := p.over6
	if vtep.Is4() {
		n = p.over4
	}
	if less, ok := p.narrow[vtep]; ok && (n == 0 || less < n) {
		n = less
	}
	return n
}

// Fit decides again about a frame that is to be sent, whose largest packet has
// size bytes: one that its path does not take is dropped, and MTU says what
// would be taken. One that is flooded is dropped when no path takes it; a VTEP
// whose path takes less than others goes without its copy.
func (d Decision) Fit(size int, t *Tables) Decision {
	p := &t.Paths
	if p.least == 0 || size <= p.least {
		return d
	}
	n := 0
	switch d.Verdict {
	case Forward:
		n = p.To(d.VTEP.To.Addr())
	case Replicate:
		n = max(p.over4, p.over6)
	}
	if n > 0 && size > n {
		d.Verdict, d.MTU = DropTooBig, n
	}
	return d
}

// packetLen is the size of the largest packet that a record stands for, in
// bytes of IP. What an Ethernet header carries behind tags of its own is not
// told apart: tags take room as well.
func packetLen(h offload.VnetHeader, f ether.Frame) int {
	return offload.SegmentLen(h, f) - ether.HeaderLen
}
