package etcdsync

import (
	"context"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/uvtep/uvtep/arpproxy"
)

func change(ip string, last byte) Change {
	return Change{arpproxy.Key{VNI: 1, IP: addr(ip)}, mac(last)}
}

func TestTablesThatNobodySawArePassedOverButNotWhatTheyChanged(t *testing.T) {
	defer goleak.VerifyNone(t)
	got, release := make(chan *Tables), make(chan struct{})
	p := newPublisher(func(t *Tables) {
		got <- t
		<-release
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.run(ctx)
	}()
	p.put(&Tables{Rev: 1})
	if first := <-got; first.Rev != 1 {
		t.Errorf("got revision %d, want 1", first.Rev)
	}
	// Whoever takes tables is busy now; putting does not wait.
	first, later := time.Unix(1, 0), time.Unix(2, 0)
	p.put(&Tables{Rev: 2, Since: first, Changed: []Change{change("10.10.1.0", 1), change("10.10.2.0", 2)}})
	p.put(&Tables{Rev: 3, Since: later, Changed: []Change{change("10.10.2.0", 9)}})
	p.put(&Tables{Rev: 4, Changed: []Change{change("10.10.0.0", 5)}})
	release <- struct{}{}
	last := <-got
	want := []Change{change("10.10.0.0", 5), change("10.10.1.0", 1), change("10.10.2.0", 9)}
	if last.Rev != 4 || !slices.Equal(last.Changed, want) || !last.Since.Equal(first) {
		t.Errorf("got revision %d, changed %v, since %v, want 4, %v, %v", last.Rev, last.Changed, last.Since, want, first)
	}
	release <- struct{}{}
	cancel()
	<-done
}

// A wake-up that came a moment before the tables were replaced was taken for
// tables that were not there.
func TestNobodyIsEverGivenNoTables(t *testing.T) {
	defer goleak.VerifyNone(t)
	const tables = 20000
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	last := int64(0)
	p := newPublisher(func(tb *Tables) {
		if tb == nil || tb.Rev <= last {
			t.Errorf("got %+v after revision %d", tb, last)
			cancel()
			return
		}
		if last = tb.Rev; last == tables {
			cancel()
		}
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.run(ctx)
	}()
	for rev := range int64(tables) {
		p.put(&Tables{Rev: rev + 1})
	}
	<-done
}
