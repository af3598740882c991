package main

import (
	"testing"
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
