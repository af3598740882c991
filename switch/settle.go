package vswitch

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

// epoch tells whether a goroutine is in a batch, and whether still in the same:
// it is odd from before the tables are loaded until the frames are written.
type epoch struct{ atomic.Uint64 }

func (e *epoch) turn() { e.Add(1) }

// settleEvery is how often Settle looks: a batch takes less than a millisecond
// unless its goroutine is kept from the processor.
const settleEvery = 200 * time.Microsecond

// Settle waits until no batch from the underlay that began before the call is
// under way: what SetTables has replaced decides about no frame any more.
func (s *Switch) Settle(ctx context.Context) error {
	s.mu.Lock()
	epochs := slices.Clone(s.epochs)
	s.mu.Unlock()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for _, e := range epochs {
		for at := e.Load(); at%2 == 1 && e.Load() == at; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
	}
	return nil
}

// Beats returns, for each goroutine of the data path, a number that is odd while
// it is in a batch and another for each batch: one that stays odd is of a
// goroutine that hangs.
func (s *Switch) Beats() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]uint64, 0, len(s.epochs)+len(s.beats))
	for _, e := range slices.Concat(s.epochs, s.beats) {
		out = append(out, e.Load())
	}
	return out
}

func (s *Switch) newBeat() *epoch {
	e := new(epoch)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beats = append(s.beats, e)
	return e
}

func (s *Switch) newEpoch() *epoch {
	e := new(epoch)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epochs = append(s.epochs, e)
	return e
}

// leave is the end of an epoch's goroutine.
func (s *Switch) leave(e *epoch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is := func(o *epoch) bool { return o == e }
	s.epochs, s.beats = slices.DeleteFunc(s.epochs, is), slices.DeleteFunc(s.beats, is)
}
