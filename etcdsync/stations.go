package etcdsync

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

// ErrNoStatic: there is no static entry of that name.
var ErrNoStatic = errors.New("no such static entry")

// StationRecord is a station as etcd has it: what a host announces, or what an
// operator wrote down.
type StationRecord struct {
	VNI encap.VNI
	MAC ether.Addr
	IPs []netip.Addr
	// Static tells an operator's entry from an endpoint.
	Static bool
	// NodeID is the host that announces it, VTEP where that is or where the
	// operator says that the station is: the zero Addr when the host has no
	// record, and then the station counts for nothing.
	NodeID string
	VTEP   netip.Addr
	// Seq is how often it moved, Since when its host saw it first; the zero
	// Time when nothing says so.
	Seq   uint64
	Since time.Time
	// Created and Revision are etcd's revisions of the key's first and latest
	// value.
	Created, Revision int64
	// Fault says why the entry counts for nothing, empty when it is good.
	Fault string
}

// ListStations lists the stations of all hosts and operators, by VNI and MAC
// address; static entries, which count first, before endpoints.
func (s *Store) ListStations(ctx context.Context) ([]StationRecord, error) {
	var out []StationRecord
	at := make(map[string]netip.Addr)
	take := func(_ header, kvs []*mvccpb.KeyValue) {
		for _, kv := range kvs {
			k, err := parseKey(s.name(kv))
			switch {
			case err != nil:
			case k.kind == host:
				if v, err := parseHost(kv.Value); err == nil {
					at[k.node] = cmp.Or(v.publicIP, v.publicIPv6)
				}
			case k.kind == endpoint, k.kind == static:
				out = append(out, stationRecord(k, kv))
			}
		}
	}
	for _, dir := range []string{staticDir, hostsDir} {
		if _, err := s.list(ctx, dir, take); err != nil {
			return nil, err
		}
	}
	for i := range out {
		if r := &out[i]; !r.Static {
			r.VTEP = at[r.NodeID]
		}
	}
	slices.SortFunc(out, StationRecord.compare)
	return out, nil
}

func (r StationRecord) compare(o StationRecord) int {
	return cmp.Or(cmp.Compare(r.VNI, o.VNI), bytes.Compare(r.MAC[:], o.MAC[:]), cmp.Compare(r.NodeID, o.NodeID))
}

func stationRecord(k key, kv *mvccpb.KeyValue) StationRecord {
	r := StationRecord{
		VNI: k.vni, MAC: k.mac, Static: k.kind == static, NodeID: k.node, Created: kv.CreateRevision, Revision: kv.ModRevision,
	}
	var err error
	if r.Static {
		var v staticValue
		v, err = parseStatic(kv.Value)
		r.IPs, r.VTEP = v.ips, v.vtep
	} else {
		var v endpointValue
		v, err = parseEndpoint(kv.Value)
		r.IPs, r.Seq, r.Since = v.ips, v.seq, v.since
	}
	if err != nil {
		r.Fault = err.Error()
	}
	return r
}

// AddStatic writes down where a station is. It reports whether it did: the same
// entry may be there already. Another one is not replaced.
func (s *Store) AddStatic(ctx context.Context, vni encap.VNI, mac ether.Addr, ips []netip.Addr, vtep netip.Addr) (added bool, err error) {
	value, err := staticValue{ips, vtep}.marshal()
	if err != nil {
		return false, err
	}
	_, bad := parseStatic(value) // what hosts would not read is not written
	if err := errors.Join(checkMAC(mac), bad); err != nil {
		return false, err
	}
	key := s.prefix + staticKey(vni, mac)
	answer, err := s.commit(ctx, txn{
		compare:   []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), "=", 0)},
		then:      []clientv3.Op{clientv3.OpPut(key, string(value))},
		otherwise: []clientv3.Op{clientv3.OpGet(key)},
	})
	if err != nil || answer.Succeeded {
		return err == nil, err
	}
	if kvs := answer.Responses[0].GetResponseRange().Kvs; len(kvs) > 0 && string(kvs[0].Value) != string(value) {
		return false, fmt.Errorf("there is a static entry for %s in VNI %s already: %s; delete it first", mac, vni, kvs[0].Value)
	}
	return false, nil
}

// DeleteStatic removes the static entry of a station; ErrNoStatic if there is
// none.
func (s *Store) DeleteStatic(ctx context.Context, vni encap.VNI, mac ether.Addr) error {
	key := s.prefix + staticKey(vni, mac)
	answer, err := s.commit(ctx, txn{
		compare: []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), ">", 0)},
		then:    []clientv3.Op{clientv3.OpDelete(key)},
	})
	if err == nil && !answer.Succeeded {
		err = fmt.Errorf("%w: %s in VNI %s", ErrNoStatic, mac, vni)
	}
	return err
}
