package etcdsync

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/fdb"
)

// auditConfig is what host number i asks by.
func auditConfig(i int) FollowConfig {
	c := claim(i)
	return FollowConfig{Network: c.Network, NodeID: c.NodeID, Own: []netip.Addr{c.PublicIP}, MAC: c.MAC}
}

func TestAnAuditSaysWhatFollowPublishes(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	e.acquire(s, claim(1))
	node := claim(2).NodeID
	e.put("subnets/10.10.2.0-24", leaseOf(node, "192.0.2.2", mac(2)))
	e.put(hostKey(node), hostOf("192.0.2.2"))
	station := hostsDir + node + "/endpoints/1/" + mac(20).String()
	e.put(station, `{"IPs":["10.10.2.7"],"Seq":3}`)
	e.put(staticKey(1, mac(21)), `{"IPs":["10.10.2.8"],"VTEP":"192.0.2.2"}`)
	e.put("subnets/10.10.9.0-24", "no JSON")
	w := e.follow(s, 1, 0)
	want := w.until("all keys", func(t *Tables) bool { return t.ARP.Len() == 3 })

	a, err := s.Audit(e.ctx, auditConfig(1))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(viewOf(a.Tables), viewOf(want), cmpNetip, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("tables, got- want+:\n%s", diff)
	}
	if got := a.StationKey(fdb.Key{VNI: 1, MAC: mac(20)}); got != station {
		t.Errorf("key of a station: got %q, want %q", got, station)
	}
	if got := a.BindingKey(arpproxy.Key{VNI: 1, IP: addr("10.10.2.0")}); got != "subnets/10.10.2.0-24" {
		t.Errorf("key of a binding: got %q", got)
	}
	if got := a.StationKey(fdb.Key{VNI: 1, MAC: mac(99)}); got != "" {
		t.Errorf("key of nothing: got %q", got)
	}
	if len(a.Own) != 1 || a.Own[0].MAC != mac(1) || !slices.Equal(a.Own[0].Public, []netip.Addr{addr("192.0.2.1")}) || a.Own[0].Port != 4789 || a.Own[0].Rev == 0 {
		t.Errorf("own leases: got %+v", a.Own)
	}
	if !a.Record {
		t.Error("the host record is not seen")
	}
	if strings.Join(a.Unusable, " ") != "subnets/10.10.9.0-24" {
		t.Errorf("unusable: got %q", a.Unusable)
	}
}

func TestAnAuditFindsConflicts(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	e.put("subnets/10.10.2.0-24", leaseOf(claim(2).NodeID, "192.0.2.2", mac(2)))
	e.put("subnets/10.10.3.0-24", leaseOf(claim(3).NodeID, "192.0.2.3", mac(2)))
	a, err := s.Audit(e.ctx, auditConfig(1))
	if err != nil || a.ConflictCount != 1 || len(a.Conflicts) != 1 || a.Conflicts[0].Kind != SameMAC {
		t.Errorf("got %+v, %v; want one MAC address of two hosts", a, err)
	}
}

func TestAnAuditOfACacheSaysWhatItWasMadeOf(t *testing.T) {
	b, w := sampleCache(t)
	a, err := AuditCache(bytes.NewReader(b), *testConfig())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(viewOf(a.Tables), viewOf(w.tables()), cmpNetip, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("tables, got- want+:\n%s", diff)
	}
	if a.Rev != w.h.rev || a.StaleSince.IsZero() {
		t.Errorf("got revision %d, stale since %v", a.Rev, a.StaleSince)
	}
	if _, err := AuditCache(bytes.NewReader(b[:len(b)-2]), *testConfig()); err == nil {
		t.Error("a damaged cache: no error")
	}
}
