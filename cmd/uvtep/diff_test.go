package main

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/hostnet"
)

func diffLines(ds []difference) string {
	var out []string
	for _, d := range ds {
		out = append(out, d.String()+"\n")
	}
	return strings.Join(out, "")
}

func TestBothHalvesOfAChangeStandTogether(t *testing.T) {
	want, is := facts{}, facts{}
	want.add(aboutNeigh, source{}, "10.10.2.0 lladdr 02:00:00:00:00:02")
	want.add(aboutFDB, source{"subnets/10.10.2.0-24", 17}, "02:00:00:00:00:02 dst 192.0.2.2")
	want.add(aboutFDB, source{}, "02:00:00:00:00:04 dst 192.0.2.4")
	is.add(aboutFDB, source{rev: 9}, "02:00:00:00:00:02 dst 192.0.2.9")
	is.add(aboutFDB, source{}, "02:00:00:00:00:04 dst 192.0.2.4")
	is.add(aboutFDB, source{}, "02:00:00:00:00:01 dst 192.0.2.1")
	got := diffLines(compareFacts(want, is, "etcd", "agent"))
	if diff := cmp.Diff(`+ fdb 02:00:00:00:00:01 dst 192.0.2.1: in agent, not in etcd
- fdb 02:00:00:00:00:02 dst 192.0.2.2: in etcd, not in agent; key subnets/10.10.2.0-24; revision 17
+ fdb 02:00:00:00:00:02 dst 192.0.2.9: in agent, not in etcd; revision 9
- neigh 10.10.2.0 lladdr 02:00:00:00:00:02: in etcd, not in agent
`, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestADifferenceMustLast(t *testing.T) {
	at := func(rev int64) difference {
		return difference{Sign: "-", About: aboutFDB, What: "x", Key: "k", Rev: rev}
	}
	if got := stillThere([]difference{at(1), at(2)}, []difference{at(2), at(3)}); len(got) != 1 || got[0] != at(2) {
		t.Errorf("got %v, want only what was there before with the same value", got)
	}
}

// wished is what an agent wants of the kernel, in tests.
func wished() facts {
	v := heldView{
		selfView: selfView{MAC: ether.Addr{2, 0, 0, 0, 0, 1}, MTU: 1450, Addrs: []netip.Prefix{netip.MustParsePrefix("10.10.1.0/32")}, Bridge: "br0"},
		Routes:   []heldRoute{{Dst: netip.MustParsePrefix("10.10.2.0/24"), Via: netip.MustParseAddr("10.10.2.0"), Key: "subnets/10.10.2.0-24", Rev: 5}},
	}
	v.Kernel = v.Routes
	return v.wishes()
}

func TestTheKernelIsHeldToWhatIsWanted(t *testing.T) {
	overlay := netip.MustParsePrefix("10.10.0.0/16")
	route := func(dst, via, dev string, proto int, ours bool) hostnet.SeenRoute {
		return hostnet.SeenRoute{Route: hostnet.Route{Dst: netip.MustParsePrefix(dst), Via: netip.MustParseAddr(via)}, Dev: dev, Protocol: proto, Ours: ours}
	}
	good := func() kernelSide {
		return kernelSide{
			tap: &hostnet.Link{
				MAC: ether.Addr{2, 0, 0, 0, 0, 1}, MTU: 1450, Up: true, Bridge: "br0",
				Addrs: []netip.Prefix{netip.MustParsePrefix("10.10.1.0/32"), netip.MustParsePrefix("fe80::1/64"), netip.MustParsePrefix("198.51.100.1/24")},
			},
			open:   1,
			routes: []hostnet.SeenRoute{route("10.10.2.0/24", "10.10.2.0", "uvtep.1", hostnet.RouteProtocol, true), route("10.10.1.0/24", "10.10.1.1", "docker0", 2, false)},
		}
	}
	for _, c := range []struct {
		name  string
		spoil func(*kernelSide)
		want  string
	}{
		{"as it shall be, with foreign addresses", func(*kernelSide) {}, ""},
		{"no TAP", func(k *kernelSide) { k.tap, k.routes = nil, nil }, "- route 10.10.2.0/24 via 10.10.2.0: in agent, not in kernel; key subnets/10.10.2.0-24; revision 5\n- tap device: in agent, not in kernel\n"},
		{"down", func(k *kernelSide) { k.tap.Up = false }, "- tap up: in agent, not in kernel\n"},
		{"another MTU", func(k *kernelSide) { k.tap.MTU = 1400 }, "- tap mtu 1450: in agent, not in kernel\n+ tap mtu 1400: in kernel, not in agent\n"},
		{"no bridge", func(k *kernelSide) { k.tap.Bridge = "" }, "- tap master br0: in agent, not in kernel\n"},
		{"no address", func(k *kernelSide) { k.tap.Addrs = nil }, "- tap inet 10.10.1.0/32: in agent, not in kernel\n"},
		{"an address of the overlay more", func(k *kernelSide) { k.tap.Addrs = append(k.tap.Addrs, netip.MustParsePrefix("10.10.9.0/32")) }, "+ tap inet 10.10.9.0/32: in kernel, not in agent\n"},
		{"two programs", func(k *kernelSide) { k.open = 2 }, "- tap open by 1 program: in agent, not in kernel\n+ tap open by 2 programs: in kernel, not in agent\n"},
		{"a foreign route to a part", func(k *kernelSide) {
			k.routes = append(k.routes, route("10.10.2.64/26", "192.0.2.9", "eth0", 4, false))
		}, "+ route 10.10.2.64/26 via 192.0.2.9 dev eth0 proto 4: in kernel, not in agent\n"},
		{"a route of ours to nobody", func(k *kernelSide) {
			k.routes = append(k.routes, route("10.10.7.0/24", "10.10.7.0", "uvtep.1", hostnet.RouteProtocol, true))
		}, "+ route 10.10.7.0/24 via 10.10.7.0: in kernel, not in agent\n"},
	} {
		k := good()
		c.spoil(&k)
		w := wished()
		if diff := cmp.Diff(c.want, diffLines(compareFacts(w, k.facts(w, overlay), "agent", "kernel"))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestAPartOfADestinationIsFound(t *testing.T) {
	var ps []netip.Prefix
	for _, s := range []string{"10.10.2.0/24", "10.10.3.0/24", "10.10.8.0/22", "fd00::/64"} {
		ps = append(ps, netip.MustParsePrefix(s))
	}
	slices.SortFunc(ps, netip.Prefix.Compare)
	for text, want := range map[string]bool{
		"10.10.2.0/24": true, "10.10.2.0/25": true, "10.10.2.128/25": true, "10.10.0.0/16": false, "10.10.2.0/23": false,
		"10.10.9.0/24": true, "10.10.12.0/24": false, "10.10.4.0/24": false, "fd00::1/128": true, "10.10.1.255/32": false,
	} {
		if got := overlapsOne(ps, netip.MustParsePrefix(text)); got != want {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}
