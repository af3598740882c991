package hostnet

import (
	"errors"
	"net/netip"
	"os"
	"syscall"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// subscriptionBuffer is how many bytes of announcements the kernel may
	// hold for us: those of ten thousand routes that come at once.
	subscriptionBuffer = 16 << 20
	// datagramLen is the most that the kernel sends in one piece.
	datagramLen = 64 << 10
	// maxDrain is how many datagrams are taken before what they say is acted
	// upon, so that a flood without end delays nothing for ever.
	maxDrain = 1024
)

// subscription is a socket on which the kernel announces changes.
type subscription struct {
	file *os.File
	conn syscall.RawConn
	buf  []byte
}

// subscribe hears of interfaces, addresses and routes from now on.
func (h *Host) subscribe() (*subscription, error) {
	fd := -1
	err := h.inside(func() (err error) {
		fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &subscription{file: os.NewFile(uintptr(fd), "netlink"), buf: make([]byte, datagramLen)}
	// A smaller buffer is no fault: what overruns it is looked for everywhere.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, subscriptionBuffer)
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		s.close()
		return nil, os.NewSyscallError("bind", err)
	}
	if s.conn, err = s.file.SyscallConn(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// close ends the subscription and wakes receive. It may be called twice.
func (s *subscription) close() { _ = s.file.Close() }

// receive waits for announcements, then takes all there are. overrun says that
// the kernel had more than it could hold, and dropped some.
func (s *subscription) receive(note func(syscall.NetlinkMessage)) (overrun bool, err error) {
	var fault error
	err = s.conn.Read(func(fd uintptr) bool {
		for n := range maxDrain {
			msgs, err := s.read(int(fd))
			switch {
			case errors.Is(err, unix.EAGAIN):
				return n > 0
			case errors.Is(err, unix.ENOBUFS):
				overrun = true
			case err != nil && !errors.Is(err, unix.EINTR):
				fault = err
				return true
			}
			for _, m := range msgs {
				note(m)
			}
		}
		return true
	})
	return overrun, errors.Join(err, fault)
}

// read takes one datagram.
func (s *subscription) read(fd int) ([]syscall.NetlinkMessage, error) {
	n, _, err := unix.Recvfrom(fd, s.buf, 0)
	if err != nil {
		return nil, err
	}
	return syscall.ParseNetlinkMessage(s.buf[:n])
}

// about says what an announcement is about.
type about uint8

const (
	aboutNothing   about = iota // that is ours to know
	aboutInterface              // or its addresses
	aboutRoute                  // in the main table
)

// announcement is a kernel's message as far as it says where to look.
type announcement struct {
	about about
	port  uint32       // of the socket that asked for the change, 0 for none
	index int          // the interface
	dst   netip.Prefix // the route's
	lost  bool         // a route of our protocol number was removed
}

// newAnnouncement reads m, which may be anything.
func newAnnouncement(m syscall.NetlinkMessage) announcement {
	a := announcement{port: m.Header.Pid}
	switch m.Header.Type {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if len(m.Data) >= unix.SizeofIfInfomsg {
			a.about, a.index = aboutInterface, int(nl.DeserializeIfInfomsg(m.Data).Index)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if len(m.Data) >= unix.SizeofIfAddrmsg {
			a.about, a.index = aboutInterface, int(nl.DeserializeIfAddrmsg(m.Data).Index)
		}
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		a.readRoute(m)
	}
	return a
}

// readRoute reads an announcement of a route.
func (a *announcement) readRoute(m syscall.NetlinkMessage) {
	if len(m.Data) < unix.SizeofRtMsg {
		return
	}
	msg := nl.DeserializeRtMsg(m.Data)
	if msg.Table != unix.RT_TABLE_MAIN || msg.Flags&unix.RTM_F_CLONED != 0 {
		return
	}
	a.about = aboutRoute
	a.lost = m.Header.Type == unix.RTM_DELROUTE && msg.Protocol == RouteProtocol
	dst := netip.IPv4Unspecified()
	if msg.Family == unix.AF_INET6 {
		dst = netip.IPv6Unspecified()
	}
	for kind, value := range attrs(m.Data[unix.SizeofRtMsg:]) {
		if kind == unix.RTA_DST {
			dst, _ = netip.AddrFromSlice(value)
		}
	}
	a.dst = netip.PrefixFrom(dst, int(msg.Dst_len))
}
