package vswitch

import (
	"time"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/toobig"
)

const (
	// fitRate is how many senders a lane tells a second what fits, fitBurst how
	// many at once: who does not listen is not to be shouted at (RFC 4443 §2.4
	// (f)).
	fitRate  = 1000
	fitBurst = 32
)

// curb is a token bucket, and the memory for as many answers as it lets out at
// once. It belongs to one goroutine.
type curb struct {
	tokens float64
	last   time.Time
	room   [][]byte // two slices for each answer of a batch
	used   int
}

func newCurb() curb {
	c := curb{tokens: fitBurst, room: make([][]byte, 2*fitBurst)}
	for i := range fitBurst {
		c.room[2*i] = noVnet
		c.room[2*i+1] = make([]byte, toobig.MaxLen)
	}
	return c
}

// take takes room for one answer, nil when there were too many of late.
func (c *curb) take(now time.Time) [][]byte {
	if !c.last.IsZero() {
		c.tokens = min(c.tokens+now.Sub(c.last).Seconds()*fitRate, fitBurst)
	}
	c.last = now
	if c.tokens < 1 || c.used == fitBurst {
		return nil
	}
	return c.room[2*c.used:][:2]
}

// spend says that the room that take gave is used.
func (c *curb) spend() { c.tokens--; c.used++ }

// tellFit tells the sender of f what its path takes.
func (o *outbound) tellFit(f ether.Frame, mtu int) {
	b := o.curb.take(time.Now())
	if b == nil {
		return
	}
	answer := toobig.Reply(b[1][:0:cap(b[1])], f, mtu)
	if answer == nil {
		return
	}
	b[1] = answer
	o.curb.spend()
	o.tally.extra[ToldFit]++
	o.out = append(o.out, b)
}
