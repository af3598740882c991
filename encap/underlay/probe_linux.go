package underlay

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/internal/wait"
)

// probe asks the kernel, once, for what makes batches cheap, and notes what it
// does not give and why.
func (u *Underlay) probe() {
	for _, lane := range u.receivers {
		for _, r := range lane {
			_ = u.probeReceiver(r.fd)
		}
	}
	for _, family := range u.sources {
		for _, s := range family {
			u.probeSource(s.fd)
		}
	}
}

func (u *Underlay) probeReceiver(fd int) error {
	u.probeCalls(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1); err != nil {
		u.caps.Reason["udp_gro"] = err.Error()
	} else {
		u.caps.UDPGRO = true
	}
	// The outer TOS carries the congestion mark that RFC 6040 brings inside;
	// the overrun count is best effort.
	if u.is6(fd) {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, 1)
	} else {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVTOS, 1)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	u.caps.RecvBuffer = u.buffer(fd, "recv_buffer", u.conf.RecvBuffer, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
	return nil
}

func (u *Underlay) probeSource(fd int) {
	u.caps.SendBuffer = u.buffer(fd, "send_buffer", u.conf.SendBuffer, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
	switch _, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT); {
	case err != nil:
		u.caps.Reason["udp_segment"] = err.Error()
		u.noSegment.Store(true)
	case u.conf.NoChecksum:
		// net/ipv4/udp.c, udp_send_skb: EINVAL for a segmented send without checksum.
		u.caps.Reason["udp_segment"] = "outer UDP checksums are off"
		u.noSegment.Store(true)
	}
}

// probeCalls asks for the system calls that move many datagrams, and for the
// one that waits for them.
func (u *Underlay) probeCalls(fd int) {
	if errno := nothing(unix.SYS_SENDMMSG, fd); missing(errno) {
		u.caps.Reason["sendmmsg"] = errno.Error()
		u.noSendmmsg.Store(true)
	}
	if errno := nothing(unix.SYS_RECVMMSG, fd); missing(errno) {
		u.caps.Reason["recvmmsg"] = errno.Error()
		u.noRecvmmsg.Store(true)
	}
	if err := wait.Probe(); err != nil {
		u.caps.Reason["ppoll"] = err.Error()
	}
}

// lostSendmmsg says whether errno is about sendmmsg, which is given up then,
// and not about a datagram: to send none tells.
func (u *Underlay) lostSendmmsg(fd int, errno unix.Errno) bool {
	if !missing(errno) || !missing(nothing(unix.SYS_SENDMMSG, fd)) {
		return false
	}
	u.giveUp("sendmmsg", &u.noSendmmsg, errno)
	return true
}

// nothing sends or receives no message at all, which works wherever the call
// does.
func nothing(call uintptr, fd int) unix.Errno {
	_, _, errno := unix.RawSyscall6(call, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno
}

// missing says whether errno is how kernels without a call, and filters of
// system calls, refuse one.
func missing(errno unix.Errno) bool {
	return errno == unix.ENOSYS || errno == unix.EPERM || errno == unix.EINVAL
}

func (u *Underlay) is6(fd int) bool {
	d, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	return err == nil && d == unix.AF_INET6
}

// buffer asks for a socket buffer of want bytes, by force (CAP_NET_ADMIN) and
// else within the system's limit, and returns what was granted.
func (u *Underlay) buffer(fd int, name string, want, force, plain int) int {
	var err error
	if want > 0 {
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, want); err != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, want)
		}
	}
	got, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, plain)
	if got < 2*want { // the kernel doubles what it is asked for (socket(7))
		u.caps.Reason[name] = fmt.Sprintf("asked for %d bytes, granted %d, to exceed the limit: %v; raise net.core.rmem_max and wmem_max", want, got/2, err)
	}
	return got
}

// Probe asks the kernel what its UDP sockets can do, on a socket that is bound
// to nothing.
func Probe() (Capabilities, error) {
	u := &Underlay{caps: Capabilities{Reason: map[string]string{}}}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return Capabilities{}, fmt.Errorf("open a UDP socket: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	u.probeSource(fd)
	err = u.probeReceiver(fd)
	return u.Capabilities(), err
}
