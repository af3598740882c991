package hostnet

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/rs/zerolog"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// needRoot ends a test that cannot work without root: with a failure where the
// laboratory is required, with a skip elsewhere.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("UVTEP_LAB") == "require" {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	t.Skip("needs root to make network namespaces; UVTEP_LAB=require makes this a failure")
}

// space is a network namespace of a test's own, without a name, gone with the
// test. Its Host is the code under test; nl is the test's own hand. What is at
// the other end of its cables is another namespace, far.
type space struct {
	*Host
	t   testing.TB
	ns  netns.NsHandle
	far netns.NsHandle
	nl  *netlink.Handle
	log *bytes.Buffer // the Host's log, JSON
}

// newSpace returns an empty namespace with its loopback up.
func newSpace(t testing.TB) *space {
	t.Helper()
	needRoot(t)
	s := &space{t: t, ns: newNamespace(t), far: newNamespace(t), log: &bytes.Buffer{}}
	s.nl = newHandle(t, s.ns)
	var err error
	s.Host, err = Open(Config{Namespace: s.path(), Log: zerolog.New(s.log)})
	s.check(err)
	t.Cleanup(s.Host.Close)
	s.up("lo")
	return s
}

func newNamespace(t testing.TB) netns.NsHandle {
	t.Helper()
	var ns netns.NsHandle
	err := inThread(func() (err error) {
		ns, err = netns.New()
		return err
	})
	if err != nil {
		t.Fatalf("make a network namespace: %v", err)
	}
	t.Cleanup(func() { ns.Close() })
	return ns
}

func newHandle(t testing.TB, ns netns.NsHandle) *netlink.Handle {
	t.Helper()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

// path names the namespace as long as the test holds it open.
func (s *space) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), int(s.ns)) }

// do runs f inside the namespace. What f opens stays there.
func (s *space) do(f func() error) {
	s.t.Helper()
	s.check(inThread(func() error {
		if err := netns.Set(s.ns); err != nil {
			return err
		}
		return f()
	}))
}

// inThread runs f on a thread of its own that dies with it, so that whatever
// namespace f enters cannot leak into other goroutines.
func inThread(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here
		done <- f()
	}()
	return <-done
}

func (s *space) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// link finds an interface that must be there.
func (s *space) link(name string) netlink.Link {
	s.t.Helper()
	l, err := s.nl.LinkByName(name)
	s.check(err)
	return l
}

// cable makes an interface with addresses, the near end of a cable to far, and
// brings both ends up. The kernel gives it no address by itself: that would come
// when it likes.
func (s *space) cable(name string, mtu int, addrs ...string) netlink.Link {
	s.t.Helper()
	s.check(s.nl.LinkAdd(&netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: name, MTU: mtu},
		PeerName:      name,
		PeerNamespace: netlink.NsFd(s.far),
	}))
	far := newHandle(s.t, s.far)
	peer, err := far.LinkByName(name)
	s.check(err)
	s.check(far.LinkSetIP6AddrGenMode(peer, addrGenModeNone))
	s.check(far.LinkSetUp(peer))
	s.check(s.nl.LinkSetIP6AddrGenMode(s.link(name), addrGenModeNone))
	for _, a := range addrs {
		s.addr(name, a)
	}
	s.up(name)
	return s.link(name)
}

// tap makes a persistent TAP that nobody has open.
func (s *space) tap(name string) netlink.Link {
	s.t.Helper()
	s.do(func() error {
		return netlink.LinkAdd(&netlink.Tuntap{
			LinkAttrs: netlink.LinkAttrs{Name: name},
			Mode:      netlink.TUNTAP_MODE_TAP,
		})
	})
	return s.link(name)
}

func (s *space) up(name string)   { s.t.Helper(); s.check(s.nl.LinkSetUp(s.link(name))) }
func (s *space) down(name string) { s.t.Helper(); s.check(s.nl.LinkSetDown(s.link(name))) }

func (s *space) addr(name, cidr string) {
	s.t.Helper()
	a, err := netlink.ParseAddr(cidr)
	s.check(err)
	if a.IP.To4() == nil {
		a.Flags = unix.IFA_F_NODAD // usable at once
	}
	s.check(s.nl.AddrAdd(s.link(name), a))
}

func (s *space) removeAddr(name, cidr string) {
	s.t.Helper()
	a, err := netlink.ParseAddr(cidr)
	s.check(err)
	s.check(s.nl.AddrDel(s.link(name), a))
}

// route adds a route in words: "10.0.0.0/8 via 192.0.2.1", with what more sets.
func (s *space) route(dev, dst, via string, more func(*netlink.Route)) {
	s.t.Helper()
	p := netip.MustParsePrefix(dst)
	r := netlink.Route{LinkIndex: s.link(dev).Attrs().Index, Dst: ipNet(p), Protocol: unix.RTPROT_STATIC}
	if via != "" {
		r.Gw = netip.MustParseAddr(via).AsSlice()
		r.SetFlag(netlink.FLAG_ONLINK)
	}
	if more != nil {
		more(&r)
	}
	s.check(s.nl.RouteAdd(&r))
}
