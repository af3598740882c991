package etcdsync

import (
	"fmt"
	"strings"
)

// Conflict is something that two hosts or more have and only one can.
type Conflict struct {
	Kind ConflictKind `json:"kind"`
	// What is the thing: an address and port, a MAC address, a node id, a
	// subnet or one within another.
	What string `json:"what"`
	// Hosts names some of the hosts for people, first the one that was there
	// first.
	Hosts []string `json:"hosts"`
	// Advice says what to do.
	Advice string `json:"advice"`
}

// ConflictKind is what a conflict is about.
type ConflictKind string

// The kinds of conflicts.
const (
	SameAddress ConflictKind = "address"
	SameMAC     ConflictKind = "mac"
	SameNode    ConflictKind = "node"
	SameSubnet  ConflictKind = "subnet"
)

// message is the event's name in the log.
func (k ConflictKind) message() string {
	return map[ConflictKind]string{
		SameAddress: "two hosts have one public address and port",
		SameMAC:     "two hosts have one MAC address",
		SameNode:    "two hosts have one node id",
		SameSubnet:  "two hosts have one subnet",
	}[k]
}

func (k ConflictKind) advice() string {
	return map[ConflictKind]string{
		SameAddress: "give each host a --public-ip (--public-ipv6) of its own; the record of a host that is gone or has a new node id runs out after its --liveness-ttl (30s by default)",
		SameMAC:     "if a state directory was copied: stop the later host, remove its --state-dir and start it again; else give each host a --mac of its own; `uvtep subnets release` ends the lease of a host that is gone",
		SameNode:    "a state directory was copied: stop the later host, remove its --state-dir and start it again",
		SameSubnet:  "`uvtep subnets` shows who is alive; `uvtep subnets release` ends the lease that should not be",
	}[k]
}

// String tells of the conflict in one line.
func (c Conflict) String() string {
	return fmt.Sprintf("%s: %s: %s. What to do: %s", c.Kind.message(), c.What, strings.Join(c.Hosts, "; "), c.Advice)
}

// maxConflicts bounds how many conflicts are told of one by one.
const maxConflicts = 100

// addConflicts tells of each record what its holder has in common with others.
func addConflicts(list []SubnetRecord) {
	c := newCensus()
	for i := range list {
		if r := &list[i]; r.says() {
			c.put(r.party())
			if r.Life == Alive {
				c.put(r.hostParty())
			}
		}
	}
	c.settle()
	for i := range list {
		if r := &list[i]; r.says() {
			r.Conflicts = c.of(r.party())
		}
	}
}

// says reports whether a record says something about a host that counts.
func (r *SubnetRecord) says() bool { return r.Fault == "" && r.BackendType == backendType }
