package etcdsync

import (
	"fmt"
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

// world is an intake with a history to feed it, and what it logs.
type world struct {
	*testing.T
	h    *history
	in   *intake
	logs strings.Builder
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, h: &history{keys: make(map[string]*mvccpb.KeyValue)}}
	w.in = newIntake(testConfig(), zerolog.New(&w.logs))
	return w
}

func (w *world) put(name, value string) { w.in.put(name, w.h.put(name, value)) }
func (w *world) del(name string)        { w.h.del(name); w.in.drop(name, w.h.rev) }
func (w *world) tables() *Tables        { return w.in.board.tables(w.h.rev, w.in.network) }

// messages returns the messages logged since the last call.
func (w *world) messages() []string {
	var out []string
	for line := range strings.Lines(w.logs.String()) {
		_, message, _ := strings.Cut(line, `"message":"`)
		out = append(out, strings.TrimSuffix(message, "\"}\n"))
	}
	w.logs.Reset()
	return out
}

// leaseText is the value of a host's lease.
func leaseOf(node, ip string, m ether.Addr) string {
	id := ""
	if node != "" {
		id = fmt.Sprintf(`,"NodeID":%q`, node)
	}
	return fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":%q%s}}`, ip, m, id)
}

func hostOf(ip string) string { return fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":null,"VNIs":[1]}`, ip) }

const leaseB = "subnets/10.10.2.0-24"

// wantEntry fails unless a MAC address is behind a VTEP ("" for nowhere).
func (w *world) wantEntry(t *Tables, vni encap.VNI, m ether.Addr, to string) {
	w.Helper()
	e, ok := t.FDB.Lookup(vni, m)
	got := ""
	if ok {
		got = e.VTEP.To.String()
	}
	if got != to {
		w.Errorf("FDB %s/%s: got %q, want %q", vni, m, got, to)
	}
}

// wantBinding fails unless an IP address is bound to a MAC address (the zero
// one for none).
func (w *world) wantBinding(t *Tables, vni encap.VNI, ip string, m ether.Addr) {
	w.Helper()
	if b, _ := t.ARP.Lookup(vni, addr(ip)); b.MAC != m {
		w.Errorf("ARP %s/%s: got %s, want %s", vni, ip, b.MAC, m)
	}
}

// wantNothing fails if anything is left in the tables.
func (w *world) wantNothing(t *Tables) {
	w.Helper()
	if diff := cmp.Diff(viewOf(t), view{}, cmpNetip, cmpopts.EquateEmpty()); diff != "" {
		w.Errorf("left over, got- want+:\n%s", diff)
	}
}

func TestALeaseBringsExactlyOneRouteOneBindingAndOneEntry(t *testing.T) {
	w := newWorld(t)
	w.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	want := view{
		FDB:    map[fdb.Key]string{{VNI: 1, MAC: mac(2)}: "{To:192.0.2.2:4789 Alt:invalid IP} lease 1"},
		ARP:    map[arpproxy.Key]arpproxy.Binding{{VNI: 1, IP: addr("10.10.2.0")}: {MAC: mac(2), Origin: fdb.Lease, Rev: 1}},
		Routes: []Route{{prefix("10.10.2.0/24"), addr("10.10.2.0")}},
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
				if after.FDB.Len() != 1 || after.ARP.Len() != 1 || len(after.Routes) != 1 || len(after.FDB.VTEPs(1)) != 1 {
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
	if &before.Routes[0] != &after.Routes[0] {
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
	if n := len(got.FDB.VTEPs(1)); n != 1 {
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
	if len(got.Routes) != 2 {
		t.Errorf("routes: got %v, want one a family", got.Routes)
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
		name       string
		own, v4v6  []string
		to, accept string
	}{
		{"both have both", []string{"192.0.2.1", "fd00::1"}, []string{"192.0.2.2", "fd00::2"}, "192.0.2.2:4789", "fd00::2"},
		{"we have IPv6 only", []string{"fd00::1"}, []string{"192.0.2.2", "fd00::2"}, "[fd00::2]:4789", "192.0.2.2"},
		{"we have IPv4 only", []string{"192.0.2.1"}, []string{"192.0.2.2", "fd00::2"}, "192.0.2.2:4789", "fd00::2"},
		{"they have IPv6 only", []string{"192.0.2.1", "fd00::1"}, []string{"0.0.0.0", "fd00::2"}, "[fd00::2]:4789", "fd00::2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := testConfig()
			c.Own = nil
			for _, a := range tt.own {
				c.Own = append(c.Own, addr(a))
			}
			in := newIntake(c, zerolog.Nop())
			h := &history{keys: make(map[string]*mvccpb.KeyValue)}
			in.put(leaseB, h.put(leaseB, fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":%q,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:02"}}`, tt.v4v6[0], tt.v4v6[1])))
			got := in.board.tables(1, in.network)
			if e, _ := got.FDB.Lookup(1, mac(2)); e.VTEP == nil || e.VTEP.To.String() != tt.to || !got.FDB.Accepts(1, addr(tt.accept)) {
				t.Errorf("got %+v, want %s, and %s accepted", e.VTEP, tt.to, tt.accept)
			}
		})
	}
}

func TestWhatCannotBeTrueCostsItsOwnKeyAlone(t *testing.T) {
	tests := []struct{ name, key, value string }{
		{"no subnet at all", "subnets/hello", "world"},
		{"no value", "subnets/10.10.9.0-24", ""},
		{"a subnet of elsewhere", "subnets/172.16.0.0-24", leaseOf(nodeC, "192.0.2.9", mac(9))},
		{"all of the network", "subnets/10.0.0.0-8", leaseOf(nodeC, "192.0.2.9", mac(9))},
		{"another VNI", "subnets/10.10.9.0-24", strings.Replace(leaseOf(nodeC, "192.0.2.9", mac(9)), `"VNI":1`, `"VNI":2`, 1)},
		{"our own MAC address", "subnets/10.10.9.0-24", leaseOf(nodeC, "192.0.2.9", mac(1))},
		{"our own address", "subnets/10.10.9.0-24", leaseOf(nodeC, "192.0.2.1", mac(9))},
		{"our own address, as a host", hostKey(nodeC), hostOf("192.0.2.1")},
		{"our own MAC address as an endpoint", hostsDir + nodeC + "/endpoints/1/02:00:00:00:00:01", `{}`},
		{"our own MAC address as a static entry", staticDir + "1/02:00:00:00:00:01", `{"VTEP":"192.0.2.9"}`},
		{"no node id", "uvtep/hosts/me/host", hostOf("192.0.2.9")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			w.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
			before := viewOf(w.tables())
			w.messages()
			for range 2 {
				kv := w.h.put(tt.key, tt.value)
				w.in.put(tt.key, kv)
				w.in.put(tt.key, kv) // seen again in a list
				relist(w.in, w.h)
			}
			if diff := cmp.Diff(viewOf(w.tables()), before, cmpNetip); diff != "" {
				t.Errorf("got- want+:\n%s", diff)
			}
			if got := w.messages(); len(got) != 3 || !strings.HasPrefix(got[0], "key skipped") {
				t.Errorf("log: got %q, want a line for each of the two values (and one for the missing configuration)", got)
			}
			if n := len(w.in.bad); n != 1 {
				t.Errorf("keys skipped: got %d, want 1", n)
			}
			w.del(tt.key)
			if n := len(w.in.bad); n != 0 {
				t.Errorf("keys skipped after it is gone: got %d, want 0", n)
			}
		})
	}
}

func TestTheLastGoodValueOfAKeyStands(t *testing.T) {
	w := newWorld(t)
	w.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	w.put(leaseB, "rubbish")
	w.wantEntry(w.tables(), 1, mac(2), "192.0.2.2:4789")
	relist(w.in, w.h)
	w.wantEntry(w.tables(), 1, mac(2), "192.0.2.2:4789")
	w.put(leaseB, leaseOf(nodeB, "192.0.2.3", mac(2)))
	w.wantEntry(w.tables(), 1, mac(2), "192.0.2.3:4789")
	w.put(leaseB, "rubbish")
	w.del(leaseB)
	w.wantNothing(w.tables())
}

func TestABadValueUnderAKeyMadeAnewDoesNotBringTheOldOneBack(t *testing.T) {
	w := newWorld(t)
	w.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	w.h.del(leaseB) // not heard of
	w.h.put(leaseB, "rubbish")
	relist(w.in, w.h)
	w.wantNothing(w.tables())
}

func TestWhatIsOlderThanWhatIsKnownIsNoNews(t *testing.T) {
	w := newWorld(t)
	old := w.h.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	w.put(leaseB, leaseOf(nodeB, "192.0.2.22", mac(2)))
	w.in.put(leaseB, old)
	w.wantEntry(w.tables(), 1, mac(2), "192.0.2.22:4789")
	w.in.drop(leaseB, old.ModRevision)
	w.wantEntry(w.tables(), 1, mac(2), "192.0.2.22:4789")
	w.in.drop(leaseB, w.h.rev+1)
	w.wantNothing(w.tables())
}

func TestOwnRecordsBringNothingIntoTheTables(t *testing.T) {
	w := newWorld(t)
	w.put("subnets/10.10.1.0-24", leaseOf(nodeA, "192.0.2.1", mac(1)))
	w.put(hostKey(nodeA), hostOf("192.0.2.1"))
	w.put(hostsDir+nodeA+"/endpoints/1/02:00:00:00:00:07", `{"IPs":["10.10.1.7"]}`)
	w.put(staticDir+"1/02:00:00:00:00:08", `{"IPs":["10.10.1.8"],"VTEP":"192.0.2.1"}`)
	w.wantNothing(w.tables())
}

func TestASubnetOverOurOwnIsNotRoutedUntilOursIsGone(t *testing.T) {
	w := newWorld(t)
	w.put("subnets/10.10.2.128-25", leaseOf(nodeB, "192.0.2.2", mac(2)))
	w.wantEntry(w.tables(), 1, mac(2), "192.0.2.2:4789")
	w.put("subnets/10.10.2.0-24", leaseOf(nodeA, "192.0.2.1", mac(1)))
	w.wantNothing(w.tables())
	w.put("subnets/10.10.2.0-25", leaseOf(nodeC, "192.0.2.3", mac(3)))
	w.wantNothing(w.tables())
	w.del("subnets/10.10.2.0-24")
	got := w.tables()
	w.wantEntry(got, 1, mac(2), "192.0.2.2:4789")
	w.wantEntry(got, 1, mac(3), "192.0.2.3:4789")
	if len(got.Routes) != 2 {
		t.Errorf("routes: got %v, want both", got.Routes)
	}
}

func TestEndpointsLiveAndMoveWithTheirHost(t *testing.T) {
	w := newWorld(t)
	station := hostsDir + nodeB + "/endpoints/1/02:00:00:00:00:07"
	w.put(station, `{"IPs":["10.10.2.7"]}`)
	w.wantNothing(w.tables()) // nobody knows yet where the host is
	w.put(hostKey(nodeB), hostOf("192.0.2.2"))
	w.wantEntry(w.tables(), 1, mac(7), "192.0.2.2:4789")
	w.put(hostKey(nodeB), hostOf("192.0.2.22"))
	got := w.tables()
	w.wantEntry(got, 1, mac(7), "192.0.2.22:4789")
	w.wantBinding(got, 1, "10.10.2.7", mac(7))
	if got.FDB.Accepts(1, addr("192.0.2.2")) || !got.FDB.Accepts(1, addr("192.0.2.22")) {
		t.Error("the old address is accepted, or the new one is not")
	}
	if want := []Change{{arpproxy.Key{VNI: 1, IP: addr("10.10.2.7")}, mac(7)}}; !slices.Equal(got.Changed, want) {
		t.Errorf("changed: got %v, want %v", got.Changed, want)
	}
	w.del(hostKey(nodeB))
	w.wantNothing(w.tables())
	w.put(hostKey(nodeB), hostOf("192.0.2.2"))
	w.wantEntry(w.tables(), 1, mac(7), "192.0.2.2:4789")
	w.del(station)
	w.del(hostKey(nodeB))
	w.wantNothing(w.tables())
	if n := len(w.in.board.nodes); n != 0 {
		t.Errorf("nodes remembered: got %d, want 0", n)
	}
}

func TestWhoHasAnAddressThatSeveralClaim(t *testing.T) {
	at := func(node, value string) [2]string {
		return [2]string{hostsDir + node + "/endpoints/1/02:00:00:00:00:07", value}
	}
	hosts := [][2]string{{hostKey(nodeB), hostOf("192.0.2.2")}, {hostKey(nodeC), hostOf("192.0.2.3")}}
	tests := []struct {
		name  string
		puts  [][2]string
		mac   ether.Addr
		where string
		alarm bool
	}{
		{"of two endpoints the one that moved last", [][2]string{at(nodeB, `{"IPs":["10.10.9.7"],"Seq":2}`), at(nodeC, `{"IPs":["10.10.9.7"],"Seq":1}`)}, mac(7), "192.0.2.2:4789", false},
		{"of equal moves the later word", [][2]string{at(nodeB, `{"IPs":["10.10.9.7"]}`), at(nodeC, `{"IPs":["10.10.9.7"]}`)}, mac(7), "192.0.2.3:4789", false},
		{"an operator before an endpoint", [][2]string{at(nodeB, `{"IPs":["10.10.9.7"],"Seq":9}`), {staticDir + "1/02:00:00:00:00:07", `{"IPs":["10.10.9.7"],"VTEP":"192.0.2.4"}`}}, mac(7), "192.0.2.4:4789", true},
		{"a lease before an operator", [][2]string{{staticDir + "1/02:00:00:00:00:07", `{"IPs":["10.10.9.0"],"VTEP":"192.0.2.4"}`}, {"subnets/10.10.9.0-24", leaseOf(nodeC, "192.0.2.3", mac(7))}}, mac(7), "192.0.2.3:4789", true},
		{"of two leases the older", [][2]string{{"subnets/10.10.8.0-24", leaseOf(nodeC, "192.0.2.3", mac(7))}, {"subnets/10.10.9.0-24", leaseOf(nodeB, "192.0.2.2", mac(7))}}, mac(7), "192.0.2.3:4789", true},
		{"of two MAC addresses for one IP the older key", [][2]string{at(nodeB, `{"IPs":["10.10.9.7"]}`), {hostsDir + nodeC + "/endpoints/1/02:00:00:00:00:08", `{"IPs":["10.10.9.7"],"Seq":5}`}}, mac(7), "192.0.2.2:4789", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			for _, kv := range slices.Concat(hosts, tt.puts) {
				w.put(kv[0], kv[1])
			}
			got := w.tables()
			w.wantEntry(got, 1, tt.mac, tt.where)
			for _, ip := range []string{"10.10.9.7", "10.10.9.0"} {
				if b, ok := got.ARP.Lookup(1, addr(ip)); ok && b.MAC != tt.mac {
					t.Errorf("%s: got %s, want %s", ip, b.MAC, tt.mac)
				}
			}
			logs := strings.Join(w.messages(), "\n")
			if alarm := strings.Contains(logs, "claimed twice") || strings.Contains(logs, "two MAC addresses"); alarm != tt.alarm {
				t.Errorf("alarm: got %t, want %t\n%s", alarm, tt.alarm, logs)
			}
			for _, kv := range slices.Concat(tt.puts, hosts) {
				w.del(kv[0])
			}
			w.wantNothing(w.tables())
		})
	}
}

func TestOneSubnetUnderTwoKeysIsRoutedUntilBothAreGone(t *testing.T) {
	w := newWorld(t)
	w.put("subnets/10.10.2.0-24", leaseOf(nodeB, "192.0.2.2", mac(2)))
	w.put("subnets/10.10.2.0-24&fd00:10:0:2::-64", leaseOf(nodeC, "192.0.2.3", mac(3)))
	w.wantBinding(w.tables(), 1, "10.10.2.0", mac(2))
	w.del("subnets/10.10.2.0-24")
	got := w.tables()
	w.wantBinding(got, 1, "10.10.2.0", mac(3))
	if len(got.Routes) != 1 {
		t.Errorf("routes: got %v, want one", got.Routes)
	}
}

func TestAConfigurationThatIsBadOrGoneChangesNothing(t *testing.T) {
	w := newWorld(t)
	good := `{"Network":"10.10.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:10::/48","Backend":{"Type":"vxlan","Port":4789,"Flood":true}}`
	w.put("config", good)
	if !w.tables().Network.Flood {
		t.Error("Flood did not change")
	}
	w.messages()
	w.put("config", `{"Network":"no"}`)
	w.del("config")
	relist(w.in, w.h)
	if got := w.tables(); !got.Network.Flood || got.Network.IPv4 != prefix("10.10.0.0/16") {
		t.Errorf("got %+v, want the last good one", got.Network)
	}
	if got := w.messages(); len(got) != 2 {
		t.Errorf("log: got %q, want a line for each", got)
	}
	w.put("config", strings.Replace(good, "4789", "8472", 1))
	if got := w.tables().Network.Port; got != 4789 {
		t.Errorf("port: got %d, want 4789 until the restart", got)
	}
	if got := w.messages(); len(got) != 1 || !strings.Contains(got[0], "restart") {
		t.Errorf("log: got %q, want a word about the restart", got)
	}
}

// crowd fills a world with hosts and stations.
func crowd(t *testing.T, hosts, stations int) *world {
	w := newWorld(t)
	w.in.log, w.in.board.log = zerolog.Nop(), zerolog.Nop()
	for i := range hosts {
		node := fmt.Sprintf("%032x", i+1000)
		ip := fmt.Sprintf("198.18.%d.%d", i/250, i%250+1)
		m := ether.Addr{2, 1, 0, 0, byte(i >> 8), byte(i)}
		w.put(fmt.Sprintf("subnets/10.10.%d.%d-30", i>>6&255, i&63*4), leaseOf(node, ip, m))
		w.put(hostKey(node), hostOf(ip))
	}
	for i := range stations {
		node := fmt.Sprintf("%032x", i%hosts+1000)
		m := ether.Addr{2, 2, 0, byte(i >> 16), byte(i >> 8), byte(i)}
		w.put(fmt.Sprintf("%s%s/endpoints/1/%s", hostsDir, node, m), fmt.Sprintf(`{"IPs":["100.%d.%d.%d"]}`, 64+i>>16, i>>8&255, i&255))
	}
	w.tables()
	return w
}

func TestTheCostOfAChangeDoesNotGrowWithTheTables(t *testing.T) {
	cost := func(w *world) float64 {
		name := hostsDir + fmt.Sprintf("%032x", 1000) + "/endpoints/1/02:02:00:00:00:00"
		n := 0
		return testing.AllocsPerRun(100, func() {
			n++
			w.put(name, fmt.Sprintf(`{"IPs":["100.64.0.0"],"Seq":%d}`, n))
			w.tables()
		})
	}
	small, large := cost(crowd(t, 10, 200)), cost(crowd(t, 500, 20000))
	if large > small*1.5 {
		t.Errorf("allocations a change: got %.0f with 20,000 stations, want about the %.0f of 200", large, small)
	}
}
