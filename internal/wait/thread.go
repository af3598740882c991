package wait

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Nicest and Rudest bound what Thread takes (setpriority(2)).
const (
	Rudest = -20
	Nicest = 19
)

// Thread gives the calling goroutine a thread of its own, for good, which ends
// with the goroutine, and a place in the kernel's schedule: the given niceness,
// so that frames do not pile up while others compute, and SCHED_BATCH, so that a
// frame that arrives does not cut short whoever sends the next ones. A switch is
// to the programs around it what the kernel's softirqs are.
//
// A thread that somebody has given a better place already, or another policy,
// keeps it; where that is one in real time (`chrt -r 1 uvtep run`) it comes one
// priority before the threads that do the rest. Where the kernel refuses the
// niceness the thread stays as it was: SCHED_BATCH alone would only have it wait
// for others. The error costs speed under load, nothing else.
func Thread(nice int) error {
	runtime.LockOSThread()
	was, policy, err := place()
	if nice != 0 && err == nil && (policy == unix.SCHED_RR || policy == unix.SCHED_FIFO) {
		return first(policy)
	}
	if nice == 0 || err == nil && (policy != unix.SCHED_NORMAL || was < min(nice, 0)) {
		return nil
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, nice); err != nil {
		return os.NewSyscallError("setpriority", err)
	}
	var param struct{ priority int32 }
	if _, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_BATCH, uintptr(unsafe.Pointer(&param))); errno != 0 {
		return os.NewSyscallError("sched_setscheduler", errno)
	}
	return nil
}

// mostUrgent is the highest priority in real time.
const mostUrgent = 99

// urgency is the priority in real time of the process's first thread to ask: what
// it was started with.
var urgency = sync.OnceValues(func() (uint32, error) {
	at, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return 0, os.NewSyscallError("sched_getattr", err)
	}
	return at.Priority, nil
})

// first puts the calling thread before the others of the process in real time.
func first(policy int) error {
	others, err := urgency()
	if err != nil {
		return err
	}
	own, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return os.NewSyscallError("sched_getattr", err)
	}
	if own.Priority > others {
		return nil // it was here before, or somebody has raised it since
	}
	at := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: uint32(policy), Priority: min(others+1, mostUrgent)}
	return os.NewSyscallError("sched_setattr", unix.SchedSetAttr(0, &at, 0))
}

// place tells where the calling thread stands.
func place() (nice, policy int, err error) {
	prio, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	p, _, errno := unix.RawSyscall(unix.SYS_SCHED_GETSCHEDULER, 0, 0, 0)
	if errno != 0 {
		err = errors.Join(err, os.NewSyscallError("sched_getscheduler", errno))
	}
	return 20 - prio, int(p), err // the bare call counts from 40 down
}
