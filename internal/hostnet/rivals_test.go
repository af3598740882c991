package hostnet

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

func TestRivalsAreFoundAndNamed(t *testing.T) {
	s := newSpace(t)
	s.cable("eth0", 1500, "192.0.2.2/24")
	overlay := netip.MustParsePrefix("10.10.0.0/16")
	find := func() []Rival {
		t.Helper()
		rs, err := s.Rivals(4789, overlay, netip.Prefix{})
		s.check(err)
		return rs
	}
	vxlan := func(name string, vni, port int) {
		t.Helper()
		s.check(s.nl.LinkAdd(&netlink.Vxlan{LinkAttrs: netlink.LinkAttrs{Name: name}, VxlanId: vni, Port: port, VtepDevIndex: s.index("eth0")}))
	}
	// Ours, a bridge with its own subnet, and tunnels that have nothing to do
	// with the overlay are no rivals.
	s.tap("uvtep.1")
	s.check(s.nl.LinkSetAlias(s.link("uvtep.1"), alias))
	s.up("uvtep.1")
	s.route("uvtep.1", "10.10.9.0/24", "10.10.9.0", nil)
	s.cable("docker0", 1450, "10.10.3.1/24")
	vxlan("flannel.1", 1, 4789) // down: its socket is closed
	vxlan("other", 7, 8472)
	s.up("other")
	s.addr("other", "172.16.0.1/16")
	if rs := find(); len(rs) != 0 {
		t.Fatalf("rivals before there are any: %v", rs)
	}
	s.up("flannel.1")
	s.route("flannel.1", "10.10.4.0/24", "10.10.4.0", nil)
	s.route("flannel.1", "10.10.5.0/24", "10.10.5.0", nil)
	s.route("other", "10.10.6.0/24", "10.10.6.0", nil)
	want := []Rival{
		{Name: "flannel.1", VNI: 1, Port: 4789, HoldsPort: true, Routes: []netip.Prefix{netip.MustParsePrefix("10.10.4.0/24"), netip.MustParsePrefix("10.10.5.0/24")}},
		{Name: "other", VNI: 7, Port: 8472, Routes: []netip.Prefix{netip.MustParsePrefix("10.10.6.0/24")}},
	}
	got := find()
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for i, text := range []string{
		"flannel.1, the kernel's vxlan device with VNI 1 and UDP port 4789, has 2 routes into the overlay, to 10.10.4.0/24 and others",
		"other, the kernel's vxlan device with VNI 7 and UDP port 8472, has the route to 10.10.6.0/24",
	} {
		if i < len(got) && got[i].String() != text {
			t.Errorf("got %q, want %q", got[i], text)
		}
	}
}
