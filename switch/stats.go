package vswitch

import (
	"strconv"
	"sync/atomic"

	"github.com/uvtep/uvtep/internal/ledger"
)

// Counters are the verdicts of one goroutine. It counts in a tally of its own
// and publishes once a batch.
type Counters struct {
	lane   int // noLane: of none
	frames [numVerdicts]atomic.Uint64
	bytes  [numVerdicts]atomic.Uint64
	extra  [numExtras]atomic.Uint64
	sizes  [numSizes]ledger.Sizes
	runs   ledger.Sizes // of messages
	_      [64]byte     // the next goroutine's counters start on another cache line
}

// noLane is the lane of a goroutine that belongs to none.
const noLane = -1

// Stats is a reading of all counters of a switch.
type Stats struct {
	Frames [numVerdicts]uint64 // by verdict
	Bytes  [numVerdicts]uint64 // of inner frames, by verdict
	Extra  [numExtras]uint64
	Sizes  [numSizes]ledger.Histogram
	Runs   ledger.Histogram // messages received, by how many datagrams each was
}

// Size is a size that is counted once a batch.
type Size uint8

const (
	// FramesRead: frames and superframes that one wake-up took from a TAP.
	FramesRead Size = iota
	// Messages: messages that one wake-up took from a socket.
	Messages

	numSizes
)

// Extra is a count that is not a verdict: the frame had one besides.
type Extra uint8

const (
	// Reserved: datagrams taken although reserved bits were set.
	Reserved Extra = iota
	// Sent: datagrams that the kernel took.
	Sent
	// SendRefused: datagrams of Forward and Replicate that the kernel did not
	// take. Forward frames and Replicate copies are Sent or SendRefused.
	SendRefused
	// Written: frames that the TAP took, each in a superframe counted.
	Written
	// WriteRefused: frames of Deliver and Answer that the TAP did not take.
	WriteRefused
	// Records: writes to the TAP that carried them.
	Records
	// SplitSuperframes: superframes from the TAP that were forwarded.
	SplitSuperframes
	// Stripped: frames from the TAP that lost their VLAN tags.
	Stripped
	// ReadLost: frames that the kernel could not hand over from the TAP, and has
	// dropped. They have no verdict.
	ReadLost
	// ToldFit: frames of DropTooBig whose senders were told what fits.
	ToldFit
	// EchoAnswered: requests of Echoed that were genuine and were answered.
	EchoAnswered
	// EchoHeard: answers of Echoed that were waited for.
	EchoHeard
	// EchoRefused: messages of Echoed that were not genuine, came twice or too
	// late, or were more than are answered.
	EchoRefused
	// EchoLost: messages of Echoed for which there was no room.
	EchoLost
	// EchoSent: datagrams with echo messages that the kernel took, besides Sent.
	EchoSent
	// EchoSendRefused: those that it did not take, besides SendRefused.
	EchoSendRefused

	numExtras
)

var extraNames = [numExtras]string{
	Reserved: "Reserved", Sent: "Sent", SendRefused: "SendRefused", Written: "Written",
	WriteRefused: "WriteRefused", Records: "Records", SplitSuperframes: "SplitSuperframes", Stripped: "Stripped",
	ReadLost: "ReadLost", ToldFit: "ToldFit",
	EchoAnswered: "EchoAnswered", EchoHeard: "EchoHeard", EchoRefused: "EchoRefused", EchoLost: "EchoLost",
	EchoSent: "EchoSent", EchoSendRefused: "EchoSendRefused",
}

// String returns the name of the constant.
func (x Extra) String() string {
	if x < numExtras {
		return extraNames[x]
	}
	return "Extra(" + strconv.Itoa(int(x)) + ")"
}

// Extras returns all extras, in the order of the constants.
func Extras() []Extra {
	out := make([]Extra, numExtras)
	for i := range out {
		out[i] = Extra(i)
	}
	return out
}

// tally is what one batch adds.
type tally struct {
	frames [numVerdicts]uint32
	bytes  [numVerdicts]uint64
	extra  [numExtras]uint32
}

func (t *tally) count(v Verdict, frames, bytes int) {
	t.frames[v] += uint32(frames)
	t.bytes[v] += uint64(bytes)
}

// publish adds the tally to the counters and clears it.
func (t *tally) publish(c *Counters) {
	for v, n := range t.frames {
		if n != 0 {
			c.frames[v].Add(uint64(n))
			c.bytes[v].Add(t.bytes[v])
		}
	}
	for x, n := range t.extra {
		if n != 0 {
			c.extra[x].Add(uint64(n))
		}
	}
	*t = tally{}
}

func (s *Stats) add(c *Counters) {
	for v := range s.Frames {
		s.Frames[v] += c.frames[v].Load()
		s.Bytes[v] += c.bytes[v].Load()
	}
	for x := range s.Extra {
		s.Extra[x] += c.extra[x].Load()
	}
	for i := range s.Sizes {
		s.Sizes[i].Add(&c.sizes[i])
	}
	s.Runs.Add(&c.runs)
}

// Add adds another reading.
func (s *Stats) Add(o Stats) {
	for v := range s.Frames {
		s.Frames[v] += o.Frames[v]
		s.Bytes[v] += o.Bytes[v]
	}
	for x := range s.Extra {
		s.Extra[x] += o.Extra[x]
	}
	for i := range s.Sizes {
		s.Sizes[i].Merge(o.Sizes[i])
	}
	s.Runs.Merge(o.Runs)
}
