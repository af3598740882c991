package etcdsync

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/uvtep/uvtep/encap/ether"
)

func TestStaticEntriesAreAddedListedAndDeleted(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	ips := []netip.Addr{addr("10.10.3.7"), addr("fd00::7")}
	add := func(m ether.Addr, ips []netip.Addr, vtep string) (bool, error) {
		return s.AddStatic(e.ctx, 1, m, ips, addr(vtep))
	}
	if added, err := add(mac(7), ips, "192.0.2.2"); !added || err != nil {
		t.Fatalf("got %v, %v", added, err)
	}
	if added, err := add(mac(7), ips, "192.0.2.2"); added || err != nil {
		t.Errorf("the same again: got %v, %v", added, err)
	}
	if _, err := add(mac(7), ips, "192.0.2.3"); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("another one: got %v", err)
	}
	for name, bad := range map[string]func() (bool, error){
		"a group":        func() (bool, error) { return add(ether.Addr{1}, ips, "192.0.2.2") },
		"a loopback IP":  func() (bool, error) { return add(mac(8), []netip.Addr{addr("127.0.0.1")}, "192.0.2.2") },
		"a VTEP of many": func() (bool, error) { return add(mac(8), ips, "224.0.0.1") },
	} {
		if _, err := bad(); err == nil {
			t.Errorf("%s was written", name)
		}
	}
	e.put(hostKey(nodeB), hostOf("192.0.2.2"))
	e.put(endpointsDir(nodeB, 1)+mac(7).String(), `{"IPs":["10.10.3.7"],"Seq":2}`)
	e.put(endpointsDir(nodeC, 1)+mac(6).String(), `{"IPs":[]}`)
	e.put(endpointsDir(nodeC, 1)+mac(9).String(), `rubbish`)
	got, err := s.ListStations(e.ctx)
	want := []StationRecord{
		{VNI: 1, MAC: mac(6), NodeID: nodeC},
		{VNI: 1, MAC: mac(7), Static: true, IPs: ips, VTEP: addr("192.0.2.2")},
		{VNI: 1, MAC: mac(7), NodeID: nodeB, IPs: ips[:1], VTEP: addr("192.0.2.2"), Seq: 2},
		{VNI: 1, MAC: mac(9), NodeID: nodeC, Fault: "invalid character 'r' looking for beginning of value"},
	}
	if diff := cmp.Diff(got, want, cmpNetip, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(StationRecord{}, "Created", "Revision")); err != nil || diff != "" {
		t.Errorf("%v, got- want+:\n%s", err, diff)
	}
	if err := s.DeleteStatic(e.ctx, 1, mac(7)); err != nil {
		t.Error(err)
	}
	if err := s.DeleteStatic(e.ctx, 1, mac(7)); !errors.Is(err, ErrNoStatic) {
		t.Errorf("deleted twice: got %v", err)
	}
}
