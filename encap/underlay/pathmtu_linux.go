package underlay

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// PathMTU returns how large a datagram to a VTEP may be, in bytes of outer IP:
// what the kernel has learned of its path (RFC 1191, RFC 8201), else the route's
// MTU. The kernel learns from the ICMP errors that our own datagrams bring back
// (net/ipv4/udp.c, __udp4_lib_err) and forgets after ten minutes.
func (u *Underlay) PathMTU(vtep netip.Addr) (int, error) {
	// A socket keeps the value it had when it connected, so each question takes
	// a new one. No datagram is sent.
	fd, err := unix.Socket(domain(vtep), unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("path MTU to %s: %w", vtep, err)
	}
	defer func() { _ = unix.Close(fd) }()
	level, name, own := unix.IPPROTO_IP, unix.IP_MTU, u.conf.Addr4
	if vtep.Is6() {
		level, name, own = unix.IPPROTO_IPV6, unix.IPV6_MTU, u.conf.Addr6
	}
	if own.IsValid() {
		err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(own, 0)))
	}
	if err == nil {
		err = unix.Connect(fd, sockaddr(netip.AddrPortFrom(vtep, u.conf.Port)))
	}
	mtu := 0
	if err == nil {
		mtu, err = unix.GetsockoptInt(fd, level, name)
	}
	if err != nil {
		return 0, fmt.Errorf("path MTU to %s: %w", vtep, err)
	}
	return mtu, nil
}
