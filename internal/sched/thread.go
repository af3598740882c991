package sched

import (
	"errors"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Nicest and Rudest bound a niceness (setpriority(2)).
const (
	Rudest = -20
	Nicest = 19
)

// ordinary gives the calling thread the place that those of the crew have mostly:
// its niceness, so that frames do not pile up while others compute, and SCHED_BATCH,
// so that a frame that arrives does not cut short whoever sends the next ones. A
// switch is to the programs around it what the kernel's softirqs are.
//
// A thread that somebody has given a better place already, or another policy,
// keeps it, and is not the crew's to move. Where the kernel refuses the niceness the
// thread stays as it was: SCHED_BATCH alone would only have it wait for others.
func (c *Crew) ordinary() (ours bool, err error) {
	was, policy, err := place()
	if c.nice == 0 || err == nil && (policy != unix.SCHED_NORMAL || was < min(c.nice, 0)) {
		return false, nil
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, c.nice); err != nil {
		return false, os.NewSyscallError("setpriority", err)
	}
	var param struct{ priority int32 }
	if _, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_BATCH, uintptr(unsafe.Pointer(&param))); errno != 0 {
		return false, os.NewSyscallError("sched_setscheduler", errno)
	}
	return true, nil
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

// mostUrgent is the highest priority in real time.
const mostUrgent = 99

// attr is a place in the kernel's schedule (sched(7)).
type attr struct {
	policy   int
	nice     int
	priority int // in real time
}

func attrOf(tid int) (attr, error) {
	at, err := unix.SchedGetAttr(tid, 0)
	if err != nil {
		return attr{}, os.NewSyscallError("sched_getattr", err)
	}
	return attr{int(at.Policy), int(at.Nice), int(at.Priority)}, nil
}

// give gives a thread the place, 0: the calling one.
func (a attr) give(tid int) error {
	at := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: uint32(a.policy), Nice: int32(a.nice), Priority: uint32(a.priority)}
	return os.NewSyscallError("sched_setattr", unix.SchedSetAttr(tid, &at, 0))
}

func (a attr) realTime() bool { return a.policy == unix.SCHED_RR || a.policy == unix.SCHED_FIFO }

// next is the place right before it in real time.
func (a attr) next() attr { return attr{policy: a.policy, priority: min(a.priority+1, mostUrgent)} }
