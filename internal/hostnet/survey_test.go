package hostnet

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnderlayLogsTheWordsThatUsersLookFor(t *testing.T) {
	for _, c := range []struct {
		name string
		o    UnderlayOptions
		want []string
	}{
		{"by default", UnderlayOptions{}, []string{
			"Determining IP address of default interface",
			"Using interface with name eth0 and address 10.146.0.3",
			"Defaulting external address to interface address (10.146.0.3)"}},
		{"by name, with a public address", UnderlayOptions{Iface: []string{"eth0"}, PublicIP: netip.MustParseAddr("34.1.2.3")}, []string{
			"Using interface with name eth0 and address 10.146.0.3",
			"Using 34.1.2.3 as external address"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSpace(t)
			s.cable("eth0", 1460, "10.146.0.3/32")
			s.route("eth0", "0.0.0.0/0", "10.146.0.1", nil)
			if _, err := s.FindUnderlay(c.o); err != nil {
				t.Fatal(err)
			}
			if got := s.messages(); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// messages are the lines logged so far.
func (s *space) messages() []string {
	var all []string
	for line := range strings.Lines(s.log.String()) {
		var l struct{ Message string }
		s.check(json.Unmarshal([]byte(line), &l))
		all = append(all, l.Message)
	}
	return all
}

func TestAddressesAreTriedBestFirst(t *testing.T) {
	best := []addr{ // in the order wanted
		{prefix: netip.MustParsePrefix("192.0.2.1/24")},
		{prefix: netip.MustParsePrefix("192.0.2.2/24"), flags: unix.IFA_F_SECONDARY},
		{prefix: netip.MustParsePrefix("169.254.0.1/16")},
		{prefix: netip.MustParsePrefix("192.0.2.3/24"), flags: unix.IFA_F_DEPRECATED},
		{prefix: netip.MustParsePrefix("192.0.2.4/24"), flags: unix.IFA_F_TENTATIVE | unix.IFA_F_OPTIMISTIC},
		{prefix: netip.MustParsePrefix("192.0.2.5/24"), flags: unix.IFA_F_TENTATIVE | unix.IFA_F_OPTIMISTIC | unix.IFA_F_DEPRECATED},
	}
	for i := range best[1:] {
		if a, b := best[i], best[i+1]; a.demerits() >= b.demerits() {
			t.Errorf("%v has %d demerits, %v has %d: want fewer", a, a.demerits(), b, b.demerits())
		}
	}
	for _, useless := range []addr{
		{prefix: netip.MustParsePrefix("127.0.0.1/8")},
		{prefix: netip.MustParsePrefix("fe80::1/64")},
		{prefix: netip.MustParsePrefix("2001:db8::1/64"), flags: unix.IFA_F_DADFAILED},
		{prefix: netip.MustParsePrefix("2001:db8::1/64"), flags: unix.IFA_F_TENTATIVE},
	} {
		if useless.usable() {
			t.Errorf("%v is usable", useless)
		}
	}
}
