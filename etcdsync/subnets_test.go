package etcdsync

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestSubnetsAreListedForPeople(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	c := claim(1)
	c.Want = prefix("10.10.1.0/24")
	e.acquire(s, c)
	e.put(subnetsDir+"10.10.2.0-24", flannelLease)
	e.put(subnetsDir+"10.10.3.0-24", "rubbish")
	e.put(subnetsDir+"hello", "world")
	got, err := s.Subnets(e.ctx)
	if err != nil || len(got) != 4 {
		t.Fatalf("got %+v, %v, want four", got, err)
	}
	own := got[0]
	if own.Key != "10.10.1.0-24" || own.NodeID != c.NodeID || own.PublicIP != c.PublicIP || own.MAC != c.MAC || own.VNI != 1 || own.Port != 4789 ||
		own.Granted.Hours() != 24 || own.TTL <= 0 || own.TTL > own.Granted || own.Reservation || own.Fault != "" ||
		own.Life != Alive || own.Lease == 0 || own.Unanswered != "" {
		t.Errorf("own: got %+v", own)
	}
	if r := got[1]; !r.Reservation || r.TTL != 0 || r.PublicIP != addr("192.168.64.3") || r.NodeID != "" {
		t.Errorf("flannel's reservation: got %+v", r)
	}
	if r := got[2]; r.Fault == "" || r.Subnet != prefix("10.10.3.0/24") {
		t.Errorf("rubbish under a good name: got %+v", r)
	}
	if r := got[3]; r.Fault == "" || r.Key != "hello" {
		t.Errorf("a bad name: got %+v", r)
	}
}

func TestTheHostRecordSaysWhetherAHolderIsThere(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	crowd := recordsPerTxn + 1 // more than one transaction asks about
	for i := 1; i <= crowd; i++ {
		c := claim(i)
		e.put(subnetsDir+subnets{v4: subnetOf(i)}.name(), leaseOf(c.NodeID, c.PublicIP.String(), c.MAC))
		if i%2 == 0 {
			e.put(hostKey(c.NodeID), hostOf(c.PublicIP.String()))
		}
	}
	e.put(subnetsDir+"10.10.200.0-24", leaseOf("no node id", "192.0.2.200", mac(200)))
	e.put(subnetsDir+"10.10.201.0-24", flannelLease, clientv3.WithLease(e.grant()))
	got, err := s.Subnets(e.ctx)
	if err != nil || len(got) != crowd+2 {
		t.Fatalf("got %d subnets, %v, want %d", len(got), err, crowd+2)
	}
	holders, err := s.Holders(e.ctx)
	for i := range holders {
		if h, r := &holders[i], &got[i]; h.Key != r.Key || h.Life != r.Life || h.TTL != 0 {
			t.Errorf("holder %d: got %+v, want what Subnets says but for times: %+v", i, h, r)
		}
	}
	if err != nil || len(holders) != len(got) {
		t.Errorf("got %d holders, %v, want %d", len(holders), err, len(got))
	}
	for _, r := range got {
		want := Gone
		switch i := r.Subnet.Addr().As4()[2]; {
		case i >= 200:
			want = LifeUnknown
		case i%2 == 0:
			want = Alive
		}
		if r.Life != want || r.Unanswered != "" {
			t.Errorf("%s: alive %s (%s), want %s", r.Key, r.Life, r.Unanswered, want)
		}
	}
}

func TestWhatHoldersHaveInCommonIsListed(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	a, b, c := claim(1), claim(2), claim(3)
	b.MAC, c.PublicIP = a.MAC, a.PublicIP
	for i, claim := range []Claim{a, b, c} {
		claim.Want = subnetOf(i + 1)
		e.acquire(s, claim)
	}
	e.put(subnetsDir+"10.10.1.0-25", leaseOf(nodeB, "192.0.2.99", mac(99)))
	e.put(subnetsDir+"10.10.4.0-24", leaseOf(claim(3).NodeID, "192.0.2.3", mac(98)))
	e.put(subnetsDir+"10.10.5.0-24", leaseOf(nodeC, "192.0.2.1", mac(97))) // dead
	got, err := s.Subnets(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	have := make(map[string][]ConflictKind)
	for _, r := range got {
		for _, c := range r.Conflicts {
			have[r.Key] = append(have[r.Key], c.Kind)
		}
	}
	want := map[string][]ConflictKind{
		"10.10.1.0-24": {SameAddress, SameMAC, SameSubnet},
		"10.10.1.0-25": {SameSubnet},
		"10.10.2.0-24": {SameMAC},
		"10.10.3.0-24": {SameNode, SameAddress},
		"10.10.4.0-24": {SameNode},
	}
	if diff := cmp.Diff(have, want); diff != "" {
		t.Errorf("got- want+:\n%s", diff)
	}
}

func TestOneLeaseIsAskedAboutOnceAndFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, release := make(chan int64, 100), make(chan struct{})
		ask := func(id int64) tenure {
			asked <- id
			<-release
			if id == 7 {
				return tenure{err: errors.New("lost")}
			}
			return tenure{left: time.Duration(id) * time.Minute, granted: time.Hour}
		}
		list := make([]SubnetRecord, 61)
		for i := range list {
			list[i].Lease = int64(i/2 + 1) // two keys a lease
		}
		list[60] = SubnetRecord{Reservation: true}
		go addTenures(list, ask)
		synctest.Wait()
		if n := len(asked); n != ttlRequests {
			t.Errorf("asked about %d leases at the same time, want %d", n, ttlRequests)
		}
		close(release)
		synctest.Wait()
		if n := len(asked); n != 30 {
			t.Errorf("asked %d times, want once for each of 30 leases", n)
		}
		for i, r := range list[:60] {
			lost := i/2+1 == 7
			if (r.Unanswered != "") != lost || (r.Granted == 0) != lost || !lost && r.TTL != time.Duration(i/2+1)*time.Minute {
				t.Errorf("record %d: got %s of %s, %q", i, r.TTL, r.Granted, r.Unanswered)
			}
		}
	})
}

func TestAFlannelHostIsOverdueWhenItDidNotRenew(t *testing.T) {
	for _, c := range []struct {
		name string
		r    SubnetRecord
		want Life
	}{
		{"just renewed", SubnetRecord{TTL: 24 * time.Hour, Granted: 24 * time.Hour}, LifeUnknown},
		{"about to renew", SubnetRecord{TTL: time.Hour, Granted: 24 * time.Hour}, LifeUnknown},
		{"a few minutes late", SubnetRecord{TTL: 56 * time.Minute, Granted: 24 * time.Hour}, LifeUnknown},
		{"too late", SubnetRecord{TTL: 55 * time.Minute, Granted: 24 * time.Hour}, Overdue},
		{"nothing known of its lease", SubnetRecord{}, LifeUnknown},
		{"perhaps no flannel", SubnetRecord{TTL: time.Minute, Granted: 24 * time.Hour, Fault: "no JSON"}, LifeUnknown},
		{"no flannel", SubnetRecord{TTL: time.Minute, Granted: 24 * time.Hour, NodeID: nodeA}, LifeUnknown},
	} {
		if got := c.r.life(nil); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}
