package etcdsync

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestAHostTakesASubnetAndIsKnown(t *testing.T) {
	e := startEtcd(t)
	s, log := e.store()
	r := e.acquire(s, claim(1))
	sub := r.Subnet()
	if !claim(1).Network.contains(sub) || sub.Bits() != 24 || r.Subnet6().IsValid() {
		t.Fatalf("got %s %s, want a /24 of the network and no IPv6", sub, r.Subnet6())
	}
	name := subnets{v4: sub}.name()
	node := fmt.Sprintf("%032x", 1)
	value, lease := e.value(subnetsDir + name)
	want := `{"PublicIP":"192.0.2.1","PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":1,"VtepMAC":"02:00:00:00:00:01","NodeID":"` + node + `","Port":4789}}`
	if value != want {
		t.Errorf("subnet key:\ngot  %s\nwant %s", value, want)
	}
	record, liveness := e.value("uvtep/hosts/" + node + "/host")
	want = `{"PublicIP":"192.0.2.1","PublicIPv6":null,"Port":4789,"VNIs":[1],"Subnets":["` + sub.String() + `"],"Schema":1}`
	if record != want {
		t.Errorf("host record:\ngot  %s\nwant %s", record, want)
	}
	if lease == 0 || liveness == 0 || lease == liveness {
		t.Fatalf("etcd leases: got %x and %x, want two", lease, liveness)
	}
	for id, want := range map[clientv3.LeaseID]int64{lease: 86400, liveness: 30} {
		if ttl, err := e.client.TimeToLive(e.ctx, id); err != nil || ttl.GrantedTTL != want {
			t.Errorf("time to live: got %v, %v, want %d s", ttl, err, want)
		}
	}
	if r.Expires().IsZero() {
		t.Error("it never expires")
	}
	for _, line := range []string{"create subnet: " + sub.Addr().String() + ", net mask: 24", "subnet key expired in: 2"} {
		if n, _ := log.count(line); n != 1 {
			t.Errorf("log: got %q %d times, want once", line, n)
		}
	}
}

func TestARestartFindsEverythingAndWritesNothing(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	first := e.acquire(s, claim(1))
	before, err := e.client.Get(e.ctx, testPrefix, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	other, log := e.store()
	again := e.acquire(other, claim(1))
	if again.Subnet() != first.Subnet() {
		t.Errorf("subnet: got %s, want %s", again.Subnet(), first.Subnet())
	}
	after, err := e.client.Get(e.ctx, testPrefix, clientv3.WithPrefix())
	if err != nil || after.Header.Revision != before.Header.Revision {
		t.Errorf("revision: got %d, %v, want %d", after.Header.Revision, err, before.Header.Revision)
	}
	if n, _ := log.count("create subnet"); n != 0 {
		t.Error("log says that the subnet was created")
	}
}

func TestIdentityIsTheNodeIDAndNotTheAddress(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	first := e.acquire(s, claim(1))
	moved := claim(1)
	moved.PublicIP, moved.MAC = addr("198.51.100.7"), mac(77)
	if again := e.acquire(s, moved); again.Subnet() != first.Subnet() {
		t.Errorf("at another address: got %s, want %s", again.Subnet(), first.Subnet())
	}
	value, _ := e.value(subnetsDir + subnets{v4: first.Subnet()}.name())
	if !strings.Contains(value, "198.51.100.7") || !strings.Contains(value, "02:00:00:00:00:4d") {
		t.Errorf("got %s, want the new address", value)
	}
	namesake := claim(2)
	namesake.PublicIP = claim(1).PublicIP
	if other := e.acquire(s, namesake); other.Subnet() == first.Subnet() {
		t.Errorf("another node with the old address: got %s as well", other.Subnet())
	}
}

func TestHostsThatStartAtOnceShareThePoolToTheLast(t *testing.T) {
	e := startEtcd(t)
	const hosts = 20
	var claims []Claim
	for i := range hosts {
		c := claim(i + 1)
		n := NewNetwork(prefix("10.10.0.0/16"), netip.Prefix{})
		n.SubnetMin, n.SubnetMax = addr("10.10.1.0"), addr("10.10.20.0") // just as many
		c.Network, _ = n.Complete()
		claims = append(claims, c)
	}
	got := make([]netip.Prefix, hosts)
	var wg sync.WaitGroup
	for i, c := range claims {
		s, _ := e.store()
		wg.Go(func() {
			r, err := s.Acquire(e.ctx, c)
			if err != nil {
				t.Errorf("host %d: %v", i, err)
				return
			}
			got[i] = r.Subnet()
		})
	}
	wg.Wait()
	slices.SortFunc(got, netip.Prefix.Compare)
	if n := len(slices.Compact(slices.Clone(got))); n != hosts {
		t.Errorf("distinct subnets: got %d of %v, want %d", n, got, hosts)
	}
	if names := e.names(subnetsDir); len(names) != hosts {
		t.Errorf("keys: got %d, want %d", len(names), hosts)
	}
	s, _ := e.store()
	late := claims[0]
	late.NodeID, late.PublicIP = nodeA, addr("192.0.2.200")
	if r, err := s.Acquire(e.ctx, late); !errors.Is(err, ErrNoSubnetFree) {
		t.Errorf("one host too many: got %v, %v, want ErrNoSubnetFree", r, err)
	}
	e.del(subnetsDir + subnets{v4: got[7]}.name())
	if r := e.acquire(s, late); r.Subnet() != got[7] {
		t.Errorf("after one was given back: got %s, want %s", r.Subnet(), got[7])
	}
}

func TestASubnetIsNotTakenWhenAnythingChangedSinceItWasChosen(t *testing.T) {
	tests := []struct {
		name, key string
	}{
		{"the same key", "10.10.1.0-24"},
		{"a part of it", "10.10.1.64-26"},
		{"a larger one", "10.10.0.0-20"},
		{"a dual-stack key", "10.10.1.0-24&fd00:10:0:1::-64"},
		{"something else, for all one knows", "hello"},
	}
	e := startEtcd(t)
	s, _ := e.store()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e.del(subnetsDir, clientv3.WithPrefix())
			c, err := claim(1).complete()
			if err != nil {
				t.Fatal(err)
			}
			l, err := s.listSubnets(e.ctx)
			if err != nil {
				t.Fatal(err)
			}
			p := newPlanner(&c, subnets{})
			p.random = func(uint64) uint64 { return 0 }
			todo, err := p.plan(l)
			if err != nil || todo.subnets.name() != "10.10.1.0-24" {
				t.Fatalf("got %v, %v, want the first subnet", todo, err)
			}
			e.put(subnetsDir+tt.key, leaseOf(nodeB, "192.0.2.2", mac(2)))
			if done, err := newRegistration(s, c).carryOut(e.ctx, &c, l, todo); done || err != nil {
				t.Errorf("got %t, %v, want the race lost", done, err)
			}
			if names := e.names(subnetsDir); !slices.Equal(names, []string{tt.key}) {
				t.Errorf("keys: got %v, want the other's alone", names)
			}
		})
	}
}

func TestAReservationStaysOne(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	tests := []struct {
		name  string
		host  int
		key   string
		value string
	}{
		{"made by hand for the address", 1, "10.10.7.0-24", leaseOf("", "192.0.2.1", mac(9))},
		{"made of an own lease", 2, "10.10.8.0-24", leaseOf(claim(2).NodeID, "192.0.2.99", mac(9))},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e.put(subnetsDir+tt.key, tt.value)
			for range 2 {
				r := e.acquire(s, claim(tt.host))
				if got := (subnets{v4: r.Subnet()}).name(); got != tt.key {
					t.Errorf("got %s, want %s", got, tt.key)
				}
				if !r.Expires().IsZero() {
					t.Errorf("it expires at %s", r.Expires())
				}
				value, lease := e.value(subnetsDir + tt.key)
				if lease != 0 {
					t.Errorf("the reservation has become lease %x", lease)
				}
				if !strings.Contains(value, claim(tt.host).NodeID) || !strings.Contains(value, claim(tt.host).MAC.String()) {
					t.Errorf("got %s, want our MAC address and node id", value)
				}
			}
		})
	}
}

func TestAFlannelLeaseWithOurAddressIsAdopted(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	old := e.grant()
	e.put(subnetsDir+"10.10.9.0-24", leaseOf("", "192.0.2.1", mac(9)), clientv3.WithLease(old))
	e.put(subnetsDir+"10.10.8.0-24", leaseOf("", "192.0.2.2", mac(9)), clientv3.WithLease(old))
	if r := e.acquire(s, claim(1)); r.Subnet() != prefix("10.10.9.0/24") {
		t.Errorf("got %s, want flannel's", r.Subnet())
	}
	if _, lease := e.value(subnetsDir + "10.10.9.0-24"); lease == old || lease == 0 {
		t.Errorf("etcd lease: got %x, want one of our own", lease)
	}
}

func TestTheWantedSubnetOrNone(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	c := claim(1)
	e.acquire(s, c)
	c.Want = prefix("10.10.77.0/24")
	if r := e.acquire(s, c); r.Subnet() != c.Want {
		t.Errorf("got %s, want %s", r.Subnet(), c.Want)
	}
	if names := e.names(subnetsDir); !slices.Equal(names, []string{"10.10.77.0-24"}) {
		t.Errorf("keys: got %v, want the wanted one alone", names)
	}
	other := claim(2)
	other.Want = c.Want
	if r, err := s.Acquire(e.ctx, other); !errors.Is(err, ErrSubnetTaken) {
		t.Errorf("got %v, %v, want ErrSubnetTaken", r, err)
	}
}

func TestAnObserverLeasesNothing(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	c := claim(1)
	c.NoSubnet = true
	if r := e.acquire(s, c); r.Subnet().IsValid() {
		t.Errorf("got %s, want none", r.Subnet())
	}
	if names := e.names(""); !slices.Equal(names, []string{hostKey(c.NodeID)}) {
		t.Errorf("keys: got %v, want the host record", names)
	}
}

func TestADualStackLeaseIsOneKey(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	c := claim(1)
	single := e.acquire(s, c).Subnet()
	n := NewNetwork(prefix("10.10.0.0/16"), prefix("fd00:10::/48"))
	c.Network, _ = n.Complete()
	c.PublicIPv6 = addr("fd00::1")
	r := e.acquire(s, c)
	if r.Subnet() != single || !c.Network.contains(r.Subnet6()) {
		t.Errorf("got %s %s, want %s and one of IPv6", r.Subnet(), r.Subnet6(), single)
	}
	want := subnets{r.Subnet(), r.Subnet6()}.name()
	if names := e.names(subnetsDir); !slices.Equal(names, []string{want}) {
		t.Errorf("keys: got %v, want %s alone", names, want)
	}
	value, _ := e.value(subnetsDir + want)
	if !strings.Contains(value, `"BackendV6Data":{"VNI":1,"VtepMAC":"02:00:00:00:00:01"`) || !strings.Contains(value, `"PublicIPv6":"fd00::1"`) {
		t.Errorf("got %s, want the IPv6 half as well", value)
	}
}
