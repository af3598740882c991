package etcdsync

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
)

// leased makes a listing: key, value, and whether it has an etcd lease.
type leased struct {
	name, value string
	lease       int64
}

func listingOf(all ...leased) *listing {
	l := newListing()
	for i, e := range all {
		l.add(subnetsDir+e.name, &mvccpb.KeyValue{
			Value: []byte(e.value), CreateRevision: int64(i + 1), ModRevision: int64(i + 1), Lease: e.lease,
		})
	}
	return l
}

func planClaim(change func(*Claim)) *Claim {
	n, err := networkOf(`{"Network":"10.10.0.0/16","SubnetMin":"10.10.1.0","SubnetMax":"10.10.4.0","Backend":{"Type":"vxlan","Port":4789}}`)
	if err != nil {
		panic(err)
	}
	c := &Claim{Network: n, NodeID: nodeA, PublicIP: addr("192.0.2.1"), MAC: mac(1)}
	if change != nil {
		change(c)
	}
	return c
}

// networkOf is ParseNetwork without the warnings.
func networkOf(text string) (Network, error) {
	n, _, err := ParseNetwork([]byte(text))
	return n, err
}

func dualStack(c *Claim) {
	n := NewNetwork(prefix("10.10.0.0/16"), prefix("fd00:10::/48"))
	c.Network, _ = n.Complete()
}

func TestWhichSubnetAHostTakes(t *testing.T) {
	b := leaseOf(nodeB, "192.0.2.2", mac(2))
	mine := leaseOf(nodeA, "192.0.2.1", mac(1))
	flannel := leaseOf("", "192.0.2.1", mac(9))
	tests := []struct {
		name   string
		claim  func(*Claim)
		lost   string
		leased []leased
		want   string // key
		base   string // key written over or replaced
		drop   string
	}{
		{"the first free one, when the dice say so", nil, "", nil, "10.10.1.0-24", "", ""},
		{"one that is free", nil, "", []leased{{"10.10.1.0-24", b, 1}, {"10.10.2.0-24", b, 2}}, "10.10.3.0-24", "", ""},
		{"not one that a part of is taken", nil, "", []leased{{"10.10.1.128-25", b, 1}}, "10.10.2.0-24", "", ""},
		{"not one that lies in a larger one", nil, "", []leased{{"10.10.0.0-23", b, 1}}, "10.10.2.0-24", "", ""},
		{"not one of a dual-stack key", nil, "", []leased{{"10.10.1.0-24&fd00:10:0:1::-64", b, 1}}, "10.10.2.0-24", "", ""},
		{"not one whose value cannot be read", nil, "", []leased{{"10.10.1.0-24", "rubbish", 1}}, "10.10.2.0-24", "", ""},
		{"keys that are no subnets are no obstacle", nil, "", []leased{{"hello", b, 1}, {"10.10.1.7-24", b, 1}}, "10.10.1.0-24", "", ""},
		{"its own", nil, "", []leased{{"10.10.1.0-24", b, 1}, {"10.10.3.0-24", mine, 2}}, "10.10.3.0-24", "10.10.3.0-24", ""},
		{"its own at whatever address it is now", func(c *Claim) { c.PublicIP = addr("192.0.2.77") }, "", []leased{{"10.10.3.0-24", mine, 2}}, "10.10.3.0-24", "10.10.3.0-24", ""},
		{"its own rather than the one it remembers", func(c *Claim) { c.Previous = prefix("10.10.4.0/24") }, "", []leased{{"10.10.3.0-24", mine, 2}}, "10.10.3.0-24", "10.10.3.0-24", ""},
		{"of several of its own the one it remembers", func(c *Claim) { c.Previous = prefix("10.10.3.0/24") }, "", []leased{{"10.10.2.0-24", mine, 2}, {"10.10.3.0-24", mine, 2}}, "10.10.3.0-24", "10.10.3.0-24", ""},
		{"of several of its own the oldest", nil, "", []leased{{"10.10.4.0-24", mine, 2}, {"10.10.3.0-24", mine, 2}}, "10.10.4.0-24", "10.10.4.0-24", ""},
		{"the one it remembers", func(c *Claim) { c.Previous = prefix("10.10.4.0/24") }, "", []leased{{"10.10.1.0-24", b, 1}}, "10.10.4.0-24", "", ""},
		{"another one if that is taken", func(c *Claim) { c.Previous = prefix("10.10.4.0/24") }, "", []leased{{"10.10.4.0-24", b, 1}}, "10.10.1.0-24", "", ""},
		{"another one if that is of another length", func(c *Claim) { c.Previous = prefix("10.10.4.0/26") }, "", nil, "10.10.1.0-24", "", ""},
		{"another one if that is outside", func(c *Claim) { c.Previous = prefix("10.11.4.0/24") }, "", nil, "10.10.1.0-24", "", ""},
		{"what flannel left here", nil, "", []leased{{"10.10.1.0-24", b, 1}, {"10.10.2.0-24", flannel, 2}}, "10.10.2.0-24", "10.10.2.0-24", ""},
		{"what flannel's udp backend left here", nil, "", []leased{{"10.10.2.0-24", strings.Replace(flannelUDPLease, "192.168.64.3", "192.0.2.1", 1), 2}}, "10.10.2.0-24", "10.10.2.0-24", ""},
		{"its own rather than flannel's", nil, "", []leased{{"10.10.2.0-24", flannel, 2}, {"10.10.3.0-24", mine, 2}}, "10.10.3.0-24", "10.10.3.0-24", ""},
		{"not a uvtep's with the same address", nil, "", []leased{{"10.10.1.0-24", leaseOf(nodeB, "192.0.2.1", mac(2)), 1}}, "10.10.2.0-24", "", ""},
		{"not again what somebody took from it", nil, "10.10.1.0/24", []leased{{"10.10.1.0-24", flannel, 1}}, "10.10.2.0-24", "", ""},
		{"not even when a copy of it took it", nil, "10.10.1.0/24", []leased{{"10.10.1.0-24", mine, 1}}, "10.10.2.0-24", "", ""},
		{"one that fits, when its own does not any more", nil, "", []leased{{"10.10.9.0-24", mine, 1}}, "10.10.1.0-24", "", "10.10.9.0-24"},
		{"one that fits, keeping a reservation that does not", nil, "", []leased{{"10.10.9.0-24", mine, 0}}, "10.10.1.0-24", "", ""},
		{"the wanted one", func(c *Claim) { c.Want = prefix("10.10.3.0/24") }, "", []leased{{"10.10.1.0-24", b, 1}}, "10.10.3.0-24", "", ""},
		{"the wanted one beyond the pool", func(c *Claim) { c.Want = prefix("10.10.200.0/24") }, "", nil, "10.10.200.0-24", "", ""},
		{"the wanted one in the place of its own", func(c *Claim) { c.Want = prefix("10.10.3.0/24") }, "", []leased{{"10.10.1.0-24", mine, 1}}, "10.10.3.0-24", "", "10.10.1.0-24"},
		{"the wanted one that is its own", func(c *Claim) { c.Want = prefix("10.10.200.0/24") }, "", []leased{{"10.10.200.0-24", mine, 1}}, "10.10.200.0-24", "10.10.200.0-24", ""},
		{"a dual-stack one", dualStack, "", nil, "10.10.1.0-24&fd00:10:0:1::-64", "", ""},
		{"a dual-stack one of free halves", dualStack, "", []leased{{"10.10.1.0-24&fd00:10:0:2::-64", b, 1}}, "10.10.2.0-24&fd00:10:0:1::-64", "", ""},
		{"its own IPv4 subnet, made dual-stack", dualStack, "", []leased{{"10.10.7.0-24", mine, 1}}, "10.10.7.0-24&fd00:10:0:1::-64", "10.10.7.0-24", "10.10.7.0-24"},
		{"flannel's IPv4 subnet, made dual-stack", dualStack, "", []leased{{"10.10.7.0-24", flannel, 1}}, "10.10.7.0-24&fd00:10:0:1::-64", "10.10.7.0-24", "10.10.7.0-24"},
		{"the halves it remembers", func(c *Claim) {
			dualStack(c)
			c.Previous, c.Previous6 = prefix("10.10.5.0/24"), prefix("fd00:10:0:6::/64")
		}, "", nil, "10.10.5.0-24&fd00:10:0:6::-64", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var lost subnets
			if tt.lost != "" {
				lost.v4 = prefix(tt.lost)
			}
			p := newPlanner(planClaim(tt.claim), lost)
			p.random = func(uint64) uint64 { return 0 }
			got, err := p.plan(listingOf(tt.leased...))
			if err != nil {
				t.Fatal(err)
			}
			base, drop := "", ""
			if got.base != nil {
				base = strings.TrimPrefix(got.base.name, subnetsDir)
			}
			for _, e := range got.drop {
				drop += strings.TrimPrefix(e.name, subnetsDir)
			}
			if got.subnets.name() != tt.want || base != tt.base || drop != tt.drop {
				t.Errorf("got %s over %q, dropping %q; want %s over %q, dropping %q", got.subnets.name(), base, drop, tt.want, tt.base, tt.drop)
			}
		})
	}
}

func TestWhenThereIsNoSubnetForAHost(t *testing.T) {
	b := leaseOf(nodeB, "192.0.2.2", mac(2))
	tests := []struct {
		name   string
		claim  func(*Claim)
		leased []leased
		want   error
		says   string
	}{
		{"all are taken", nil, []leased{{"10.10.1.0-24", b, 1}, {"10.10.2.0-23", b, 2}, {"10.10.4.0-24", "rubbish", 3}}, ErrNoSubnetFree, "all 4 subnets from 10.10.1.0/24 to 10.10.4.0/24"},
		{"the wanted one is", func(c *Claim) { c.Want = prefix("10.10.3.0/24") }, []leased{{"10.10.3.0-25", b, 1}}, ErrSubnetTaken, "node " + nodeB},
		{"the wanted one is flannel's", func(c *Claim) { c.Want = prefix("10.10.3.0/24") }, []leased{{"10.10.3.0-24", leaseOf("", "192.0.2.2", mac(2)), 1}}, ErrSubnetTaken, "flannel at 192.0.2.2"},
		{"nobody can say whose the wanted one is", func(c *Claim) { c.Want = prefix("10.10.3.0/24") }, []leased{{"10.10.3.0-24", "rubbish", 1}}, ErrSubnetTaken, "cannot be read"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newPlanner(planClaim(tt.claim), subnets{}).plan(listingOf(tt.leased...))
			if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.says)
			}
		})
	}
}

func TestAClaimThatMakesNoSenseIsRefusedWithAllItsFaults(t *testing.T) {
	good := Claim{Network: testNetwork(), NodeID: nodeA, PublicIP: addr("192.0.2.1"), MAC: mac(1)}
	tests := []struct {
		name   string
		change func(*Claim)
		kind   error
		want   []string
	}{
		{"everything at once", func(c *Claim) { *c = Claim{Network: c.Network, LeaseTTL: 1} }, ErrBadClaim, []string{"node id", "MAC", "PublicIP is missing", "a second at least"}},
		{"a network that does not fit", func(c *Claim) { c.Network.SubnetLen = 31 }, ErrBadNetwork, []string{"SubnetLen 31"}},
		{"families mixed up", func(c *Claim) { c.PublicIP = addr("fd00::1") }, ErrBadClaim, []string{"PublicIP fd00::1 is not"}},
		{"loopback", func(c *Claim) { c.PublicIP = addr("127.0.0.1") }, ErrBadClaim, []string{"public address: 127.0.0.1"}},
		{"a subnet of elsewhere", func(c *Claim) { c.Want = prefix("10.11.1.0/24") }, ErrBadClaim, []string{"10.11.1.0/24 is not a /24 of the network"}},
		{"a subnet of another length", func(c *Claim) { c.Want = prefix("10.10.1.0/25") }, ErrBadClaim, []string{"10.10.1.0/25 is not a /24"}},
		{"a subnet and none", func(c *Claim) { c.Want, c.NoSubnet = prefix("10.10.1.0/24"), true }, ErrBadClaim, []string{"one of the two"}},
		{"the MAC address of a group", func(c *Claim) { c.MAC[0] = 1 }, ErrBadClaim, []string{"not the MAC address of a station"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			tt.change(&c)
			_, err := c.complete()
			if !errors.Is(err, tt.kind) {
				t.Fatalf("got %v, want %v", err, tt.kind)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want %q in it", err, want)
				}
			}
		})
	}
	c := good
	c.Previous = netip.MustParsePrefix("10.10.3.1/24") // as subnet.env has it
	if c, err := c.complete(); err != nil || c.Previous != prefix("10.10.3.0/24") || c.Port != 4789 {
		t.Errorf("got %+v, %v, want the subnet masked and the network's port", c, err)
	}
}
