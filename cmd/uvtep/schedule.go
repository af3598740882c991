package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/uvtep/uvtep/internal/sched"
)

// schedule is the place that the data path's threads have beside others.
type schedule struct {
	crew    *sched.Crew
	refused atomic.Pointer[string] // why they have not the one wished for
	never   atomic.Pointer[string] // why they never go first
}

// begin gives the calling goroutine of the data path its place.
func (t *trunk) begin() {
	err := t.crew.Join()
	if err == nil {
		return
	}
	why := err.Error() + "; it takes CAP_SYS_NICE"
	if t.refused.CompareAndSwap(nil, &why) {
		t.log.Info().Int("nice", t.nice).Str("reason", why).Msg("data path keeps the priority that it has; under load it is slower")
	}
}

// hurry has the data path go first while it has few frames, until ctx ends.
func (t *trunk) hurry(ctx context.Context) error {
	err := t.crew.Watch(ctx, func(first bool) {
		if first {
			t.log.Debug().Msg("data path goes first, in real time, while it has few frames")
			return
		}
		t.log.Debug().Msg("data path is back among the others")
	})
	if err != nil {
		why := err.Error() + "; it takes CAP_SYS_NICE"
		t.never.Store(&why)
		t.log.Info().Str("reason", why).Msg("data path cannot go first; while others keep the processors busy its frames wait for milliseconds")
	}
	<-ctx.Done()
	return nil
}

// priority tells of the ordinary place as of a feature.
func (t *trunk) priority() featureView {
	switch why := t.refused.Load(); {
	case t.nice == 0:
		return feat(false, "the agent was started with --nice 0")
	case why != nil:
		return feat(false, *why)
	}
	return feat(true, "")
}

// realTime tells of the other one.
func (t *trunk) realTime() featureView {
	switch why := t.never.Load(); {
	case t.nice >= 0:
		return feat(false, fmt.Sprintf("the agent was started with --nice %d", t.nice))
	case t.refused.Load() != nil:
		return feat(false, "it needs priority")
	case why != nil:
		return feat(false, *why)
	}
	return feat(t.crew.First(), "") // not always, and nothing is amiss then
}
