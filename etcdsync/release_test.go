package etcdsync

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// subnetOf is the subnet 10.10.i.0/24.
func subnetOf(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 10, byte(i), 0}), 24)
}

// release releases the subnet that a text names.
func (e *testEtcd) release(s *Store, text string, force bool) (SubnetRecord, error) {
	e.Helper()
	v4, v6, err := ParseSubnet(text)
	if err != nil {
		e.Fatal(err)
	}
	return s.Release(e.ctx, v4, v6, force)
}

func TestTheSubnetOfAHostThatIsGoneIsReleasedAndNothingElse(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	for i := 1; i <= 3; i++ {
		c := claim(i)
		c.Want = subnetOf(i)
		e.acquire(s, c)
	}
	e.del(hostKey(claim(2).NodeID))
	_, lease := e.value(subnetsDir + "10.10.2.0-24")
	r, err := e.release(s, "10.10.2.0/24", false)
	if err != nil {
		t.Fatal(err)
	}
	if r.Key != "10.10.2.0-24" || r.Holder() != "node "+claim(2).NodeID+" at 192.0.2.2" {
		t.Errorf("released %s of %s", r.Key, r.Holder())
	}
	if got := strings.Join(e.names(subnetsDir), " "); got != "10.10.1.0-24 10.10.3.0-24" {
		t.Errorf("left: %s", got)
	}
	if left := s.tenure(e.ctx, int64(lease)).left; left == 0 {
		t.Error("the etcd lease was revoked, and with it whatever else hangs on it")
	}
}

func TestWhatMayBeInUseIsReleasedByForceAlone(t *testing.T) {
	for _, c := range []struct{ name, key, value, record, says string }{
		{"an agent that is alive", "10.10.1.0-24", leaseOf(nodeA, "192.0.2.1", mac(1)), hostKey(nodeA), nodeA + " at 192.0.2.1 has 10.10.1.0/24 and is alive"},
		{"a flannel host that has renewed", "10.10.2.0-24", flannelLease, "", "flannel at 192.168.64.3 has 10.10.2.0/24 and may be alive"},
		{"a value that cannot be read", "10.10.3.0-24", "rubbish", "", "10.10.3.0-24"},
		{"a node id that is none", "10.10.4.0-24", leaseOf("root", "192.0.2.4", mac(4)), "", `node "root"`},
		{"a reservation", "10.10.5.0-24", leaseOf(nodeB, "192.0.2.5", mac(5)), "", "reservation"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := startEtcd(t)
			s, _ := e.store()
			if c.name == "a reservation" {
				e.put(subnetsDir+c.key, c.value)
			} else {
				e.put(subnetsDir+c.key, c.value, clientv3.WithLease(e.grant()))
			}
			if c.record != "" {
				e.put(c.record, hostOf("192.0.2.1"))
			}
			_, err := e.release(s, c.key, false)
			if !errors.Is(err, ErrHeld) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want an ErrHeld that says %q", err, c.says)
			}
			if got := e.names(subnetsDir); len(got) != 1 {
				t.Fatalf("left without force: %s", got)
			}
			if _, err := e.release(s, c.key, true); err != nil {
				t.Error(err)
			}
			if got := e.names(subnetsDir); len(got) != 0 {
				t.Errorf("left with force: %s", got)
			}
		})
	}
}

func TestAHolderThatComesBackKeepsItsSubnet(t *testing.T) {
	e := startEtcd(t)
	s, _ := e.store()
	value := leaseOf(nodeA, "192.0.2.1", mac(1))
	e.put(leaseB, value)
	list, err := s.subnetRecords(e.ctx)
	if err != nil {
		t.Fatal(err)
	}
	e.put(hostKey(nodeA), hostOf("192.0.2.1")) // its key is as it should be: it leaves that alone
	if err := s.deleteSubnet(e.ctx, &list[0], false); err == nil {
		t.Error("released although the host's record came back")
	}
	e.put(leaseB, value)
	if err := s.deleteSubnet(e.ctx, &list[0], true); err == nil {
		t.Error("released although the key was written again")
	}
	if got, _ := e.value(leaseB); got != value {
		t.Errorf("got %q, want the key untouched", got)
	}
}

func TestADualStackSubnetIsFoundByEitherFamily(t *testing.T) {
	list := []SubnetRecord{
		{Key: "hello"},
		{Key: "a", Subnet: subnetOf(1), Subnet6: prefix("fd00:10:0:1::/64"), PublicIP: addr("192.0.2.1")},
		{Key: "b", Subnet: subnetOf(2), Subnet6: prefix("fd00:10:0:2::/64"), PublicIP: addr("192.0.2.2")},
		{Key: "c", Subnet: subnetOf(2), PublicIP: addr("192.0.2.3")},
		{Key: "d", Subnet6: prefix("fd00:10:0:4::/64"), PublicIPv6: addr("2001:db8::4")},
		{Key: "e", Subnet: subnetOf(5), Subnet6: prefix("fd00:10:0:4::/64"), PublicIP: addr("192.0.2.5")},
		{Key: "f", Subnet: subnetOf(6), Subnet6: prefix("fd00:10:0:7::/64"), PublicIP: addr("192.0.2.6")},
		{Key: "g", Subnet: subnetOf(7), Subnet6: prefix("fd00:10:0:7::/64"), PublicIP: addr("192.0.2.7")},
	}
	for _, c := range []struct{ text, want string }{
		{"10.10.1.0/24", "a"},
		{"10.10.1.0-24", "a"},
		{"fd00:10:0:1::/64", "a"},
		{"fd00:10:0:1::-64", "a"},
		{"10.10.1.0-24&fd00:10:0:1::-64", "a"},
		{"10.10.1.0/24,fd00:10:0:1::/64", "a"},
		{"10.10.2.0/24", "c"}, // exactly that one
		{"10.10.2.0/24,fd00:10:0:2::/64", "b"},
		{"0.0.0.0-0&fd00:10:0:4::-64", "d"},
		{"fd00:10:0:7::/64", "several keys lease fd00:10:0:7::/64: say which of f, g"},
		{"10.10.1.0/24,fd00:10:0:2::/64", "nobody has 10.10.1.0/24 fd00:10:0:2::/64; the nearest is 10.10.1.0/24 fd00:10:0:1::/64 of flannel at 192.0.2.1"},
		{"10.10.9.0/24", "nobody has 10.10.9.0/24; the nearest is 10.10.7.0/24 fd00:10:0:7::/64 of flannel at 192.0.2.7"},
		{"10.10.1.128/25", "nobody has 10.10.1.128/25; the nearest is 10.10.1.0/24 fd00:10:0:1::/64 of flannel at 192.0.2.1"},
	} {
		v4, v6, err := ParseSubnet(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		got := ""
		if i, err := findSubnet(list, subnets{v4, v6}); err != nil {
			got = err.Error()
		} else {
			got = list[i].Key
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.text, got, c.want)
		}
	}
	if _, err := findSubnet(list[:1], subnets{v4: subnetOf(1)}); err == nil || err.Error() != "nobody has 10.10.1.0/24, nor any subnet like it" {
		t.Errorf("nothing leased: got %v", err)
	}
}

func TestWhatIsNoSubnetIsNotReleased(t *testing.T) {
	for _, text := range []string{
		"", "hello", "10.10.3.0", "10.10.3.0/33", "10.10.3.0-24-24", "10.10.3.7/24", "::ffff:10.10.3.0/120", "0.0.0.0/0", "&", "10.10.3.0/24,", "10.10.3.0/24,10.10.4.0/24",
		"fd00::/64,10.10.3.0/24", "fd00::/64,fd01::/64", "10.10.3.0-24&fd00::-64&fd01::-64", "fd00::%eth0/64",
	} {
		if v4, v6, err := ParseSubnet(text); err == nil || v4.IsValid() || v6.IsValid() {
			t.Errorf("%q: got %s, %s, %v, want an error", text, v4, v6, err)
		}
	}
	e := startEtcd(t)
	s, _ := e.store()
	e.put(subnetsDir+"hello", "world")
	if _, err := s.Release(e.ctx, netip.Prefix{}, netip.Prefix{}, true); err == nil {
		t.Error("a subnet without a name: released")
	}
	if got := e.names(subnetsDir); len(got) != 1 {
		t.Errorf("left: %s", got)
	}
}
