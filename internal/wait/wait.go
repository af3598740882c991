// Package wait is how a goroutine of the data path waits for a descriptor.
//
// Go's own way, the runtime's poller, costs a hand-off between threads at each
// wake-up, some 100 µs of a round trip on a small machine; but it costs nothing
// while nothing happens. A blocking system call that the scheduler does not
// know of wakes at once; but it keeps its processor (the scheduler's P) busy
// and holds up whoever wants to stop the world. So a Waiter blocks in poll(2)
// for a millisecond at a time while there is traffic, and lets the goroutine
// park in the poller when there has been none for some rounds.
//
// A process in which n goroutines wait like this needs n more processors than
// the rest of it (runtime.GOMAXPROCS), or the rest waits with them.
package wait

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// round is how long one poll may take, in ns: the longest that stopping
	// the world waits for it.
	round = 1_000_000
	// rounds is how many polls in vain make the goroutine park.
	rounds = 20
)

// Waiter belongs to one goroutine and one descriptor. The zero Waiter parks.
type Waiter struct{ left int }

// Busy says that something was there: the next waits poll first.
func (w *Waiter) Busy() { w.left = rounds }

// Readable waits for fd. True: something may be there, try again. False: let
// the goroutine park.
func (w *Waiter) Readable(fd uintptr) bool {
	for ; w.left > 0; w.left-- {
		p := unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
		t := unix.Timespec{Nsec: round}
		n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&t)), 0, 0, 0)
		if errno == 0 && n > 0 {
			return true
		}
		if errno != 0 && errno != unix.EINTR {
			return false // a kernel without ppoll: the poller will do
		}
	}
	return false
}
