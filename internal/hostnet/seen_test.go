package hostnet

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestRoutesAreSeenWhoeverMadeThem(t *testing.T) {
	s := newSpace(t)
	s.cable("eth0", 1500, "192.0.2.1/24")
	s.tap("tap0")
	s.up("tap0")
	ours := func(r *netlink.Route) { r.Protocol = RouteProtocol }
	s.route("tap0", "10.10.2.0/24", "10.10.2.0", ours)
	s.route("tap0", "10.10.3.0/24", "10.10.3.0", func(r *netlink.Route) { r.Protocol, r.Priority = RouteProtocol, 7 })
	s.route("tap0", "10.99.0.0/24", "10.99.0.1", nil)
	s.route("eth0", "10.10.4.0/25", "192.0.2.9", nil)
	s.route("eth0", "10.11.0.0/16", "192.0.2.9", nil) // nobody's business
	rs, err := s.RoutesInto("tap0", netip.MustParsePrefix("10.10.0.0/16"))
	s.check(err)
	var got []string
	for _, r := range rs {
		got = append(got, r.String())
		if want := r.String() == "10.10.2.0/24 via 10.10.2.0 dev tap0 proto 86"; r.Ours != want {
			t.Errorf("%s: ours %v, want %v", r, r.Ours, want)
		}
	}
	slices.Sort(got)
	want := "10.10.2.0/24 via 10.10.2.0 dev tap0 proto 86; 10.10.3.0/24 via 10.10.3.0 dev tap0 proto 86 metric 7; " +
		"10.10.4.0/25 via 192.0.2.9 dev eth0 proto 4; 10.99.0.0/24 via 10.99.0.1 dev tap0 proto 4"
	if strings.Join(got, "; ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), want)
	}
}

func TestTheHolderOfATAPIsFound(t *testing.T) {
	s := newSpace(t)
	s.tap("tap0")
	if ps := s.TAPHolders("tap0"); len(ps) != 0 {
		t.Errorf("nobody has it open: got %v", ps)
	}
	var fd int
	s.do(func() error {
		var err error
		if fd, err = unix.Open(TUNPath, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			return err
		}
		ifr, err := unix.NewIfreq("tap0")
		if err != nil {
			return err
		}
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		return unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	})
	defer unix.Close(fd)
	// This process lives in another namespace than the TAP, as far as /proc tells.
	if ps := s.TAPHolders("tap0"); len(ps) != 0 {
		t.Errorf("a process of another namespace: got %v", ps)
	}
	own, err := Open(Config{})
	s.check(err)
	defer own.Close()
	if ps := own.TAPHolders("tap0"); len(ps) != 1 || ps[0].PID != os.Getpid() || ps[0].Name == "" {
		t.Errorf("got %v, want this process", ps)
	}
}
