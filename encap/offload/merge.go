package offload

import "github.com/uvtep/uvtep/encap/ether"

// MergeConfig says what a Merger is for.
type MergeConfig struct {
	// Frames is how many frames it takes between two calls of Reset.
	Frames int
	// UDP allows superframes of UDP, which a TAP takes from Linux 6.2 on. TCP
	// ones every TAP with virtio headers takes.
	UDP bool
}

// Arrival is a frame taken out of a datagram.
type Arrival struct {
	// Frame lies in a receive buffer with nobody else. The Merger may change
	// its headers; it belongs to the caller again after Reset.
	Frame ether.Frame
	// Group is where the frame is to go, any number that tells one TAP from
	// another. Frames of different groups are never merged.
	Group int
	// MTU is that of the TAP, in bytes of IP. A longer frame is not merged.
	MTU int
	// Segment is the payload of each datagram inside when the frame is itself
	// a superframe of UDP (see Undivided), else 0.
	Segment int
}

// piece is a payload in the chain of those that follow an output's first
// frame.
type piece struct {
	data []byte
	next int // index of the next piece, or -1
}

// Merger joins frames that follow one another in a flow into superframes. Give
// it every frame of a batch in the order of arrival, take the gather lists
// with Finish, write them, Reset. The zero Merger takes nothing.
type Merger struct {
	udp    bool
	flows  flowTable
	outs   []output // in the order of their first frames
	pieces []piece

	vnets []byte     // virtio headers that are not all zero
	parts [][]byte   // the pieces that the lists are made of
	lists [][][]byte // one an output
	plain VnetHeader // the header of every frame that goes out as it came
}

// NewMerger returns a Merger with scratch for c.Frames frames a batch.
func NewMerger(c MergeConfig) *Merger {
	return &Merger{
		udp:    c.UDP,
		outs:   make([]output, 0, c.Frames),
		pieces: make([]piece, 0, c.Frames),
		vnets:  make([]byte, 0, c.Frames*VnetHeaderLen),
		parts:  make([][]byte, 0, 2*c.Frames),
		lists:  make([][][]byte, 0, c.Frames),
		plain:  make(VnetHeader, VnetHeaderLen),
	}
}

// Reset takes back all scratch and forgets every flow. Gather lists returned
// before are void.
func (m *Merger) Reset() {
	m.flows.forget()
	m.outs, m.pieces = m.outs[:0], m.pieces[:0]
	m.vnets, m.parts, m.lists = m.vnets[:0], m.parts[:0], m.lists[:0]
}

// Add takes the next frame of the batch. False means that there is no room:
// Finish, write, Reset, and add it again. Frames of one flow stay in the order
// in which they are added.
func (m *Merger) Add(a Arrival) bool {
	n := len(m.outs)
	if n+len(m.pieces) >= cap(m.outs) {
		return false
	}
	m.outs = m.outs[:n+1]
	next := &m.outs[n] // an output of its own, unless it turns out to be merged
	*next = output{}
	next.Arrival, next.frames, next.ahead = a, 1, -1
	switch next.examine() {
	case inFlow:
		m.addToFlow(next)
	case opaque:
		m.flows.forget()
	}
	return true
}

// addToFlow merges next into the output that its flow has open, or lets it
// replace that one, so that no later frame of the flow gets ahead of it.
func (m *Merger) addToFlow(next *output) {
	next.open = next.fits && (m.udp || !next.udp)
	slot := m.flows.slot(next.hash)
	if slot.output >= 0 {
		o := &m.outs[slot.output]
		if o.open && next.open && o.precedes(next) && o.verify() && next.verifyAfter(o) {
			m.extend(o, next)
			return
		}
	}
	slot.output = len(m.outs) - 1
	next.open = next.open && !next.push
}

// extend merges next, which is the last output, into o.
func (m *Merger) extend(o, next *output) {
	n := len(m.pieces)
	m.pieces = append(m.pieces, piece{data: next.Frame[next.data:next.end], next: -1})
	if o.ahead < 0 {
		o.ahead = n
	} else {
		m.pieces[o.last].next = n
	}
	o.last = n
	o.count(next)
	m.outs = m.outs[:len(m.outs)-1]
}
