package wait

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// placed runs Thread on a goroutine of its own, and tells what became of its
// thread: the niceness, the policy.
func placed(t *testing.T, nice int) (gotNice, policy int) {
	t.Helper()
	done := make(chan error)
	go func() {
		err := Thread(nice)
		gotNice, policy = place(&err)
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return gotNice, policy
}

// place reads where the calling thread stands.
func place(err *error) (nice, policy int) {
	prio, perr := unix.Getpriority(unix.PRIO_PROCESS, 0)
	p, _, errno := unix.RawSyscall(unix.SYS_SCHED_GETSCHEDULER, 0, 0, 0)
	if errno != 0 {
		perr = errors.Join(perr, errno)
	}
	*err = errors.Join(*err, perr)
	return 20 - prio, int(p) // the bare call counts from 40 down
}

func TestThreadGetsItsPlaceAndNoOtherDoes(t *testing.T) {
	if nice, policy := placed(t, 7); nice != 7 || policy != schedBatch {
		t.Errorf("nice %d, policy %d, want 7 and %d", nice, policy, schedBatch)
	}
	if nice, policy := placed(t, 0); nice != 0 || policy != 0 {
		t.Errorf("a thread asked for with nice 0 has nice %d, policy %d, want 0 and 0", nice, policy)
	}
}
