package sched

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// stand is where a thread stands.
type stand struct{ nice, policy int }

// placed has a goroutine of its own, and tells where its thread stands
// then, and where the others of the process do meanwhile.
func placed(t *testing.T, nice int, before func() error) (own stand, others map[int]int) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		err := errors.Join(before(), begin(nice))
		n, p, perr := place()
		own, others = stand{n, p}, nices(unix.Gettid())
		done <- errors.Join(err, perr)
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return own, others
}

// nices reads the niceness of all threads but one.
func nices(but int) map[int]int {
	all := map[int]int{}
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, e := range tasks {
		tid, _ := strconv.Atoi(e.Name())
		if prio, err := unix.Getpriority(unix.PRIO_PROCESS, tid); err == nil && tid != but {
			all[tid] = 20 - prio
		}
	}
	return all
}

func none() error { return nil }

func begin(nice int) error { return New(nice).Join() }

func TestThreadGetsItsPlaceAndNoOtherDoes(t *testing.T) {
	was, _, err := place()
	if err != nil {
		t.Fatal(err)
	}
	before := nices(0) // the main thread of a run before is still where it was put
	own, others := placed(t, was+3, none)
	if want := (stand{was + 3, unix.SCHED_BATCH}); own != want {
		t.Errorf("got %+v, want %+v", own, want)
	}
	if len(others) == 0 {
		t.Error("there is no other thread, which proves nothing")
	}
	for tid, nice := range others {
		want, ok := before[tid]
		if !ok {
			want = was
		}
		if nice != want {
			t.Errorf("thread %d has niceness %d, want %d as before", tid, nice, want)
		}
	}
}

func TestThreadWithABetterPlaceKeepsIt(t *testing.T) {
	better := func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -7) }
	if own, _ := placed(t, -5, better); own != (stand{-7, unix.SCHED_NORMAL}) {
		t.Errorf("got %+v, want niceness -7 and the ordinary policy", own)
	}
}

// In real time a thread comes one priority before the others of the process, and no
// further however often it is asked.
func TestThreadInRealTimeComesBeforeTheOthers(t *testing.T) {
	const given = 3
	for _, c := range []struct {
		name         string
		policy, nice int
		given, want  uint32
		again        int
	}{
		{"round robin", unix.SCHED_RR, -5, given, given + 1, 0},
		{"first in, first out, asked again", unix.SCHED_FIFO, -5, given, given + 1, 2},
		{"raised since", unix.SCHED_RR, -5, 50, 50, 0},
		{"left alone", unix.SCHED_RR, 0, given, given, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			done := make(chan error)
			var at *unix.SchedAttr
			go func() {
				runtime.LockOSThread() // and not unlocked
				err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: uint32(c.policy), Priority: c.given}, 0)
				crew := New(c.nice)
				crew.base = attr{policy: c.policy, priority: given}
				for range 1 + c.again {
					err = errors.Join(err, crew.Join())
				}
				var gerr error
				at, gerr = unix.SchedGetAttr(0, 0)
				done <- errors.Join(err, gerr)
			}()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if int(at.Policy) != c.policy || at.Priority != c.want {
				t.Errorf("got policy %d and priority %d, want %d and %d", at.Policy, at.Priority, c.policy, c.want)
			}
		})
	}
}

// Without the right to a better niceness, SCHED_BATCH would be a loss.
func TestThreadThatIsRefusedStaysAsItWas(t *testing.T) {
	was, _, err := place()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	var own stand
	go func() {
		runtime.LockOSThread() // and not unlocked: the thread ends with its loss
		err := forgoNice()
		if terr := begin(was - 5); terr == nil {
			err = errors.Join(err, errors.New("thread was not refused"))
		}
		n, p, perr := place()
		own = stand{n, p}
		got <- errors.Join(err, perr)
	}()
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	if want := (stand{was, unix.SCHED_NORMAL}); own != want {
		t.Errorf("got %+v, want %+v", own, want)
	}
}

// forgoNice takes CAP_SYS_NICE from the calling thread.
func forgoNice() error {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	if err := unix.Capget(&h, &d[0]); err != nil {
		return err
	}
	d[0].Effective &^= 1 << unix.CAP_SYS_NICE
	return unix.Capset(&h, &d[0])
}

// A thread that went back to the scheduler would take its place along.
func TestThreadEndsWithItsGoroutine(t *testing.T) {
	tid := os.Getpid()
	for tid == os.Getpid() { // the main thread never ends
		was := make(chan int)
		go func() {
			if err := begin(0); err != nil {
				t.Error(err)
			}
			was <- unix.Gettid()
		}()
		tid = <-was
	}
	ended(t, tid)
}
