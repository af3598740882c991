package etcdsync

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/fdb"
	"github.com/uvtep/uvtep/internal/snapmap"
)

// Tables are what etcd says about the other hosts, at one revision. They are
// immutable and share with those before all that did not change.
type Tables struct {
	// Rev is etcd's revision.
	Rev int64
	// Network is the configuration in force: the last one that was good. What
	// changes live is taken from here.
	Network Network
	// Latest is the last good configuration that etcd had: what a restart
	// begins with. It differs from Network in what needs one.
	Latest Network
	// StaleSince is when etcd was heard last if these are the tables of an
	// earlier run; the zero Time when etcd has confirmed them.
	StaleSince time.Time
	// Since is when the first of the changes came that these tables bring; the
	// zero Time when they are those of an earlier run.
	Since time.Time
	// FDB and ARP are the switch's tables.
	FDB *fdb.Table
	ARP *arpproxy.Table
	// Routes are all kernel routes there should be.
	Routes Routes
	// Peers are the subnet leases of other hosts, by their keys below the
	// prefix.
	Peers *snapmap.Map[string, *Peer]
	// Hosts are the records of other hosts, by their node ids.
	Hosts *snapmap.Map[string, *Peer]
	// Changed are the bindings that are new or different since the tables
	// published before; none at the first load. The stations behind the TAP
	// should be told of them.
	Changed []Change
	// Skipped is the number of keys whose value (or name) could not be used;
	// where there was a good value before, that one stands.
	Skipped int
	// Conflicts are what two hosts have that only one can: at most 100 of the
	// ConflictCount that there are.
	Conflicts     []Conflict
	ConflictCount int
}

// Route is a kernel route through the TAP.
type Route struct {
	Dst netip.Prefix
	Via netip.Addr
	// Over6 says that datagrams for it go over IPv6, whose headers leave less
	// room than IPv4's.
	Over6 bool
}

// Change is a binding that a station behind the TAP may know otherwise.
type Change struct {
	arpproxy.Key
	MAC ether.Addr
}

func (c Change) compare(o Change) int {
	return cmp.Or(cmp.Compare(c.VNI, o.VNI), c.IP.Compare(o.IP))
}

// Peer is another host, as its subnet lease or its host record says.
type Peer struct {
	// Key is the key in etcd, Rev the revision of its value.
	Key string
	Rev int64
	// Subnet and Subnet6 are what it leases; either may be the zero Prefix, and
	// both are in a host record.
	Subnet, Subnet6 netip.Prefix
	// VTEP is where datagrams for the host go.
	VTEP *fdb.VTEP
	// MAC is the host's VTEP address, MAC6 the one for its IPv6 subnet: the
	// same one unless the host runs flannel. A host record has neither.
	MAC, MAC6 ether.Addr
	// NodeID is the host's identity, empty when it runs flannel.
	NodeID string
	// Probe is of a host record alone, nil when the agent answers no probes.
	Probe *Probe
}
