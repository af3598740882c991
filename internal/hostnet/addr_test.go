package hostnet

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestStaleAddresses(t *testing.T) {
	p := netip.MustParsePrefix
	want := []netip.Prefix{p("10.10.238.0/32")}
	for _, c := range []struct {
		name string
		have []addr
		gone []string
	}{
		{"a marked one that is not wanted", []addr{
			{index: 7, prefix: p("10.10.238.0/32"), proto: AddrProtocol},
			{index: 7, prefix: p("10.10.9.0/32"), proto: AddrProtocol},
			{index: 7, prefix: p("10.10.3.1/24"), proto: AddrProtocol},
		}, []string{"10.10.9.0/32", "10.10.3.1/24"}},
		{"not one of another interface", []addr{{index: 8, prefix: p("10.10.9.0/32"), proto: AddrProtocol}}, nil},
		{"not a user's, where the kernel keeps marks", []addr{
			{index: 7, prefix: p("10.10.238.0/32"), proto: AddrProtocol},
			{index: 7, prefix: p("10.10.9.0/32")},
		}, nil},
		{"one of our form, where the kernel forgets marks", []addr{
			{index: 7, prefix: p("10.10.238.0/32")},
			{index: 7, prefix: p("10.10.9.0/32")},
			{index: 7, prefix: p("10.10.3.7/24")},
			{index: 8, prefix: p("10.10.8.0/32")},
		}, []string{"10.10.9.0/32"}},
		{"the kernel's own link-local one", []addr{
			{index: 7, prefix: p("fe80::1/64"), proto: kernelLinkLocal},
			{index: 7, prefix: p("fe80::2/64")},
		}, []string{"fe80::1/64"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			same(t, "stale", texts(stale(c.have, 7, want)), c.gone)
		})
	}
}

func TestALinkThatIsNotThere(t *testing.T) {
	s := newSpace(t)
	_, err := s.FindLink("uvtep.1")
	if !errors.Is(err, ErrNoLink) || !strings.Contains(err.Error(), "uvtep.1") {
		t.Errorf("FindLink: got %v, want ErrNoLink with the name", err)
	}
	if _, err := s.EnsureLink("uvtep.1", dressed()); !errors.Is(err, ErrNoLink) {
		t.Errorf("EnsureLink: got %v, want ErrNoLink", err)
	}
	if err := errors.Join(s.SetDown("uvtep.1"), s.DeleteLink("uvtep.1")); err != nil {
		t.Errorf("SetDown, DeleteLink: %v", err)
	}
}

func TestSetDownAndDeleteLink(t *testing.T) {
	s := newSpace(t)
	s.tap("uvtep.1")
	s.tap("uvtep.2")
	s.up("uvtep.1")
	s.check(s.SetDown("uvtep.1"))
	if l, err := s.FindLink("uvtep.1"); err != nil || l.Up {
		t.Errorf("got %+v, %v, want it down", l, err)
	}
	s.check(s.DeleteLink("uvtep.1"))
	if _, err := s.FindLink("uvtep.1"); !errors.Is(err, ErrNoLink) {
		t.Errorf("got %v, want ErrNoLink", err)
	}
	if _, err := s.FindLink("uvtep.2"); err != nil {
		t.Errorf("the other TAP: %v", err)
	}
}

func FuzzParseAddr(f *testing.F) {
	f.Add([]byte{})                                                              // nothing
	f.Add([]byte{unix.AF_INET, 24, 0, 0, 1, 0, 0, 0})                            // no attributes: no address
	f.Add([]byte{unix.AF_INET, 32, 0, 0, 1, 0, 0, 0, 8, 0, 2, 0, 10, 5, 10, 0})  // IFA_LOCAL
	f.Add([]byte{unix.AF_INET, 33, 0, 0, 1, 0, 0, 0, 8, 0, 2, 0, 10, 5, 10, 0})  // longer than the address
	f.Add([]byte{unix.AF_INET, 24, 0, 0, 1, 0, 0, 0, 4, 0, 11, 0, 4, 0, 8, 0})   // empty IFA_PROTO, empty IFA_FLAGS
	f.Add([]byte{unix.AF_INET6, 64, 0, 0, 1, 0, 0, 0, 3, 0, 1, 0, 255, 0, 1, 0}) // attributes shorter and longer than they say
	f.Fuzz(func(t *testing.T, m []byte) {
		a, ok := parseAddr(slices.Clone(m))
		if ok && !a.prefix.IsValid() {
			t.Fatalf("accepted %+v", a)
		}
	})
}
