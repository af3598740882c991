package vswitch

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap/ether"
)

// Sighting says that a station is behind the TAP.
type Sighting struct {
	MAC ether.Addr
	// IP is an address that it says is its own; the zero Addr when it said
	// nothing of the kind.
	IP netip.Addr
}

const (
	// spotMACs and spotClaims are how many stations, and addresses of them, a
	// lane remembers to have told of, powers of two. Two that share a place are
	// told of again and again, which costs time and nothing else.
	spotMACs   = 4096
	spotClaims = 1024
	// ringLen is how many sightings may wait for Drain, a power of two.
	ringLen = 1024
	// epochBits is what of a Sightings' epoch is compared.
	epochBits = 16
)

// Sightings hands over which stations are seen behind the TAP of one network,
// from the data path to one goroutine that cares. A station is told of once a
// lane, and again after Again; what finds no room is told with a later frame.
// It outlives the switch.
type Sightings struct {
	epoch atomic.Uint64
	rings []ring // by lane
}

// NewSightings returns the sightings of a network with so many lanes.
func NewSightings(lanes int) *Sightings {
	s := &Sightings{rings: make([]ring, lanes)}
	s.Again() // what was never told is of no epoch
	return s
}

// Again has every station told of once more with its next frame. It may be
// called from any goroutine.
func (s *Sightings) Again() { s.epoch.Add(1) }

// Drain calls see with what was sighted since the last call. It is called by
// one goroutine.
func (s *Sightings) Drain(see func(Sighting)) {
	for i := range s.rings {
		s.rings[i].drain(see)
	}
}

// ring is a queue between two goroutines that never waits.
type ring struct {
	head atomic.Uint64 // next to be read
	_    [56]byte      // the two ends are on two cache lines
	tail atomic.Uint64 // next to be written
	_    [56]byte
	room [ringLen]Sighting
}

// push reports whether there was room.
func (r *ring) push(s Sighting) bool {
	tail := r.tail.Load()
	if tail-r.head.Load() == ringLen {
		return false
	}
	r.room[tail%ringLen] = s
	r.tail.Store(tail + 1)
	return true
}

func (r *ring) drain(see func(Sighting)) {
	tail := r.tail.Load()
	for head := r.head.Load(); head != tail; head++ {
		s := r.room[head%ringLen]
		r.head.Store(head + 1)
		see(s)
	}
}

// spotter looks at the frames of one lane for stations that are to be told of.
// It belongs to one goroutine. A nil spotter does nothing.
type spotter struct {
	all    *Sightings
	ring   *ring
	self   uint64 // the TAP's own address, as in a word without its epoch
	epoch  uint64
	macs   [spotMACs]uint64 // words: the address and the epoch it was told in
	claims [spotClaims]claim
}

// claim is an address that was told of, and in which epoch.
type claim struct {
	Sighting
	epoch uint64
}

func newSpotter(all *Sightings, lane int, self ether.Addr) *spotter {
	if all == nil {
		return nil
	}
	s := &spotter{all: all, ring: &all.rings[lane]}
	for _, b := range self {
		s.self = s.self<<8 | uint64(b)
	}
	s.self <<= epochBits
	return s
}

// begin is called before a batch.
func (s *spotter) begin() {
	if s != nil {
		s.epoch = s.all.epoch.Load() & (1<<epochBits - 1)
	}
}

// look looks at a valid frame whose source is a station's. It is a load, a
// multiplication and a comparison for a station that is known.
func (s *spotter) look(f ether.Frame) {
	if s == nil {
		return
	}
	mac := binary.BigEndian.Uint64(f[ether.AddrLen:]) >> epochBits << epochBits
	if word := mac | s.epoch; s.macs[place(mac, spotMACs)] != word {
		s.station(f, mac, word)
	}
	if t := f.Type(); t == ether.TypeARP || t == ether.TypeIPv6 {
		s.claim(f, mac)
	}
}

// place returns where in a table of n places, a power of two, v belongs.
func place(v uint64, n uint64) uint64 { return v * 0x9e3779b97f4a7c15 >> 32 & (n - 1) }

// station tells of a station, but for the TAP itself.
func (s *spotter) station(f ether.Frame, mac, word uint64) {
	if mac == s.self || s.ring.push(Sighting{MAC: f.Src()}) {
		s.macs[place(mac, spotMACs)] = word
	}
}

// claim tells of an address that a station says is its own.
func (s *spotter) claim(f ether.Frame, mac uint64) {
	ip, ok := arpproxy.Claim(f)
	if !ok || mac == s.self {
		return
	}
	b := ip.As16()
	told := &s.claims[place(mac^binary.BigEndian.Uint64(b[:])^binary.BigEndian.Uint64(b[8:]), spotClaims)]
	c := claim{Sighting{f.Src(), ip}, s.epoch}
	if *told != c && s.ring.push(c.Sighting) {
		*told = c
	}
}
