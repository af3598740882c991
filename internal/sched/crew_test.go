package sched

import (
	"context"
	"errors"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hand is a goroutine of a crew.
type hand struct {
	tid  int
	done chan struct{} // closed to end it
	gone chan struct{}
}

// hire has a goroutine join, which does something before.
func hire(t *testing.T, c *Crew, before func()) *hand {
	t.Helper()
	h := &hand{done: make(chan struct{}), gone: make(chan struct{})}
	joined := make(chan error)
	go func() {
		defer close(h.gone)
		runtime.LockOSThread()
		before()
		h.tid = unix.Gettid()
		joined <- c.Join()
		<-h.done
	}()
	if err := <-joined; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.leave)
	return h
}

func (h *hand) leave() {
	select {
	case <-h.done:
	default:
		close(h.done)
	}
	<-h.gone
}

// stands checks where a thread is.
func stands(t *testing.T, what string, tid int, want attr) {
	t.Helper()
	got, err := attrOf(tid)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

// bystander is a thread of this process that is in no crew.
func bystander(t *testing.T, at attr) (tid int) {
	t.Helper()
	tids, end := make(chan int), make(chan struct{})
	go func() {
		runtime.LockOSThread() // and not unlocked
		if err := at.give(0); err != nil {
			t.Error(err)
		}
		tids <- unix.Gettid()
		<-end
	}()
	t.Cleanup(func() { close(end) })
	return <-tids
}

const rude = -5

var (
	normal = attr{policy: unix.SCHED_NORMAL}
	batch  = attr{policy: unix.SCHED_BATCH, nice: rude}
)

// newCrew returns a crew that goes back when the test ends, in a process with the
// ordinary place.
func newCrew(t *testing.T) *Crew {
	t.Helper()
	c := New(rude)
	c.base = normal
	t.Cleanup(func() {
		c.leave()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.rest() // what began meanwhile
	})
	return c
}

func (c *Crew) moves(t *testing.T, first bool) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, err := c.follow(rule{first: first, second: first}); err != nil {
		t.Fatal(err)
	}
}

func TestCrewGoesFirstAndTheProcessNext(t *testing.T) {
	c := newCrew(t)
	a, b := hire(t, c, func() {}), hire(t, c, func() {})
	other, own := bystander(t, normal), bystander(t, attr{policy: unix.SCHED_NORMAL, nice: 7})
	stands(t, "of the crew", a.tid, batch)
	c.moves(t, true)
	stands(t, "of the crew, first", a.tid, foremost)
	stands(t, "another of the crew, first", b.tid, foremost)
	stands(t, "of the process, then", other, second)
	stands(t, "one with a niceness of its own, then", own, attr{policy: unix.SCHED_NORMAL, nice: 7})
	c.moves(t, false)
	stands(t, "of the crew, back", a.tid, batch)
	stands(t, "another of the crew, back", b.tid, batch)
	stands(t, "of the process, back", other, normal)
}

func TestWhoJoinsACrewThatIsFirstIsFirst(t *testing.T) {
	c := newCrew(t)
	hire(t, c, func() {})
	c.moves(t, true)
	late := hire(t, c, func() { _ = second.give(0) }) // as begun by a thread of the process then
	stands(t, "joined late", late.tid, foremost)
	c.moves(t, false)
	stands(t, "joined late, back", late.tid, batch)
	after := hire(t, c, func() { _ = second.give(0) }) // as begun a moment before
	stands(t, "joined after", after.tid, batch)
}

// A thread that began while the crew moved has the place of a moment ago.
func TestThreadsAstrayAreFetched(t *testing.T) {
	c := newCrew(t)
	hire(t, c, func() {})
	sees := func() {
		t.Helper()
		c.looked = time.Now().Add(-5 * time.Second) // in which this process cannot have done much
		if moved, err := c.look(time.Now()); err != nil || moved {
			t.Fatalf("got moved %v, error %v; want neither", moved, err)
		}
	}
	c.moves(t, true)
	astray := bystander(t, normal)
	sees()
	stands(t, "begun as before, first", astray, second)
	c.moves(t, false)
	c.rule = rule{wait: time.Hour}
	astray = bystander(t, second)
	sees()
	stands(t, "begun as before, back", astray, normal)
	same := bystander(t, second)
	sees()
	stands(t, "somebody's own", same, second)
}

func TestThreadsThatEndedAreForgotten(t *testing.T) {
	c := newCrew(t)
	a, b := hire(t, c, func() {}), hire(t, c, func() {})
	a.leave()
	ended(t, a.tid)
	if _, err := c.look(time.Now()); err != nil {
		t.Fatal(err)
	}
	if len(c.members) != 1 || c.members[0].tid != b.tid {
		t.Errorf("the crew has %d members, want the one that is left", len(c.members))
	}
	c.moves(t, true)
	stands(t, "who is left", b.tid, foremost)
}

// ended waits for the end of a thread.
func ended(t *testing.T, tid int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); unix.Tgkill(os.Getpid(), tid, 0) == nil; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("thread %d is still there", tid)
		}
	}
}

func TestCrewThatMayNotGoFirstStaysWhereItIs(t *testing.T) {
	c := newCrew(t)
	a := hire(t, c, func() {})
	other := bystander(t, normal)
	err := make(chan error)
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread ends with its loss
		if ferr := forgoNice(); ferr != nil {
			t.Error(ferr)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ferr := c.follow(rule{first: true, second: true})
		err <- ferr
	}()
	if got := <-err; !errors.Is(got, unix.EPERM) {
		t.Fatalf("got %v, want that it is not permitted", got)
	}
	stands(t, "of the crew", a.tid, batch)
	stands(t, "of the process", other, normal)
	if c.First() {
		t.Error("the crew says that it is first")
	}
}

func TestWatchMovesTheCrewAndEndsWithItBack(t *testing.T) {
	c := newCrew(t)
	a := hire(t, c, func() {})
	c.members[0].was.woken = 0 // so that it has been woken
	told, end := make(chan bool, 10), make(chan error)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	go func() { end <- c.Watch(ctx, func(first bool) { told <- first }) }()
	select {
	case first := <-told:
		if !first {
			t.Error("told that the crew is back, want first")
		}
	case <-ctx.Done():
		t.Fatal("the crew is not moved")
	}
	stands(t, "first", a.tid, foremost)
	cancel()
	if err := <-end; err != nil {
		t.Error(err)
	}
	stands(t, "when the watch has ended", a.tid, batch)
}

func TestCrewThatIsNotToBeRudeIsNotWatched(t *testing.T) {
	for _, nice := range []int{0, 5} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := New(nice).Watch(ctx, func(bool) { t.Error("it moved") }); err != nil {
			t.Error(err)
		}
		if ctx.Err() != nil {
			t.Errorf("niceness %d: Watch waited for the end", nice)
		}
	}
}

// The collector at work on large tables would take every processor from everybody.
func TestTheRestOfABusyProcessIsNotSecond(t *testing.T) {
	c := newCrew(t)
	a := hire(t, c, func() {})
	other := bystander(t, normal)
	c.moves(t, true)
	c.looked, c.process = time.Now().Add(-time.Second), processTime()-900*time.Millisecond
	if moved, err := c.look(time.Now()); moved || err != nil {
		t.Errorf("got moved %v, error %v; want neither", moved, err)
	}
	stands(t, "of the crew", a.tid, foremost)
	stands(t, "of the process", other, normal)
	c.looked = time.Now().Add(-5 * time.Second)
	if moved, err := c.look(time.Now()); moved || err != nil {
		t.Errorf("got moved %v, error %v; want neither", moved, err)
	}
	stands(t, "of the process, no longer busy", other, second)
}

// What the kernel counts is what the threads did.
func TestLookCountsProcessorTimeAndWakeUps(t *testing.T) {
	c := newCrew(t)
	work, worked := make(chan struct{}), make(chan struct{})
	go func() {
		if err := c.Join(); err != nil {
			t.Error(err)
		}
		worked <- struct{}{}
		<-work
		for spent(t) < 20*time.Millisecond {
		}
		for range 5 {
			_ = unix.Nanosleep(&unix.Timespec{Nsec: 1_000_000}, nil)
		}
		worked <- struct{}{}
		<-work
	}()
	<-worked
	defer close(work)
	l := look{}
	c.members[0].look(&l)
	work <- struct{}{}
	<-worked
	l = look{}
	c.members[0].look(&l)
	if l.busiest < 15*time.Millisecond || l.busiest > time.Second {
		t.Errorf("got %v of processor time, want some 20 ms", l.busiest)
	}
	if l.woken < 5 {
		t.Errorf("it got a processor %d times, want 5 or more", l.woken)
	}
	if l.others != -l.busiest {
		t.Errorf("took %v from the others, want %v", -l.others, l.busiest)
	}
}

// spent is the processor time that the calling thread had.
func spent(t *testing.T) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}
