package bench

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
)

// crowd is how many hosts come at once; the pool has ten subnets more.
const crowd = 50

func TestEtcdCrowdSharesNoSubnet(t *testing.T) {
	c := newEtcd(t, 1)
	var urls []string
	for _, e := range c.members {
		at, err := c.Hosts[0].Forward(netip.AddrPortFrom(e.Addr, 2379))
		must(t, err)
		urls = append(urls, "http://"+at.String())
	}
	var wg sync.WaitGroup
	var errs [crowd]error
	for i := range crowd {
		wg.Go(func() { errs[i] = c.join(urls, i) })
	}
	wg.Wait()
	must(t, errs[:]...)
	if n := c.neverShared(); n != crowd {
		t.Errorf("%d subnets are leased, want %d", n, crowd)
	}
}

// join registers one host of the crowd, over a connection of its own.
func (c *cluster) join(urls []string, i int) error {
	s, err := etcdsync.Dial(etcdsync.Options{Endpoints: urls})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	n, err := s.WaitNetwork(c.ctx)
	if err != nil {
		return err
	}
	r, err := s.Acquire(c.ctx, etcdsync.Claim{
		Network: n, NodeID: fmt.Sprintf("%032x", i+1),
		PublicIP: netip.AddrFrom4([4]byte{192, 0, 2, byte(i + 1)}), MAC: ether.Addr{2, 0, 0, 0, 7, byte(i)},
	})
	if err == nil && !r.Subnet().IsValid() {
		err = fmt.Errorf("host %d has no subnet", i)
	}
	return err
}

// neverShared goes through all of etcd's history: at no revision did two hosts'
// subnets have an address in common, nor did a subnet pass from one host to
// another. It returns how many subnets are leased in the end.
func (c *cluster) neverShared() int {
	c.t.Helper()
	history, err := c.History(c.ctx)
	must(c.t, err)
	holders := map[netip.Prefix]string{}
	for i, e := range history {
		name, ok := strings.CutPrefix(e.Key, prefix+"/subnets/")
		if !ok {
			continue
		}
		subnet := netip.MustParsePrefix(strings.ReplaceAll(name, "-", "/"))
		if e.Deleted {
			delete(holders, subnet)
			continue
		}
		var v stored
		must(c.t, json.Unmarshal([]byte(e.Value), &v))
		if was, leased := holders[subnet]; leased && was != v.BackendData.NodeID {
			c.t.Errorf("revision %d: %s passes from %s to %s", e.Revision, subnet, was, v.BackendData.NodeID)
		}
		holders[subnet] = v.BackendData.NodeID
		if i+1 < len(history) && history[i+1].Revision == e.Revision {
			continue // the transaction goes on
		}
		noOverlap(c.t, holders, e)
	}
	return len(holders)
}

func noOverlap(t testing.TB, holders map[netip.Prefix]string, e lab.Event) {
	t.Helper()
	nodes := map[string]netip.Prefix{}
	for p, node := range holders {
		for q := range holders {
			if p != q && p.Overlaps(q) {
				t.Errorf("revision %d: %s and %s overlap", e.Revision, p, q)
			}
		}
		if other, twice := nodes[node]; twice {
			t.Errorf("revision %d: %s has %s and %s", e.Revision, node, p, other)
		}
		nodes[node] = p
	}
}
