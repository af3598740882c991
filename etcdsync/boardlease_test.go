package etcdsync

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rs/zerolog"
	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
)

func TestALeaseBringsExactlyOneRouteOneBindingAndOneEntry(t *testing.T) {
	w := newWorld(t)
	w.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	want := view{
		FDB:    map[fdb.Key]string{{VNI: 1, MAC: mac(2)}: "{To:192.0.2.2:4789 Alt:invalid IP} lease 1"},
		ARP:    map[arpproxy.Key]arpproxy.Binding{{VNI: 1, IP: addr("10.10.2.0")}: {MAC: mac(2), Origin: fdb.Lease, Rev: 1}},
		Routes: []Route{{prefix("10.10.2.0/24"), addr("10.10.2.0"), false}},
		VTEPs:  map[encap.VNI][]string{1: {"192.0.2.2:4789"}},
	}
	got := viewOf(w.tables())
	if diff := cmp.Diff(got, want, cmpNetip, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(view{}, "Peers")); diff != "" {
		t.Errorf("got- want+:\n%s", diff)
	}
	w.del(leaseB)
	w.wantNothing(w.tables())
}

func TestAHostWithANewAddressOrMACLeavesNothingStale(t *testing.T) {
	tests := []struct {
		name, value string
		ip          string
		mac         ether.Addr
	}{
		{"another address", leaseOf(nodeB, "192.0.2.99", mac(2)), "192.0.2.99", mac(2)},
		{"another MAC address", leaseOf(nodeB, "192.0.2.2", mac(9)), "192.0.2.2", mac(9)},
		{"both", leaseOf(nodeB, "192.0.2.99", mac(9)), "192.0.2.99", mac(9)},
		{"another host altogether", leaseOf(nodeC, "192.0.2.99", mac(9)), "192.0.2.99", mac(9)},
		{"flannel", leaseOf("", "192.0.2.99", mac(9)), "192.0.2.99", mac(9)},
	}
	for _, tt := range tests {
		for _, how := range []string{"heard of", "listed", "deleted and put anew"} {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				w := newWorld(t)
				w.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
				before := w.tables()
				switch how {
				case "heard of":
					w.put(leaseB, tt.value)
				case "listed":
					w.h.put(leaseB, tt.value)
					relist(w.in, w.h)
				default:
					w.del(leaseB)
					w.put(leaseB, tt.value)
				}
				after := w.tables()
				w.wantEntry(after, 1, tt.mac, tt.ip+":4789")
				w.wantBinding(after, 1, "10.10.2.0", tt.mac)
				if after.FDB.Len() != 1 || after.ARP.Len() != 1 || after.Routes.Len() != 1 || after.FDB.VTEPs(1).Len() != 1 {
					t.Errorf("got %+v, want one of each", viewOf(after))
				}
				if got := after.FDB.Accepts(1, addr("192.0.2.2")); got != (tt.ip == "192.0.2.2") {
					t.Errorf("old address accepted: got %t", got)
				}
				w.wantEntry(before, 1, mac(2), "192.0.2.2:4789") // tables given out do not change
				if want := []Change{{arpproxy.Key{VNI: 1, IP: addr("10.10.2.0")}, tt.mac}}; !slices.Equal(after.Changed, want) {
					t.Errorf("changed: got %v, want %v", after.Changed, want)
				}
				w.del(leaseB)
				w.wantNothing(w.tables())
			})
		}
	}
}

func TestEventsAreLoggedInThePredecessorsWords(t *testing.T) {
	w := newWorld(t)
	w.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	w.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2))) // written again now and then: no news
	w.del(leaseB)
	want := []string{
		"adding subnet: 10.10.2.0/24 PublicIP: 192.0.2.2 VtepMAC: 02:00:00:00:00:02",
		"calling AddARP: 10.10.2.0, 02:00:00:00:00:02",
		"calling AddFDB: 192.0.2.2:4789, 02:00:00:00:00:02",
		"removing subnet: 10.10.2.0/24",
	}
	if diff := cmp.Diff(w.messages(), want); diff != "" {
		t.Errorf("got- want+:\n%s", diff)
	}
}

func TestALeaseWrittenAgainChangesItsRevisionOnly(t *testing.T) {
	w := newWorld(t)
	w.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	before := w.tables()
	w.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	after := w.tables()
	if len(after.Changed) != 0 {
		t.Errorf("changed: got %v, want none", after.Changed)
	}
	if before.Routes != after.Routes {
		t.Error("the routes were made anew")
	}
	if e, _ := after.FDB.Lookup(1, mac(2)); e.Rev != 2 {
		t.Errorf("revision: got %d, want 2", e.Rev)
	}
	if p, _ := after.Peers.Get(leaseB); p == nil || p.Rev != 2 {
		t.Errorf("peer: got %+v, want revision 2", p)
	}
}

func TestAFlannelHostOfBothFamiliesHasTwoEntriesAndOneFloodCopy(t *testing.T) {
	w := newWorld(t)
	w.put("subnets/10.10.2.0-24&fd00:10:0:2::-64", `{"PublicIP":"192.0.2.2","PublicIPv6":"fd00::2","BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:02"},"BackendV6Data":{"VNI":1,"VtepMAC":"02:00:00:00:00:06"}}`)
	got := w.tables()
	w.wantEntry(got, 1, mac(2), "192.0.2.2:4789")
	w.wantEntry(got, 1, mac(6), "[fd00::2]:4789")
	w.wantBinding(got, 1, "10.10.2.0", mac(2))
	w.wantBinding(got, 1, "fd00:10:0:2::", mac(6))
	if n := got.FDB.VTEPs(1).Len(); n != 1 {
		t.Errorf("flood copies: got %d, want 1", n)
	}
	for _, a := range []string{"192.0.2.2", "fd00::2"} {
		if !got.FDB.Accepts(1, addr(a)) {
			t.Errorf("%s is not accepted", a)
		}
	}
	if e, _ := got.FDB.Lookup(1, mac(6)); !e.VTEP.Owns(addr("192.0.2.2")) {
		t.Error("the IPv6 device's frames may come over IPv4 too")
	}
	if got.Routes.Len() != 2 {
		t.Errorf("routes: got %v, want one a family", got.Routes.Sorted())
	}
	for _, r := range got.Routes.Sorted() {
		if r.Over6 != r.Dst.Addr().Is6() {
			t.Errorf("route to %s: over IPv6 %t; it goes where its subnet's device is", r.Dst, r.Over6)
		}
	}
}

func TestAUvtepHostOfBothFamiliesIsOneVTEP(t *testing.T) {
	w := newWorld(t)
	data := `{"VNI":1,"VtepMAC":"02:00:00:00:00:02","NodeID":"` + nodeB + `","Port":4790}`
	w.put("subnets/10.10.2.0-24&fd00:10:0:2::-64", `{"PublicIP":"192.0.2.2","PublicIPv6":"fd00::2","BackendType":"vxlan","BackendData":`+data+`,"BackendV6Data":`+data+`}`)
	got := w.tables()
	w.wantEntry(got, 1, mac(2), "192.0.2.2:4790")
	w.wantBinding(got, 1, "fd00:10:0:2::", mac(2))
	if got.FDB.Len() != 1 {
		t.Errorf("entries: got %d, want 1", got.FDB.Len())
	}
}

func TestAHostIsReachedOverTheFamilyThatBothHave(t *testing.T) {
	tests := []struct {
		name        string
		own, v4v6   []string
		to, accept  string
		unreachable bool
	}{
		{"both have both", []string{"192.0.2.1", "fd00::1"}, []string{"192.0.2.2", "fd00::2"}, "192.0.2.2:4789", "fd00::2", false},
		{"we have IPv6 only", []string{"fd00::1"}, []string{"192.0.2.2", "fd00::2"}, "[fd00::2]:4789", "192.0.2.2", false},
		{"we have IPv4 only", []string{"192.0.2.1"}, []string{"192.0.2.2", "fd00::2"}, "192.0.2.2:4789", "fd00::2", false},
		{"they have IPv6 only", []string{"192.0.2.1", "fd00::1"}, []string{"0.0.0.0", "fd00::2"}, "[fd00::2]:4789", "fd00::2", false},
		{"we have IPv4 and they IPv6", []string{"192.0.2.1"}, []string{"0.0.0.0", "fd00::2"}, "[fd00::2]:4789", "fd00::2", true},
		{"we have IPv6 and they IPv4", []string{"fd00::1"}, []string{"192.0.2.2", ""}, "192.0.2.2:4789", "192.0.2.2", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := testConfig()
			c.Own = nil
			for _, a := range tt.own {
				c.Own = append(c.Own, addr(a))
			}
			var log strings.Builder
			in := newIntake(c, zerolog.New(&log))
			h := &history{keys: make(map[string]*mvccpb.KeyValue)}
			in.put(leaseB, h.put(leaseB, fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":%q,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:02"}}`, tt.v4v6[0], tt.v4v6[1])))
			got := in.board.tables(1, in.network)
			if e, _ := got.FDB.Lookup(1, mac(2)); e.VTEP == nil || e.VTEP.To.String() != tt.to || !got.FDB.Accepts(1, addr(tt.accept)) {
				t.Errorf("got %+v, want %s, and %s accepted", e.VTEP, tt.to, tt.accept)
			}
			if over6 := netip.MustParseAddrPort(tt.to).Addr().Is6(); got.Routes.Len() != 1 || got.Routes.Sorted()[0].Over6 != over6 {
				t.Errorf("routes: got %+v, want one, over IPv6 %t", got.Routes.Sorted(), over6)
			}
			told := strings.Contains(log.String(), "a host cannot be reached")
			if told != tt.unreachable {
				t.Errorf("told that it cannot be reached: %t, want %t", told, tt.unreachable)
			}
		})
	}
}

// A uvtep host has one device and one MAC address, whatever it leases: what it is
// reached over depends on the hosts' addresses alone.
func TestAHostWithOneDeviceIsReachedOverIPv4WhereBothHaveIt(t *testing.T) {
	data := `{"VNI":1,"VtepMAC":"02:00:00:00:00:02","NodeID":"` + nodeB + `"}`
	other := strings.Replace(data, "00:02", "00:06", 1)
	for _, tt := range []struct{ name, subnets, data string }{
		{"a lease of IPv6 alone", "0.0.0.0-0&fd00:10:0:2::-64", `"BackendV6Data":` + data},
		{"a lease of IPv4 alone", "10.10.2.0-24", `"BackendData":` + data},
		{"a lease of both", "10.10.2.0-24&fd00:10:0:2::-64", `"BackendData":` + data + `,"BackendV6Data":` + data},
		{"two MAC addresses", "10.10.2.0-24&fd00:10:0:2::-64", `"BackendData":` + other + `,"BackendV6Data":` + data},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.put(subnetsDir+tt.subnets, `{"PublicIP":"192.0.2.2","PublicIPv6":"fd00::2","BackendType":"vxlan",`+tt.data+`}`)
			got := w.tables()
			w.wantEntry(got, 1, mac(2), "192.0.2.2:4789")
			for _, r := range got.Routes.Sorted() {
				if r.Over6 {
					t.Errorf("%s goes over IPv6", r.Dst)
				}
			}
		})
	}
}
