package main

import (
	"sync/atomic"

	"github.com/uvtep/uvtep/internal/wait"
)

// schedule is the place that the data path's threads have beside others.
type schedule struct {
	refused atomic.Pointer[string] // why they have not the one wished for
}

// begin gives the calling goroutine of the data path its place.
func (t *trunk) begin() {
	err := wait.Thread(t.nice)
	if err == nil {
		return
	}
	why := err.Error() + "; it takes CAP_SYS_NICE"
	if t.refused.CompareAndSwap(nil, &why) {
		t.log.Info().Int("nice", t.nice).Str("reason", why).Msg("data path keeps the priority that it has; under load it is slower")
	}
}

// priority tells of the place as of a feature.
func (t *trunk) priority() featureView {
	switch why := t.refused.Load(); {
	case t.nice == 0:
		return feat(false, "the agent was started with --nice 0")
	case why != nil:
		return feat(false, *why)
	}
	return feat(true, "")
}
