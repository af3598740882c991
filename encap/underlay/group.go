package underlay

import (
	"encoding/binary"
	"net/netip"

	"github.com/uvtep/uvtep/encap"
)

// maxGroups bounds the groups of one round: eight VTEPs over eight ports.
const maxGroups = 64

// groupSlots is the size of the hash table that finds a group; at half load a
// search takes one or two steps.
const groupSlots = 2 * maxGroups

// A group is the datagrams of a batch that leave from one source port to one
// VTEP, in their order. Taking them together makes long runs of flows that
// arrived interleaved.
type group struct {
	peer       netip.AddrPort
	family     uint8
	source     uint16 // index of the source
	head, tail int32  // first and last datagram; Sender.next chains those between
	sibling    int16  // next group of the same source, or none
}

const none = -1

// groups is the plan of one round of a Send.
type groups struct {
	list  [maxGroups]group
	n     int
	slots [groupSlots]uint8 // group number + 1; 0: empty
	next  []int32           // by datagram: the next one of its group, or none
	// first and last group of each source in use, in order of appearance
	used  [maxGroups]sourceGroups
	nUsed int
}

type sourceGroups struct {
	family      uint8
	source      uint16
	first, last int16
}

func (g *groups) reset() {
	g.n, g.nUsed = 0, 0
	clear(g.slots[:])
}

// add puts datagram i into its group; false: there are too many groups, send
// what is planned first.
func (g *groups) add(i int32, d *encap.Datagram, family uint8, source uint16) bool {
	slot := g.slot(d.Peer, source)
	for ; g.slots[slot] != 0; slot = (slot + 1) % groupSlots {
		e := &g.list[g.slots[slot]-1]
		if e.source == source && e.peer == d.Peer {
			g.next[e.tail], g.next[i] = i, none
			e.tail = i
			return true
		}
	}
	if g.n == maxGroups {
		return false
	}
	g.next[i] = none
	g.list[g.n] = group{peer: d.Peer, family: family, source: source, head: i, tail: i, sibling: none}
	g.enlist(int16(g.n))
	g.n++
	g.slots[slot] = uint8(g.n)
	return true
}

// enlist hangs a new group behind the others of its source.
func (g *groups) enlist(n int16) {
	e := &g.list[n]
	for i := range g.nUsed {
		u := &g.used[i]
		if u.source == e.source && u.family == e.family {
			g.list[u.last].sibling = n
			u.last = n
			return
		}
	}
	g.used[g.nUsed] = sourceGroups{family: e.family, source: e.source, first: n, last: n}
	g.nUsed++
}

func (g *groups) slot(peer netip.AddrPort, source uint16) int {
	a := peer.Addr()
	var h uint32
	if a.Is4() {
		b := a.As4()
		h = binary.LittleEndian.Uint32(b[:])
	} else {
		b := a.As16()
		h = binary.LittleEndian.Uint32(b[:4]) ^ binary.LittleEndian.Uint32(b[8:12]) ^ binary.LittleEndian.Uint32(b[12:])
	}
	h = (h ^ uint32(source)<<8 ^ uint32(peer.Port())) * 0x9e3779b1 // 2³² over the golden ratio
	return int(h>>16) % groupSlots
}
