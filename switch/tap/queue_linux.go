package tap

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/internal/wait"
)

// Queue is one queue of a TAP device.
type Queue struct {
	file   *os.File
	conn   syscall.RawConn
	stop   *wait.Stop // the device's
	vnet   bool       // the kernel puts a virtio_net_hdr in front of each frame
	closed atomic.Bool

	rd reader
}

// reader is what one Read hands to the callback that the runtime calls, kept
// in the queue because the callback is built once: a closure a call would
// allocate.
type reader struct {
	buf    []byte
	frames [][]byte
	n      int
	err    error
	wait   wait.Waiter
	try    func(fd uintptr) bool
}

func newQueue(f *os.File, stop *wait.Stop) (*Queue, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	q := &Queue{file: f, conn: conn, stop: stop}
	q.rd.try = q.drain
	return q, nil
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
	r := &q.rd
	r.buf, r.frames, r.n, r.err = buf, frames, 0, nil
	if err := q.conn.Read(r.try); err != nil {
		return 0, q.closedErr(err)
	}
	return r.n, r.err
}

// drain reads until the kernel has nothing more, and waits when it can read
// nothing at all. It answers true always: the runtime's poller is not used.
func (q *Queue) drain(fd uintptr) bool {
	r, off := &q.rd, 0
	if q.stop.IsSet() {
		r.err = os.ErrDeadlineExceeded
		return true
	}
	head := 0
	if !q.vnet {
		head = HeaderLen
	}
	for r.n < len(r.frames) && len(r.buf)-off >= HeaderLen+MaxFrame {
		rec := r.buf[off:]
		n, errno := read(fd, rec[head:HeaderLen+MaxFrame])
		switch {
		case errno == unix.EINTR:
			continue
		case errno == unix.EAGAIN && r.n > 0:
			r.wait.Busy()
			return true
		case errno == unix.EAGAIN && r.wait.Readable(fd, q.stop):
			continue
		case errno == unix.EAGAIN:
			r.err = os.ErrDeadlineExceeded
			return true
		case errno != 0 || head+n < HeaderLen:
			// What was read before the error is handed over first; the error
			// is met again by the next Read.
			if r.n == 0 {
				r.err = goneErr("read", errno)
			}
			return true
		}
		clear(rec[:head])
		r.frames[r.n] = rec[: head+n : head+n]
		r.n++
		off += (head + n + 7) &^ 7
	}
	r.wait.Busy()
	return true
}

// Writer returns the scratch with which one goroutine writes to the queue.
func (q *Queue) Writer() *Writer {
	w := &Writer{q: q}
	w.try = w.write
	return w
}

// Writer writes frames to a queue. It is for one goroutine; several Writers of
// one queue may work at once.
type Writer struct {
	q       *Queue
	iov     [maxIov]unix.Iovec
	records [][][]byte
	sent    int
	err     error
	try     func(fd uintptr) bool
}

// maxIov is the kernel's UIO_MAXIOV, the longest gather list of one write.
const maxIov = 1024

// Write hands records to the kernel, one system call each, and returns how
// many it took. A record is a gather list that begins with HeaderLen bytes of
// virtio_net_hdr in its first slice. Write stops at a record that the kernel
// refuses, which is records[sent] then, without an error: leave it out and go
// on behind it. err is ErrGone when the device was removed, os.ErrClosed after
// Close. The memory is free on return.
func (w *Writer) Write(records [][][]byte) (sent int, err error) {
	w.records, w.sent, w.err = records, 0, nil
	err = w.q.conn.Write(w.try)
	w.records = nil
	if err != nil {
		return w.sent, w.q.closedErr(err)
	}
	return w.sent, w.err
}

// write never waits: a TAP that takes no more (EAGAIN) or is down (EIO) drops
// the frame, as a bridge port does.
func (w *Writer) write(fd uintptr) bool {
	for _, rec := range w.records {
		switch errno := w.writev(fd, rec); errno {
		case 0:
			w.sent++
		case unix.EBADFD, unix.ENODEV:
			w.err = goneErr("write", errno)
			return true
		default:
			return true
		}
	}
	return true
}

func (w *Writer) writev(fd uintptr, rec [][]byte) unix.Errno {
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
		_, _, errno := unix.RawSyscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&w.iov[0])), uintptr(n))
		if errno != unix.EINTR {
			clear(w.iov[:n])
			return errno
		}
	}
}

// read is read(2) on a descriptor that never blocks, so the scheduler need not
// be told: the call is over in microseconds.
func read(fd uintptr, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), errno
}

// goneErr names what a failed call means. drivers/net/tun.c answers EBADFD on
// a queue without device.
func goneErr(op string, errno unix.Errno) error {
	if errno == unix.EBADFD || errno == unix.ENODEV {
		return ErrGone
	}
	if errno == 0 {
		return fmt.Errorf("%s tap: record shorter than its header", op)
	}
	return fmt.Errorf("%s tap: %w", op, errno)
}

// closedErr turns the runtime's errors into those that Read and Write promise:
// after Close a RawConn answers with an error that is not os.ErrClosed.
func (q *Queue) closedErr(err error) error {
	if q.closed.Load() {
		return os.ErrClosed
	}
	return err
}

func (q *Queue) close() error {
	q.closed.Store(true)
	return q.file.Close()
}

// File is the queue's open file, for handing it over to a successor. It stays
// the queue's.
func (q *Queue) File() *os.File { return q.file }

func (q *Queue) getIff() (name string, flags uint16, err error) {
	ifr, err := unix.NewIfreq("")
	if err != nil {
		return "", 0, err
	}
	var ierr error
	err = q.conn.Control(func(fd uintptr) { ierr = unix.IoctlIfreq(int(fd), unix.TUNGETIFF, ifr) })
	if err = errors.Join(err, os.NewSyscallError("TUNGETIFF", ierr)); err != nil {
		return "", 0, err
	}
	return ifr.Name(), ifr.Uint16(), nil
}

// setHeaderLen sets the size of the header: another program may have left
// another one on the device.
func (q *Queue) setHeaderLen() error {
	var ierr error
	err := q.conn.Control(func(fd uintptr) {
		ierr = os.NewSyscallError("TUNSETVNETHDRSZ", unix.IoctlSetPointerInt(int(fd), unix.TUNSETVNETHDRSZ, HeaderLen))
	})
	return errors.Join(err, ierr)
}
