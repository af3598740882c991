package metrics

import (
	"net/netip"
	"time"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/ledger"
	vswitch "github.com/uvtep/uvtep/switch"
)

// Snapshot is what an agent tells at one moment. The zero Snapshot is that of one
// that has not found its network yet.
type Snapshot struct {
	Networks []Network
	// Shared counts what belongs to no network: the batches and runs received.
	Shared   vswitch.Stats
	Underlay underlay.Stats
	// RecvBuffer and SendBuffer are what a socket was granted, in bytes of payload.
	RecvBuffer, SendBuffer int
	Features               map[string]bool // in use or not, by name; of several networks, in all of them
	Connected              bool            // etcd answers as it should
	Healthy, Ready         bool
}

// Network is one network of an agent.
type Network struct {
	VNI         encap.VNI
	Stats       vswitch.Stats
	Sent, Heard Traffic
	MTU         int // of the TAP
	Tables      Tables
	Etcd        Etcd
	// SubnetEnds and LivenessEnds are when the two leases would run out if they
	// were not kept alive; the zero Time for one that is not there.
	SubnetEnds, LivenessEnds time.Time
}

// Traffic is what a Ledger has, by VTEP.
type Traffic struct {
	By     map[netip.Addr]ledger.Sum
	Others ledger.Sum
}

// TrafficOf reads a Ledger.
func TrafficOf(l *ledger.Ledger) (t Traffic) {
	t.By, t.Others = l.Sums()
	return t
}

// Tables are the sizes of what is in force.
type Tables struct {
	Revision                           int64
	StaleSince                         time.Time // zero: they are not
	FDB, ARP, ND, VTEPs, Peers, Routes int
	Conflicts, Unusable                int
}

// Etcd is what a network has heard of etcd.
type Etcd struct {
	Heard etcdsync.Heard
	etcdsync.Counts
}
