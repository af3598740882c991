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

// schedBatch is SCHED_BATCH of sched(7).
const schedBatch = 3

// Thread gives the calling goroutine a thread of its own, for good, which ends
// with the goroutine, and a place in the kernel's schedule: SCHED_BATCH, so that
// a frame that arrives does not cut short whoever sends the next ones, and the
// given niceness, so that frames do not pile up while others compute. A switch
// is to the programs around it what the kernel's softirqs are.
//
// What the kernel refuses is left as it was, and is the error: it costs speed
// under load, nothing else.
func Thread(nice int) error {
	runtime.LockOSThread()
	if nice == 0 {
		return nil
	}
	var param struct{ priority int32 }
	var err error
	if _, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, schedBatch, uintptr(unsafe.Pointer(&param))); errno != 0 {
		err = os.NewSyscallError("sched_setscheduler", errno)
	}
	return errors.Join(err, os.NewSyscallError("setpriority", unix.Setpriority(unix.PRIO_PROCESS, 0, nice)))
}
