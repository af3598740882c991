package hostnet

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// site is one host with all that masquerading is about:
//
//	container 10.10.238.2 ──c0── host ──eth0── outside 192.0.2.1
//	                              │
//	                           uvtep.1 ── remote 10.10.5.3, another host's container
//
// and the same with fd00:… Everybody but the outside knows the way to everybody.
type site struct {
	*space
	container, outside, remote netns.NsHandle
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{space: newSpace(t)}
	s.container = s.attach("c0", end{
		near: []string{"10.10.238.1/24", "fd00:10:238::1/64", "fe80::1/64"},
		far:  []string{"10.10.238.2/24", "fd00:10:238::2/64", "fe80::2/64"},
		via:  map[string]string{"0.0.0.0/0": "10.10.238.1", "::/0": "fd00:10:238::1"},
	})
	s.outside = s.attach("eth0", end{
		near: []string{"192.0.2.2/24", "2001:db8::2/64", "fe80::1/64"},
		far:  []string{"192.0.2.1/24", "2001:db8::1/64", "fe80::2/64"},
		via:  map[string]string{"0.0.0.0/0": "192.0.2.2", "::/0": "2001:db8::2"},
	})
	s.remote = s.attach("uvtep.1", end{
		far: []string{"10.10.5.3/24", "fd00:10:5::3/64", "fe80::2/64"},
		via: map[string]string{"0.0.0.0/0": "10.10.238.0", "::/0": "fd00:10:238::"},
	})
	_, err := s.EnsureLink("uvtep.1", LinkConfig{Addrs: []netip.Prefix{
		netip.MustParsePrefix("10.10.238.0/32"), netip.MustParsePrefix("fd00:10:238::/128"),
	}})
	s.check(err)
	s.route("uvtep.1", "10.10.5.0/24", "10.10.5.3", nil)
	s.route("uvtep.1", "fd00:10:5::/64", "fd00:10:5::3", nil)
	for _, key := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding"} {
		s.do(func() error { return os.WriteFile("/proc/sys/net/"+key, []byte("1"), 0o644) })
	}
	return s
}

// end is what goes on the two ends of a cable: addresses, and the far end's
// routes to the host.
type end struct {
	near, far []string
	via       map[string]string
}

// attach connects a namespace of its own to the host.
func (s *site) attach(name string, e end) netns.NsHandle {
	s.t.Helper()
	ns := newNamespace(s.t)
	s.far = ns
	s.cable(name, 1500, e.near...)
	there := &space{t: s.t, ns: ns, nl: newHandle(s.t, ns)}
	there.up("lo")
	for _, a := range e.far {
		there.addr(name, a)
	}
	for dst, via := range e.via {
		there.route(name, dst, via, nil)
	}
	return ns
}

// meet sends one UDP datagram from an address in one namespace to another, and
// returns the address that the receiver sees it come from.
func (s *site) meet(fromNS netns.NsHandle, from string, toNS netns.NsHandle, to string, mark int) string {
	s.t.Helper()
	var receiver *net.UDPConn
	s.check(enter(toNS, func() (err error) {
		receiver, err = listen(to)
		return err
	}))
	defer receiver.Close()
	port := receiver.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	s.check(enter(fromNS, func() error {
		c := net.Dialer{
			LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0)),
			Control: func(_, _ string, c syscall.RawConn) error {
				var err error
				_ = c.Control(func(fd uintptr) {
					err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, mark)
					if netip.MustParseAddr(to).IsMulticast() {
						err = errors.Join(err, unix.BindToDevice(int(fd), "eth0"))
					}
				})
				return err
			},
		}
		sender, err := c.Dial("udp", netip.AddrPortFrom(netip.MustParseAddr(to), port).String())
		if err != nil {
			return err
		}
		defer sender.Close()
		_, err = sender.Write([]byte("hello"))
		return err
	}))
	s.check(receiver.SetReadDeadline(time.Now().Add(10 * time.Second))) // a datagram that is lost is a failure, not a hang
	_, seen, err := receiver.ReadFromUDPAddrPort(make([]byte, 16))
	s.check(err)
	return seen.Addr().Unmap().String()
}

// listen opens a receiver for an address, of one station or of many.
func listen(addr string) (*net.UDPConn, error) {
	a := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(addr), 0))
	if !a.IP.IsMulticast() {
		return net.ListenUDP("udp", a)
	}
	eth0, err := net.InterfaceByName("eth0")
	if err != nil {
		return nil, err
	}
	return net.ListenMulticastUDP("udp", eth0, a)
}

func enter(ns netns.NsHandle, f func() error) error {
	return inThread(func() error {
		if err := netns.Set(ns); err != nil {
			return err
		}
		return f()
	})
}
