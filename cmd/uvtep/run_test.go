package main

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestEveryBeginsAfterAPauseAndEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, end := context.WithCancel(t.Context())
		began := time.Now()
		var at []time.Duration
		err := every(ctx, time.Second, func() {
			if at = append(at, time.Since(began)); len(at) == 3 {
				end()
			}
		})
		if want := []time.Duration{time.Second, 2 * time.Second, 3 * time.Second}; err != nil || !slices.Equal(at, want) {
			t.Errorf("called after %v, %v; want %v", at, err, want)
		}
	})
}
