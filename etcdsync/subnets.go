package etcdsync

import (
	"net/netip"
	"time"

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
