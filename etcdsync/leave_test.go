package etcdsync

import (
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// leases are the etcd leases that there are.
func (e *testEtcd) leases() []clientv3.LeaseID {
	e.Helper()
	r, err := e.client.Leases(e.ctx)
	if err != nil {
		e.Fatal(err)
	}
	var out []clientv3.LeaseID
	for _, l := range r.Leases {
		out = append(out, l.ID)
	}
	return out
}

func TestAHostThatLeavesTakesAllOfItsOwnAndNothingElse(t *testing.T) {
	for _, keep := range []bool{false, true} {
		e := startEtcd(t)
		s, _ := e.store()
		r, other := e.acquire(s, claim(1)), e.acquire(s, claim(2))
		mine, theirs := subnets{v4: r.Subnet()}.name(), subnets{v4: other.Subnet()}.name()
		e.put(hostsDir+claim(1).NodeID+"/endpoints/1/"+mac(20).String(), `{"IPs":["10.10.2.7"]}`, clientv3.WithLease(r.liveness.id))
		released, err := s.Leave(e.ctx, Leaving{NodeID: claim(1).NodeID, KeepSubnet: keep})
		if err != nil {
			t.Fatal(err)
		}
		subnetsLeft, leasesLeft := []string{theirs}, []clientv3.LeaseID{other.tenancy.id, other.liveness.id}
		if keep {
			subnetsLeft, leasesLeft = append(subnetsLeft, mine), append(leasesLeft, r.tenancy.id)
		}
		slices.Sort(subnetsLeft)
		slices.Sort(leasesLeft)
		if got := e.names(subnetsDir); !slices.Equal(got, subnetsLeft) {
			t.Errorf("keep %v: subnets left: %v, want %v", keep, got, subnetsLeft)
		}
		if got := e.names(hostsDir); !slices.Equal(got, []string{claim(2).NodeID + "/host"}) {
			t.Errorf("keep %v: under hosts: %v, want the other's record", keep, got)
		}
		got := e.leases()
		slices.Sort(got)
		if !slices.Equal(got, leasesLeft) {
			t.Errorf("keep %v: etcd leases left: %v, want %v", keep, got, leasesLeft)
		}
		if want := 1; !keep && (len(released) != want || released[0] != r.Subnet().String()) || keep && len(released) != 0 {
			t.Errorf("keep %v: released %v", keep, released)
		}
		if again, err := s.Leave(e.ctx, Leaving{NodeID: claim(1).NodeID, KeepSubnet: keep}); err != nil || len(again) != 0 {
			t.Errorf("keep %v: leaving twice: got %v, %v", keep, again, err)
		}
	}
}

func TestAHostThatLeavesLeavesItsReservation(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	r := e.acquire(s, claim(1))
	key := subnetsDir + subnets{v4: r.Subnet()}.name()
	value, _ := e.value(key)
	e.put(key, value) // without an etcd lease
	if released, err := s.Leave(e.ctx, Leaving{NodeID: claim(1).NodeID}); err != nil || len(released) != 0 {
		t.Errorf("got %v, %v; want nothing released", released, err)
	}
	if got, lease := e.value(key); got != value || lease != 0 {
		t.Errorf("the reservation is %q with etcd lease %x", got, lease)
	}
}

func TestAHostThatRunsDoesNotLeave(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	r := e.acquire(s, claim(1))
	key := subnetsDir + subnets{v4: r.Subnet()}.name()
	list, err := s.listSubnets(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	value, _ := e.value(key)
	e.put(key, value, clientv3.WithLease(r.tenancy.id)) // its agent writes it meanwhile
	kv := list.of(claim(1).NodeID)[0]
	err = s.deleteAll(e.ctx, asListed(s, kv))
	if err == nil || !strings.Contains(err.Error(), "is its agent running?") {
		t.Errorf("got %v", err)
	}
	if got, _ := e.value(key); got == "" {
		t.Error("the key is gone")
	}
}
