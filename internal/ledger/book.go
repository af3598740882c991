package ledger

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
)

const (
	// Room is how many VTEPs a Book tells apart.
	Room = 250
	// slots is the size of the hash table that finds a page, a power of two; at
	// half load a search takes one or two steps.
	slots    = 512
	slotBits = 9
)

// Book counts the frames that one goroutine exchanges with each VTEP, in one
// direction. All of it belongs to that goroutine but for the counts, which
// Ledger reads. A nil Book counts nothing.
type Book struct {
	used  atomic.Int32   // pages that have a VTEP: those from 1 on. Their keys stay
	pages [Room + 1]page // the first is that of all for whom there is no room
	index [slots]uint16  // page numbers by hash; 0: none

	// The run under way: what was added since the VTEP was another one.
	last          netip.Addr
	at            int // its page
	frames, bytes uint64
}

// page is what was counted for one VTEP.
type page struct {
	key           key
	frames, bytes atomic.Uint64
}

// key is an address, IPv4 in its IPv6 form.
type key struct{ hi, lo uint64 }

func keyOf(a netip.Addr) key {
	b := a.As16()
	return key{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (k key) addr() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], k.hi)
	binary.BigEndian.PutUint64(b[8:], k.lo)
	return netip.AddrFrom16(b).Unmap()
}

// Add counts frames of so many bytes together. Readers see them after Settle.
func (b *Book) Add(vtep netip.Addr, frames, bytes int) {
	if b == nil {
		return
	}
	if vtep != b.last {
		b.turn(vtep)
	}
	b.frames += uint64(frames)
	b.bytes += uint64(bytes)
}

// Settle shows readers what was added.
func (b *Book) Settle() {
	if b == nil || b.frames == 0 {
		return
	}
	p := &b.pages[b.at]
	p.frames.Add(b.frames)
	p.bytes.Add(b.bytes)
	b.frames, b.bytes = 0, 0
}

// turn ends the run and begins one of another VTEP.
func (b *Book) turn(vtep netip.Addr) {
	b.Settle()
	b.last, b.at = vtep, b.find(keyOf(vtep))
}

// find returns the number of a VTEP's page, which is taken if there is room.
func (b *Book) find(k key) int {
	slot := (k.hi ^ k.lo) * 0x9e3779b97f4a7c15 >> (64 - slotBits) // 2⁶⁴ over the golden ratio
	for ; b.index[slot] != 0; slot = (slot + 1) % slots {
		if n := int(b.index[slot]); b.pages[n].key == k {
			return n
		}
	}
	n := int(b.used.Load()) + 1
	if n > Room {
		return 0
	}
	b.pages[n].key, b.index[slot] = k, uint16(n)
	b.used.Store(int32(n))
	return n
}
