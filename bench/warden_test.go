package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// warden is asked by the kernel about system calls of programs that became
// poor, where a filter cannot see what matters (seccomp_unotify(2)). It answers
// with the error of those that are refused; others are carried out.
type warden struct {
	socket  string
	refuses func(*asked) unix.Errno // 0: carry it out
	refused atomic.Int64            // how many calls

	wg sync.WaitGroup
}

// asked is a call that the kernel asks about: struct seccomp_notif.
type asked struct {
	ID   uint64
	PID  uint32
	_    uint32
	Call int32
	_    uint32 // architecture
	_    uint64 // instruction
	Args [6]uint64
}

// answer is struct seccomp_notif_resp.
type answer struct {
	ID    uint64
	_     int64
	Error int32
	Flags uint32
}

// newWarden starts a warden that ends with the test, once all its programs have.
func newWarden(t testing.TB, refuses func(*asked) unix.Errno) *warden {
	t.Helper()
	w := &warden{socket: filepath.Join(t.TempDir(), "warden"), refuses: refuses}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.socket})
	must(t, err)
	w.wg.Go(func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			w.wg.Go(func() {
				if err := w.guard(c); err != nil {
					t.Errorf("warden: %v", err)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		w.wg.Wait()
	})
	return w
}

// guard takes the descriptor that the program at the other end reported, and
// answers until the program has ended.
func (w *warden) guard(c *net.UnixConn) error {
	defer c.Close()
	var there int
	if _, err := fmt.Fscanln(c, &there); err != nil {
		return err
	}
	fd, err := take(c, there)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if _, err := c.Write([]byte{1}); err != nil {
		return err
	}
	for {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		_, err := unix.Poll(p, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case p[0].Revents&unix.POLLIN != 0:
			w.answer(fd)
		default:
			return nil // the program has ended
		}
	}
}

// take duplicates the descriptor of the process at the other end of c.
func take(c *net.UnixConn, there int) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var peer *unix.Ucred
	var perr error
	err = raw.Control(func(s uintptr) { peer, perr = unix.GetsockoptUcred(int(s), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err := errors.Join(err, perr); err != nil {
		return -1, err
	}
	pidfd, err := unix.PidfdOpen(int(peer.Pid), 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(pidfd)
	return unix.PidfdGetfd(pidfd, there, 0)
}

// answer answers one question. One that is withdrawn meanwhile, by a signal or
// the program's end, needs no answer.
func (w *warden) answer(fd int) {
	var q asked
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&q))); errno != 0 {
		return
	}
	a := answer{ID: q.ID, Flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	if errno := w.refuses(&q); errno != 0 {
		a.Error, a.Flags = -int32(errno), 0
		w.refused.Add(1)
	}
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&a)))
}

// read copies memory of the program that asked.
func (q *asked) read(at uint64, b []byte) bool {
	if len(b) == 0 {
		return false
	}
	local := unix.Iovec{Base: &b[0]}
	local.SetLen(len(b))
	n, err := unix.ProcessVMReadv(int(q.PID), []unix.Iovec{local}, []unix.RemoteIovec{{Base: uintptr(at), Len: len(b)}}, 0)
	return err == nil && n == len(b)
}

// tapFlags are the flags that TUNSETIFF asks for, in a struct ifreq.
func (q *asked) tapFlags() uint16 {
	var ifr [unix.IFNAMSIZ + 2]byte
	if q.Call != unix.SYS_IOCTL || !q.read(q.Args[2], ifr[:]) {
		return 0
	}
	return binary.NativeEndian.Uint16(ifr[unix.IFNAMSIZ:])
}

// segmented reports whether the first message of a sendmsg or sendmmsg, both of
// which begin with a struct msghdr, asks for UDP_SEGMENT.
func (q *asked) segmented() bool {
	var h [unsafe.Sizeof(unix.Msghdr{})]byte // no Msghdr: its pointers are not of this process
	if q.Call != unix.SYS_SENDMSG && q.Call != unix.SYS_SENDMMSG || !q.read(q.Args[1], h[:]) {
		return false
	}
	at := binary.NativeEndian.Uint64(h[unsafe.Offsetof(unix.Msghdr{}.Control):])
	control := make([]byte, binary.NativeEndian.Uint64(h[unsafe.Offsetof(unix.Msghdr{}.Controllen):]))
	if !q.read(at, control) {
		return false
	}
	ms, err := unix.ParseSocketControlMessage(control)
	for _, m := range ms {
		if m.Header.Level == unix.IPPROTO_UDP && m.Header.Type == unix.UDP_SEGMENT {
			return true
		}
	}
	return err != nil
}
