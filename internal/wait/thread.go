package wait

import (
	"errors"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Nicest and Rudest bound what Thread takes (setpriority(2)).
const (
	Rudest = -20
	Nicest = 19
)

// Policies of sched(7).
const (
	schedOther = 0
	schedBatch = 3
)

// Thread gives the calling goroutine a thread of its own, for good, which ends
// with the goroutine, and a place in the kernel's schedule: the given niceness,
// so that frames do not pile up while others compute, and SCHED_BATCH, so that a
// frame that arrives does not cut short whoever sends the next ones. A switch is
// to the programs around it what the kernel's softirqs are.
//
// A thread that somebody has given a better place already, or another policy,
// keeps it. Where the kernel refuses the niceness the thread stays as it was:
// SCHED_BATCH alone would only have it wait for others. The error costs speed
// under load, nothing else.
func Thread(nice int) error {
	runtime.LockOSThread()
	was, policy, err := place()
	if nice == 0 || err == nil && (policy != schedOther || was < min(nice, 0)) {
		return nil
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, nice); err != nil {
		return os.NewSyscallError("setpriority", err)
	}
	var param struct{ priority int32 }
	if _, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, schedBatch, uintptr(unsafe.Pointer(&param))); errno != 0 {
		return os.NewSyscallError("sched_setscheduler", errno)
	}
	return nil
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
