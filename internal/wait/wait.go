// Package wait is how a goroutine of the data path waits for a descriptor.
//
// Go's own way, the runtime's poller, costs a hand-off between threads at each
// wake-up, some 100 µs of a round trip on a small machine. A blocking system
// call that the scheduler does not know of wakes at once; but it keeps its
// processor (the scheduler's P) and holds up whoever wants to stop the world.
// So a Waiter blocks in poll(2), for a millisecond at a time without telling
// the scheduler while there is traffic, and as an ordinary system call, for as
// long as it takes, when there has been none for some rounds.
//
// The runtime's poller is not used at all, because the two do not go together:
// the thread that the poller wakes runs the goroutine that it woke, and while
// that one waits here, nobody looks at the poller (runtime.findRunnable); the
// next descriptor that becomes readable would be seen 20 ms later.
//
// Where ppoll(2) is refused, a Waiter makes do with poll(2), and where there is
// none either, with a look every millisecond.
//
// A process in which n goroutines wait like this needs n more processors than
// the rest of it (runtime.GOMAXPROCS), or the rest waits with them.
package wait

import (
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// round is how long one poll may take that the scheduler does not know of,
	// in ns: the longest that stopping the world waits for it.
	round = 1_000_000
	// rounds is how many polls in vain end the time of traffic.
	rounds = 20
)

// Stop ends waits. Any number of Waiters may watch one.
type Stop struct {
	fd     int // becomes readable
	set    atomic.Bool
	closed atomic.Bool
}

// NewStop returns a Stop that is not set. Close releases its descriptor.
func NewStop() (*Stop, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	return &Stop{fd: fd}, nil
}

// Set ends all waits, and those to come, until Clear.
func (s *Stop) Set() {
	s.set.Store(true)
	_, _ = unix.Write(s.fd, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// Clear undoes Set.
func (s *Stop) Clear() {
	_, _ = unix.Read(s.fd, make([]byte, 8))
	s.set.Store(false)
}

// IsSet reports whether waits end at once. It is cheap.
func (s *Stop) IsSet() bool { return s.set.Load() }

// Wait waits until s is set.
func (s *Stop) Wait() {
	var w Waiter
	for w.Readable(uintptr(s.fd), s) {
	}
}

// Close releases the Stop. Nobody may wait any more; further calls do nothing.
func (s *Stop) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	return unix.Close(s.fd)
}

// Waiter belongs to one goroutine and one descriptor. The zero Waiter is ready.
type Waiter struct {
	left    int
	noPpoll bool
	fds     [2]unix.PollFd
}

// Probe says why Waiters do without ppoll, nil if they do not.
func Probe() error {
	t := unix.Timespec{}
	_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, 0, 0, uintptr(unsafe.Pointer(&t)), 0, 0, 0)
	if errno == 0 || errno == unix.EINTR {
		return nil
	}
	return errno
}

// Busy says that something was there: the next waits are short ones first.
func (w *Waiter) Busy() { w.left = rounds }

// Readable waits until fd has something to read, or an error to tell. False:
// s was set.
func (w *Waiter) Readable(fd uintptr, s *Stop) bool {
	w.fds[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	w.fds[1] = unix.PollFd{Fd: int32(s.fd), Events: unix.POLLIN}
	for {
		n, errno := w.poll()
		switch {
		case w.fds[1].Revents != 0, s.IsSet():
			return false
		case n > 0, errno != 0 && errno != unix.EINTR:
			return true // what is wrong with fd, reading it tells
		}
	}
}

// poll waits one round, or without end when there is no traffic.
func (w *Waiter) poll() (n int, errno unix.Errno) {
	if !w.noPpoll {
		n, errno = w.ppoll()
		w.noPpoll = errno == unix.ENOSYS || errno == unix.EPERM || errno == unix.EINVAL
	}
	if !w.noPpoll {
		return n, errno
	}
	n, err := unix.Poll(w.fds[:], -1)
	if err == nil || err == unix.EINTR {
		return n, 0
	}
	time.Sleep(round) // where Poll is ppoll, as on arm64, or refused too
	return 1, 0
}

func (w *Waiter) ppoll() (n int, errno unix.Errno) {
	if w.left > 0 {
		w.left--
		t := unix.Timespec{Nsec: round}
		r, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&w.fds)), uintptr(len(w.fds)), uintptr(unsafe.Pointer(&t)), 0, 0, 0)
		return int(r), errno
	}
	r, _, errno := unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&w.fds)), uintptr(len(w.fds)), 0, 0, 0, 0)
	return int(r), errno
}
