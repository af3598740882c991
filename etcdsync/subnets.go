package etcdsync

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

// SubnetRecord is one key under subnets/, for people to look at.
type SubnetRecord struct {
	// Key is the key's name without the prefix, as in "10.10.238.0-24".
	Key string
	// Subnet and Subnet6 are what the key leases; either may be the zero
	// Prefix.
	Subnet, Subnet6 netip.Prefix
	// PublicIP and PublicIPv6 are the holder's addresses, NodeID its
	// identity (empty for flannel).
	PublicIP, PublicIPv6 netip.Addr
	NodeID               string
	// BackendType is "vxlan" for those that count.
	BackendType string
	VNI         encap.VNI
	Port        uint16
	MAC         ether.Addr
	// TTL is the time left, Granted what the lease was granted for. Both are
	// 0 for a Reservation, which has no lease.
	TTL, Granted time.Duration
	Reservation  bool
	// Created and Revision are etcd's revisions of the key's first and
	// latest value.
	Created, Revision int64
	// Fault says what is wrong with the key or its value, empty when nothing
	// is. The other fields are what could be read.
	Fault string
}

// ttlRequests is how many leases are asked about at the same time.
const ttlRequests = 8

// Subnets lists the keys under subnets/, in the order of their names. It asks
// etcd about each lease, which makes it a command for people.
func (s *Store) Subnets(ctx context.Context) ([]SubnetRecord, error) {
	var out []SubnetRecord
	leases := make(map[clientv3.LeaseID][]int)
	_, err := s.list(ctx, subnetsDir, func(_ header, kvs []*mvccpb.KeyValue) {
		for _, kv := range kvs {
			if id := clientv3.LeaseID(kv.Lease); id != 0 {
				leases[id] = append(leases[id], len(out))
			}
			out = append(out, subnetRecord(s.name(kv), kv))
		}
	})
	if err != nil {
		return nil, err
	}
	return out, s.addTTLs(ctx, out, leases)
}

// addTTLs fills in the time that leases have left.
func (s *Store) addTTLs(ctx context.Context, out []SubnetRecord, leases map[clientv3.LeaseID][]int) error {
	ids := make(chan clientv3.LeaseID)
	errs := make([]error, ttlRequests)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			for id := range ids {
				errs[i] = errors.Join(errs[i], s.addTTL(ctx, out, id, leases[id]))
			}
		})
	}
	for id := range leases {
		ids <- id
	}
	close(ids)
	all.Wait()
	return errors.Join(errs...)
}

// addTTL fills in what is left of one lease, in the records that hang on it.
func (s *Store) addTTL(ctx context.Context, out []SubnetRecord, id clientv3.LeaseID, records []int) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	ctx, cancel := s.request(ctx)
	defer cancel()
	r, err := c.TimeToLive(ctx, id)
	if err != nil {
		return fmt.Errorf("ask for the time left of an etcd lease: %w", err)
	}
	for _, i := range records {
		out[i].TTL = time.Duration(max(r.TTL, 0)) * time.Second
		out[i].Granted = time.Duration(r.GrantedTTL) * time.Second
	}
	return nil
}

// subnetRecord reads one key.
func subnetRecord(name string, kv *mvccpb.KeyValue) SubnetRecord {
	r := SubnetRecord{
		Key: strings.TrimPrefix(name, subnetsDir), Reservation: kv.Lease == 0,
		Created: kv.CreateRevision, Revision: kv.ModRevision,
	}
	k, err := parseKey(name)
	if err != nil {
		r.Fault = err.Error()
		return r
	}
	r.Subnet, r.Subnet6 = k.subnets.v4, k.subnets.v6
	v, err := parseLease(kv.Value)
	if err != nil {
		r.Fault = err.Error()
		return r
	}
	r.PublicIP, r.PublicIPv6, r.NodeID = v.publicIP, v.publicIPv6, v.node
	r.BackendType, r.VNI, r.Port, r.MAC = v.backend, v.vni, v.port, v.mac
	if r.MAC.IsZero() {
		r.MAC = v.mac6
	}
	return r
}
