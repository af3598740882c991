package etcdsync

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/mvccpb"
)

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
			got := slices.DeleteFunc(w.messages(), func(m string) bool { return strings.HasPrefix(m, "two hosts have one") })
			if len(got) != 3 || !strings.HasPrefix(got[0], "key skipped") {
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

// Two hosts behind one address are told apart by their ports.
func TestOurAddressWithAnotherPortIsAnotherHost(t *testing.T) {
	w := newWorld(t)
	w.put(leaseB, strings.Replace(leaseOf(nodeB, "192.0.2.1", mac(2)), `"VNI":1`, `"VNI":1,"Port":4790`, 1))
	w.wantEntry(w.tables(), 1, mac(2), "192.0.2.1:4790")
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

// Of what is here the FDB knows the stations alone: a frame of theirs from the
// tunnel is a spoof or a loop.
func TestOwnRecordsBringTheirStationsIntoTheFDBAndNothingElse(t *testing.T) {
	w := newWorld(t)
	w.put("subnets/10.10.1.0-24", leaseOf(nodeA, "192.0.2.1", mac(1)))
	w.put(hostKey(nodeA), hostOf("192.0.2.1"))
	w.put(hostsDir+nodeA+"/endpoints/1/02:00:00:00:00:07", `{"IPs":["10.10.1.7"]}`)
	w.put(staticDir+"1/02:00:00:00:00:08", `{"IPs":["10.10.1.8"],"VTEP":"192.0.2.1"}`)
	got := w.tables()
	w.wantEntry(got, 1, mac(1), "")
	w.wantEntry(got, 1, mac(7), "here")
	w.wantEntry(got, 1, mac(8), "here")
	if v := viewOf(got); len(v.ARP)+len(v.Routes)+len(v.Peers)+len(v.VTEPs) > 0 {
		t.Errorf("more than stations: %v", v)
	}
	w.del(hostsDir + nodeA + "/endpoints/1/02:00:00:00:00:07")
	w.del(staticDir + "1/02:00:00:00:00:08")
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
	if got.Routes.Len() != 2 {
		t.Errorf("routes: got %v, want both", got.Routes.Sorted())
	}
}

// An etcd that was made anew gives revisions out again. A list of it was not
// believed where a higher revision was known: of a value that had been bad, and
// of the configuration.
func TestAListCountsWhateverRevisionsWereKnown(t *testing.T) {
	w := newWorld(t)
	for range 10 {
		w.put("uvtep/future", "")
	}
	flood := func(on string) string {
		return `{"Network":"10.10.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:10::/48","Backend":{"Type":"vxlan","VNI":1,"Port":4789,"Flood":` + on + `}}`
	}
	w.put(leaseB, "rubbish")
	w.put("subnets/10.10.3.0-24", leaseOf(nodeC, "192.0.2.3", mac(3)))
	w.put("subnets/10.10.3.0-24", "rubbish")
	w.put(configKey, flood("true"))
	other := &history{keys: make(map[string]*mvccpb.KeyValue)}
	other.put(leaseB, leaseOf(nodeB, "192.0.2.2", mac(2)))
	other.put("subnets/10.10.3.0-24", leaseOf(nodeC, "192.0.2.33", mac(3)))
	other.put(configKey, flood("false"))
	for range 2 {
		relist(w.in, other)
		got := w.tables()
		w.wantEntry(got, 1, mac(2), "192.0.2.2:4789")
		w.wantEntry(got, 1, mac(3), "192.0.2.33:4789")
		if got.Network.Flood {
			t.Error("the configuration is the old one")
		}
		if len(w.in.bad) > 0 {
			t.Errorf("bad keys: got %v, want none", w.in.bad)
		}
	}
}
