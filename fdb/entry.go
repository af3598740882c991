package fdb

import (
	"fmt"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

// Key names an entry: an Ethernet address within a VNI.
type Key struct {
	VNI encap.VNI
	MAC ether.Addr
}

// String returns the key as in "1/1a:0f:87:98:5e:c7".
func (k Key) String() string { return k.VNI.String() + "/" + k.MAC.String() }

// Origin tells who an entry comes from.
type Origin uint8

const (
	// Lease is the subnet lease of a host: the host's own VTEP address.
	Lease Origin = iota
	// Static is an operator's entry.
	Static
	// Endpoint is what a host says about a station behind it.
	Endpoint
)

// String returns "lease", "static" or "endpoint".
func (o Origin) String() string {
	switch o {
	case Lease:
		return "lease"
	case Static:
		return "static"
	case Endpoint:
		return "endpoint"
	}
	return fmt.Sprintf("origin(%d)", uint8(o))
}

// Entry is what the table knows about a key.
type Entry struct {
	// VTEP is the host the station is behind; nil when that is this host.
	VTEP *VTEP
	// Origin is who said so.
	Origin Origin
	// Rev is etcd's revision of the record the entry comes from.
	Rev int64
	// Seq is how often an endpoint has moved, as far as its host knows.
	Seq uint64
}
