package etcdsync

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/state"
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
	// Lease is the etcd lease that the key hangs on, 0 for a Reservation,
	// which has none.
	Lease       int64
	Reservation bool
	// TTL is the time left, Granted what the lease was granted for. Both are
	// 0 for a Reservation, and when etcd did not tell.
	TTL, Granted time.Duration
	// Life is what etcd knows of the holder being up.
	Life Life
	// Created and Revision are etcd's revisions of the key's first and
	// latest value. When that was etcd does not keep.
	Created, Revision int64
	// Fault says what is wrong with the key or its value, empty when nothing
	// is. The other fields are what could be read.
	Fault string
	// Unanswered says why etcd did not tell of the lease or of the holder,
	// empty when it did.
	Unanswered string
	// Conflicts are what the holder has in common with others and cannot.
	Conflicts []Conflict
}

// Age is the time since the lease was last renewed, 0 when that is not known.
// How long the holder has had the subnet etcd does not tell.
func (r *SubnetRecord) Age() time.Duration { return max(r.Granted-r.TTL, 0) }

// Holder names who has the subnet, for people.
func (r *SubnetRecord) Holder() string {
	if !r.PublicIP.IsValid() && !r.PublicIPv6.IsValid() {
		return "somebody whose entry cannot be read"
	}
	return holderName(r.NodeID, r.PublicIP, r.PublicIPv6)
}

func (r *SubnetRecord) subnets() subnets { return subnets{r.Subnet, r.Subnet6} }

// Subnets lists the keys under subnets/, in the order of their names. It asks
// etcd about each lease and each holder, which makes it a command for people.
// A question that etcd does not answer costs what it was about, see
// [SubnetRecord.Unanswered].
func (s *Store) Subnets(ctx context.Context) ([]SubnetRecord, error) {
	list, err := s.subnetRecords(ctx)
	if err != nil {
		return nil, err
	}
	s.askAbout(ctx, list)
	addConflicts(list)
	return list, nil
}

// Holders is Subnets without the time that leases have left, of which etcd has to
// be asked one by one: it costs about as much as the list.
func (s *Store) Holders(ctx context.Context) ([]SubnetRecord, error) {
	list, err := s.subnetRecords(ctx)
	if err != nil {
		return nil, err
	}
	s.askForHosts(ctx, list)
	addConflicts(list)
	return list, nil
}

// subnetRecords lists what the keys themselves say.
func (s *Store) subnetRecords(ctx context.Context) ([]SubnetRecord, error) {
	var out []SubnetRecord
	_, err := s.list(ctx, subnetsDir, func(_ header, kvs []*mvccpb.KeyValue) {
		for _, kv := range kvs {
			out = append(out, subnetRecord(s.name(kv), kv))
		}
	})
	return out, err
}

// subnetRecord reads one key.
func subnetRecord(name string, kv *mvccpb.KeyValue) SubnetRecord {
	r := SubnetRecord{
		Key: strings.TrimPrefix(name, subnetsDir), Lease: kv.Lease, Reservation: kv.Lease == 0,
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

// hasNode reports whether the holder says who it is, so that its host record
// can be looked for.
func (r *SubnetRecord) hasNode() bool { return state.ValidNodeID(r.NodeID) }
