package wait

import (
	"os"
	"testing"
)

// pipe returns both ends of a pipe.
func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	return r, w
}

func newStop(t *testing.T) *Stop {
	t.Helper()
	s, err := NewStop()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestWaitEndsWhenThereIsSomething(t *testing.T) {
	for _, busy := range []bool{false, true} {
		r, w := pipe(t)
		s := newStop(t)
		done := make(chan bool)
		go func() {
			var wt Waiter
			if busy {
				wt.Busy()
			}
			done <- wt.Readable(r.Fd(), s)
		}()
		if _, err := w.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if !<-done {
			t.Errorf("busy %v: got false, want true", busy)
		}
	}
}

func TestStopEndsAllWaits(t *testing.T) {
	s := newStop(t)
	done := make(chan bool)
	for _, busy := range []bool{false, true} {
		r, _ := pipe(t)
		go func() {
			var wt Waiter
			if busy {
				wt.Busy()
			}
			done <- wt.Readable(r.Fd(), s)
		}()
	}
	s.Set()
	for range 2 {
		if <-done {
			t.Error("got true, want false")
		}
	}
	if !s.IsSet() {
		t.Error("one wait took the stop from the others")
	}
	s.Clear()
	r, w := pipe(t)
	if _, err := w.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if !new(Waiter).Readable(r.Fd(), s) {
		t.Error("after Clear: got false, want true")
	}
}

func TestBrokenDescriptorIsNotWaitedFor(t *testing.T) {
	r, w := pipe(t)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !new(Waiter).Readable(r.Fd(), newStop(t)) {
		t.Error("got false, want true: reading tells what is wrong")
	}
}

func TestWaitingDoesNotAllocate(t *testing.T) {
	r, w := pipe(t)
	s := newStop(t)
	if _, err := w.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	fd := r.Fd()
	var wt Waiter
	if n := testing.AllocsPerRun(100, func() {
		wt.Readable(fd, s)
		wt.Busy()
		wt.Readable(fd, s)
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

func TestWaitWithoutPpollEndsJustAsWell(t *testing.T) {
	r, w := pipe(t)
	s := newStop(t)
	wt := Waiter{noPpoll: true}
	done := make(chan bool)
	go func() { done <- wt.Readable(r.Fd(), s) }()
	if _, err := w.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if !<-done {
		t.Error("there is something: got false, want true")
	}
	empty, _ := pipe(t)
	go func() { done <- wt.Readable(empty.Fd(), s) }()
	s.Set()
	if <-done {
		t.Error("stopped: got true, want false")
	}
	s.Wait()
}
