package underlay

import (
	"encoding/binary"
	"net/netip"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/internal/wait"
)

// recvBatch is how many messages one recvmmsg may bring.
const recvBatch = 64

// maxTries is how often in a row a passing error of a socket is passed over.
const maxTries = 100

// controlLen holds three control messages of up to eight bytes: UDP_GRO, the
// TOS and the overrun count.
const controlLen = 3 * (unix.SizeofCmsghdr + 8)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

// Receiver receives on one socket. It is for one goroutine.
type Receiver struct {
	u       *Underlay
	fd      int
	closed  atomic.Bool
	overrun uint32 // the kernel's last reading

	hdrs  [recvBatch]mmsghdr
	iovs  [recvBatch]unix.Iovec
	names [recvBatch]unix.RawSockaddrInet6 // has room for IPv4 too
	ctrls [recvBatch][controlLen]byte

	want int // messages asked for by the Recv under way
	wait wait.Waiter
}

// newReceiver makes a receiver of a socket that does not block. The descriptor
// is a bare one: that of an os.File is registered with the runtime's poller,
// which each datagram would wake for nothing.
func newReceiver(u *Underlay, fd int) *Receiver {
	r := &Receiver{u: u, fd: fd}
	for i := range r.hdrs {
		h := &r.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		h.Iov = &r.iovs[i]
		h.SetIovlen(1)
		h.Control = &r.ctrls[i][0]
	}
	return r
}

// Recv waits until a datagram is there and takes what is waiting, at most one
// message an element of ms. Each element's Data is the buffer to fill, which
// should hold 65,535 bytes; the rest of the element is set. A message that did
// not fit is cut by the kernel and shows as one of its full buffer's length.
//
// The error is os.ErrDeadlineExceeded after Wake and os.ErrClosed after Close.
func (r *Receiver) Recv(ms []encap.Message) (int, error) {
	if r.closed.Load() {
		return 0, os.ErrClosed
	}
	r.want = min(len(ms), recvBatch)
	for i := range r.want {
		r.iovs[i].Base = &ms[i].Data[0]
		r.iovs[i].SetLen(len(ms[i].Data))
		r.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
		r.hdrs[i].hdr.SetControllen(controlLen)
	}
	n, err := r.receive()
	for i := range n {
		r.fill(&ms[i], i)
	}
	return n, err
}

// receive takes what is there, and waits when nothing is.
func (r *Receiver) receive() (int, error) {
	if r.u.stop.IsSet() {
		return 0, os.ErrDeadlineExceeded
	}
	for tries := 0; ; {
		alone := r.u.noRecvmmsg.Load()
		n, errno := r.recvmmsg(alone)
		switch errno {
		case 0:
			r.wait.Busy()
			return n, nil
		case unix.EAGAIN:
			if !r.wait.Readable(uintptr(r.fd), r.u.stop) {
				return 0, os.ErrDeadlineExceeded
			}
		case unix.EINTR:
		case unix.ENOSYS, unix.EPERM, unix.EINVAL:
			if alone {
				return 0, os.NewSyscallError("recvmsg", errno)
			}
			r.u.giveUp("recvmmsg", &r.u.noRecvmmsg, errno)
		case unix.EBADF, unix.ENOTSOCK, unix.EFAULT:
			return 0, os.NewSyscallError("recvmmsg", errno)
		default:
			// Any other is an error of the network that was waiting on the
			// socket (an ICMP message); it is cleared by being reported. One
			// that stays is not.
			if tries++; tries == maxTries {
				return 0, os.NewSyscallError("recvmmsg", errno)
			}
		}
	}
}

// recvmmsg never blocks, so the scheduler need not be told. Alone, it is
// recvmsg for one message.
func (r *Receiver) recvmmsg(alone bool) (int, unix.Errno) {
	if alone {
		n, _, errno := unix.RawSyscall(unix.SYS_RECVMSG, uintptr(r.fd), uintptr(unsafe.Pointer(&r.hdrs[0].hdr)), unix.MSG_DONTWAIT)
		r.hdrs[0].len = uint32(n)
		return 1, errno
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(r.fd), uintptr(unsafe.Pointer(&r.hdrs[0])), uintptr(r.want), unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

func (r *Receiver) fill(m *encap.Message, i int) {
	m.N = int(r.hdrs[i].len)
	m.Segment, m.TOS = 0, 0
	m.Peer = addrPort(&r.names[i])
	c := r.ctrls[i][:r.hdrs[i].hdr.Controllen]
	for len(c) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || size > len(c) {
			return
		}
		r.control1(m, h, c[unix.SizeofCmsghdr:size])
		c = c[min(len(c), (size+7)&^7):]
	}
}

// control1 reads one control message. All integers are in the host's order.
func (r *Receiver) control1(m *encap.Message, h *unix.Cmsghdr, data []byte) {
	switch {
	case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
		m.Segment = int(binary.NativeEndian.Uint32(data))
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_TOS && len(data) >= 1:
		m.TOS = data[0]
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_TCLASS && len(data) >= 4:
		m.TOS = uint8(binary.NativeEndian.Uint32(data))
	case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
		now := binary.NativeEndian.Uint32(data)
		if d := now - r.overrun; d != 0 {
			r.u.count.overrun.Add(uint64(d))
			r.overrun = now
		}
	}
}

// addrPort reads the sender's address. The port is in network order.
func addrPort(sa *unix.RawSockaddrInet6) netip.AddrPort {
	if sa.Family == unix.AF_INET {
		s4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(s4.Addr), ntohs(s4.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), ntohs(sa.Port))
}

func ntohs(n uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], n)
	return binary.BigEndian.Uint16(b[:])
}
