package main

import (
	"testing"

	"github.com/uvtep/uvtep/internal/sched"
)

func TestPriorityTellsWhyItIsNotTheOneWishedFor(t *testing.T) {
	refused := "sched_setscheduler: operation not permitted"
	tests := []struct {
		name    string
		nice    int
		refused *string
		want    featureView
	}{
		{"granted", -10, nil, featureView{Active: true}},
		{"refused", -10, &refused, featureView{Reason: refused}},
		{"not wished for", 0, nil, featureView{Reason: "the agent was started with --nice 0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &trunk{agent: &agent{runFlags: &runFlags{nice: tt.nice}}}
			p.refused.Store(tt.refused)
			if got := p.priority(); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestRealTimeTellsWhyItIsNot(t *testing.T) {
	refused, never := "setpriority: operation not permitted", "sched_setattr: operation not permitted"
	tests := []struct {
		name           string
		nice           int
		refused, never *string
		want           featureView
	}{
		{"back", -5, nil, nil, featureView{}},
		{"no place at all", -5, &refused, nil, featureView{Reason: "it needs priority"}},
		{"not this one", -5, nil, &never, featureView{Reason: never}},
		{"not wished for", 5, nil, nil, featureView{Reason: "the agent was started with --nice 5"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &trunk{agent: &agent{runFlags: &runFlags{nice: tt.nice}}, schedule: schedule{crew: sched.New(tt.nice)}}
			p.refused.Store(tt.refused)
			p.never.Store(tt.never)
			if got := p.realTime(); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}
