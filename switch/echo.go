package vswitch

import (
	"net/netip"
	"time"

	"github.com/uvtep/uvtep/encap/echo"
	"github.com/uvtep/uvtep/encap/ether"
)

// echoRoom is how many echo messages may wait to be taken.
const echoRoom = 64

// Echo is an echo message that came in a frame from a VTEP of the network. That
// is all that is known of it: whether it is genuine its taker finds out.
type Echo struct {
	// At is when it came.
	At time.Time
	// From is the outer source address, a VTEP's unless the network takes
	// datagrams from strangers.
	From netip.Addr
	// Source is the inner source address, which is bound to no other VTEP.
	Source ether.Addr
	// Size is how many bytes the message has with its padding, and Head all but
	// that.
	Size int
	Head [echo.Len]byte
}

// Echoes hands over the echo messages to this VTEP, from the data path to one
// goroutine, and counts what becomes of them: each message of the verdict
// Echoed is in one of EchoAnswered, EchoHeard, EchoRefused and EchoLost once
// it is dealt with. It outlives the switch. A nil *Echoes takes none, and they
// are frames like any other.
type Echoes struct {
	count *Counters
	// A channel, for all that it costs: few frames are echoes, and others pay
	// nothing for it.
	room chan Echo
}

// NewEchoes returns the echoes of a network, which are counted in t.
func NewEchoes(t *Totals) *Echoes {
	return &Echoes{count: t.counters(noLane), room: make(chan Echo, echoRoom)}
}

// C delivers the messages.
func (e *Echoes) C() <-chan Echo { return e.room }

// Count adds to one of the counts.
func (e *Echoes) Count(x Extra, n int) { e.count.extra[x].Add(uint64(n)) }

// push hands over a frame with an echo message, or counts that there is no room.
func (e *Echoes) push(f ether.Frame, from netip.Addr, t *tally) {
	b := f.Payload()
	m := Echo{At: time.Now(), From: from.Unmap(), Source: f.Src(), Size: len(b), Head: [echo.Len]byte(b)}
	select {
	case e.room <- m:
	default:
		t.extra[EchoLost]++
	}
}

// isEcho reports whether f, which is accepted, is an echo message to s.
func isEcho(f ether.Frame, s *Self) bool {
	return f.Type() == echo.EtherType && f.Dst() == s.MAC && echo.Is(f.Payload())
}
