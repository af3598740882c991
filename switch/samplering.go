package vswitch

import "sync/atomic"

const (
	// sampleSlots is how many samples may wait to be drained, and sampleRoom how
	// many bytes of them; both are powers of two. A superframe is 64 KiB.
	sampleSlots = 2048
	sampleRoom  = 1 << 20
)

// sampleRing is a queue of samples between two goroutines that never waits. The
// bytes lie in a ring of their own, each sample's in one piece.
type sampleRing struct {
	of    *Capture
	ended atomic.Bool   // nothing is written any more
	lost  atomic.Uint64 // samples for which there was no room

	head  atomic.Uint64 // slot to be read next
	freed atomic.Uint64 // bytes of room that were given back
	_     [48]byte      // the two ends are on two cache lines
	tail  atomic.Uint64 // slot to be written next
	used  uint64        // bytes of room that were ever given out; the writer's
	_     [48]byte
	slots [sampleSlots]sampleSlot
	room  []byte
}

// sampleSlot is a sample, and where the room that it takes ends.
type sampleSlot struct {
	Sample
	end uint64
}

func newSampleRing(of *Capture) *sampleRing {
	return &sampleRing{of: of, room: make([]byte, sampleRoom)}
}

// push copies a sample in, or counts it as lost. It is the writer's.
func (r *sampleRing) push(s *Sample) {
	n := len(s.Data)
	if most := r.of.filter.SnapLen; most > 0 {
		n = min(n, most)
	}
	at := r.used
	if rest := sampleRoom - at%sampleRoom; rest < uint64(n) {
		at += rest // it would be in two pieces
	}
	tail := r.tail.Load()
	if end := at + uint64(n); end-r.freed.Load() > sampleRoom || tail-r.head.Load() == sampleSlots {
		r.lost.Add(1)
		return
	}
	r.used = at + uint64(n)
	slot := &r.slots[tail%sampleSlots]
	slot.Sample, slot.end = *s, r.used
	slot.Data = r.room[at%sampleRoom:][:n]
	copy(slot.Data, s.Data)
	r.tail.Store(tail + 1)
}

// next is the sample to be read next, nil when there is none. It is the reader's,
// until release.
func (r *sampleRing) next() *sampleSlot {
	head := r.head.Load()
	if head == r.tail.Load() {
		return nil
	}
	return &r.slots[head%sampleSlots]
}

// release gives back what next returned.
func (r *sampleRing) release() {
	head := r.head.Load()
	r.freed.Store(r.slots[head%sampleSlots].end)
	r.head.Store(head + 1)
}
