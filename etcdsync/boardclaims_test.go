package etcdsync

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

func TestHostsAreKnownForAsLongAsTheyHaveARecord(t *testing.T) {
	probed := func(ip string, last byte) string {
		key := make([]byte, 32)
		key[0] = last
		b, err := hostValue{publicIP: addr(ip), vnis: []encap.VNI{1}, probe: &Probe{[32]byte(key), 4000, mac(2)}}.marshal()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	w := newWorld(t)
	want := func(ip string, first byte) {
		t.Helper()
		h, ok := w.tables().Hosts.Get(nodeB)
		if !ok || h.NodeID != nodeB || h.VTEP.To.Addr() != addr(ip) || h.Rev != w.h.rev || h.Probe == nil || h.Probe.Key[0] != first || h.Probe.MAC != mac(2) {
			t.Errorf("got %+v, want the host at %s with the key that begins with %d", h, ip, first)
		}
	}
	w.put(hostKey(nodeA), probed("192.0.2.1", 1)) // our own
	w.put(hostKey(nodeB), probed("192.0.2.2", 2))
	want("192.0.2.2", 2)
	w.put(hostKey(nodeB), probed("192.0.2.2", 3)) // started anew
	want("192.0.2.2", 3)
	w.put(hostKey(nodeB), probed("192.0.2.22", 3)) // moved
	want("192.0.2.22", 3)
	if n := w.tables().Hosts.Len(); n != 1 {
		t.Errorf("got %d hosts, want B alone", n)
	}
	w.del(hostKey(nodeB))
	w.del(hostKey(nodeA))
	w.wantNothing(w.tables())
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
			if alarm := strings.Contains(logs, "claimed twice") || strings.Contains(logs, "two hosts have one MAC") || strings.Contains(logs, "two MAC addresses"); alarm != tt.alarm {
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
	if got.Routes.Len() != 1 {
		t.Errorf("routes: got %v, want one", got.Routes.Sorted())
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
func crowd(t testing.TB, hosts, stations int) *world {
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
