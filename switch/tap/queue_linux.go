package tap

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/internal/wait"
)

// Queue is one queue of a TAP device.
type Queue struct {
	fd     int
	out    int         // where frames are written: a twin, or fd itself
	stop   *wait.Stop  // the device's
	vnet   bool        // the kernel puts a virtio_net_hdr in front of each frame
	closed atomic.Bool // fd may be somebody else's by now
	wait   wait.Waiter
	lost   int // frames that the kernel dropped, since Lost was called
}

// newQueue makes a queue of an open file, which is closed in any case. The
// queue has a descriptor of its own, because that of an os.File is registered
// with the runtime's poller, which each frame would wake for nothing.
func newQueue(f *os.File, stop *wait.Stop) (*Queue, error) {
	fd, err := dup(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return &Queue{fd: fd, out: fd, stop: stop}, nil
}

// dup duplicates a file's descriptor.
func dup(f *os.File) (fd int, err error) {
	c, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	var derr error
	err = c.Control(func(from uintptr) { fd, derr = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, derr)
}

// Read waits until a frame is there and then takes what is waiting, without
// waiting again, until the queue is empty, frames is full, or buf has no room
// left for the longest record (HeaderLen+MaxFrame bytes): buf is the byte
// budget of a batch. Each frames[i] of the n returned is a record (header and
// frame) within buf, valid until buf is used again. buf must have room for one
// record at least.
//
// The error is ErrGone when the device was removed, os.ErrDeadlineExceeded
// after Wake, os.ErrClosed after Close. No frame is lost with an error: n is 0.
func (q *Queue) Read(buf []byte, frames [][]byte) (n int, err error) {
	if q.closed.Load() {
		return 0, os.ErrClosed
	}
	if q.stop.IsSet() {
		return 0, os.ErrDeadlineExceeded
	}
	off, passed := 0, 0
	for n < len(frames) && len(buf)-off >= HeaderLen+MaxFrame {
		rec, errno := q.record(buf[off:])
		switch {
		case rec != nil:
			frames[n] = rec
			n++
			off += (len(rec) + 7) &^ 7
		case errno == unix.EAGAIN && n > 0:
			q.wait.Busy()
			return n, nil
		case errno == unix.EAGAIN:
			if !q.wait.Readable(uintptr(q.fd), q.stop) {
				return 0, os.ErrDeadlineExceeded
			}
		case passing(errno) && passed < maxPassed:
			passed++
			q.lose(errno)
		case n > 0:
			return n, nil // the next Read meets the error again
		default:
			return 0, goneErr("read", errno)
		}
	}
	q.wait.Busy()
	return n, nil
}

// lose counts the frame that an error of Read was about, if it was about one.
func (q *Queue) lose(errno unix.Errno) {
	if errno != unix.EINTR {
		q.lost++
	}
}

// Lost returns how many frames Read has passed over since the last call, because
// the kernel could not hand them over and has dropped them. It is for the
// goroutine that reads.
func (q *Queue) Lost() int {
	n := q.lost
	q.lost = 0
	return n
}

// maxPassed is how many errors in a row one Read passes over.
const maxPassed = 100

// passing reports whether an error is that of one frame, or of a moment: the
// kernel has dropped a frame that it could not describe (tun_put_user in
// drivers/net/tun.c), a signal came, or memory was short.
func passing(errno unix.Errno) bool {
	return errno == unix.EINTR || errno == unix.EINVAL || errno == unix.EFAULT || errno == unix.ENOMEM
}

// record reads one record into buf; nil: there was an error.
func (q *Queue) record(buf []byte) ([]byte, unix.Errno) {
	head := 0
	if !q.vnet {
		head = HeaderLen
	}
	n, errno := read(q.fd, buf[head:HeaderLen+MaxFrame])
	if errno != 0 {
		return nil, errno
	}
	if head+n < HeaderLen {
		return nil, unix.EINVAL
	}
	clear(buf[:head])
	return buf[: head+n : head+n], 0
}

// Idle waits for Wake, as Read does where there is never a frame: for the
// goroutines that are more than the queues, because two that read one queue
// would reorder flows. The error is os.ErrDeadlineExceeded.
func (q *Queue) Idle() error {
	q.stop.Wait()
	return os.ErrDeadlineExceeded
}

// Writer returns the scratch with which one goroutine writes to the queue.
func (q *Queue) Writer() *Writer { return &Writer{q: q} }

// Writer writes frames to a queue. It is for one goroutine; several Writers of
// one queue may work at once.
type Writer struct {
	q   *Queue
	iov [maxIov]unix.Iovec
}

// maxIov is the kernel's UIO_MAXIOV, the longest gather list of one write.
const maxIov = 1024

// Write hands records to the kernel, one system call each, and returns how
// many it took. A record is a gather list that begins with HeaderLen bytes of
// virtio_net_hdr in its first slice. Write stops at a record that the kernel
// refuses, which is records[sent] then, without an error: leave it out and go
// on behind it. It never waits: a TAP that takes no more (EAGAIN) or is down
// (EIO) refuses the frame, as a bridge port drops it. err is ErrGone when the
// device was removed, os.ErrClosed after Close. The memory is free on return.
func (w *Writer) Write(records [][][]byte) (sent int, err error) {
	if w.q.closed.Load() {
		return 0, os.ErrClosed
	}
	for i, rec := range records {
		switch errno := w.writev(rec); errno {
		case 0:
		case unix.EBADFD, unix.ENODEV:
			return i, goneErr("write", errno)
		default:
			return i, nil
		}
	}
	return len(records), nil
}

func (w *Writer) writev(rec [][]byte) unix.Errno {
	n := 0
	for i, b := range rec {
		if i == 0 && !w.q.vnet {
			b = b[HeaderLen:]
		}
		if len(b) == 0 {
			continue
		}
		if n == maxIov {
			return unix.EMSGSIZE
		}
		w.iov[n].Base = &b[0]
		w.iov[n].SetLen(len(b))
		n++
	}
	for {
		_, _, errno := unix.RawSyscall(unix.SYS_WRITEV, uintptr(w.q.out), uintptr(unsafe.Pointer(&w.iov[0])), uintptr(n))
		if errno != unix.EINTR {
			clear(w.iov[:n])
			return errno
		}
	}
}

// read is read(2) on a descriptor that never blocks, so the scheduler need not
// be told: the call is over in microseconds.
func read(fd int, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

// goneErr names what a failed call means. drivers/net/tun.c answers EBADFD on
// a queue without device.
func goneErr(op string, errno unix.Errno) error {
	if errno == unix.EBADFD || errno == unix.ENODEV {
		return ErrGone
	}
	return fmt.Errorf("%s tap: %w", op, errno)
}

// close closes the queue, once.
func (q *Queue) close() error {
	if q.closed.Swap(true) {
		return nil
	}
	err := unix.Close(q.fd)
	if q.out != q.fd {
		err = errors.Join(err, unix.Close(q.out))
	}
	return err
}

// File returns a duplicate of the queue's descriptor, for handing it over to a
// successor. The caller closes it.
func (q *Queue) File() (*os.File, error) {
	fd, err := unix.FcntlInt(uintptr(q.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "tap queue"), nil
}

func (q *Queue) getIff() (name string, flags uint16, err error) {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return "", 0, err
	}
	if err := unix.IoctlIfreq(q.fd, unix.TUNGETIFF, ifr); err != nil {
		return "", 0, os.NewSyscallError("TUNGETIFF", err)
	}
	return ifr.Name(), ifr.Uint16(), nil
}

// setHeaderLen sets the size of the header: another program may have left
// another one on the device.
func (q *Queue) setHeaderLen() error {
	return os.NewSyscallError("TUNSETVNETHDRSZ", unix.IoctlSetPointerInt(q.fd, unix.TUNSETVNETHDRSZ, HeaderLen))
}
