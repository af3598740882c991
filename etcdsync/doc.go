// Package etcdsync is the control plane: it leases the host's subnet,
// registers the host, and turns what etcd says about the others into tables.
// It is the only package that speaks to etcd.
//
//	                 ┌─ Acquire, Run ──> <prefix>/subnets/10.10.238.0-24     etcd lease of 24 h
//	this host ── Store                   <prefix>/uvtep/hosts/<id>/host      etcd lease of 30 s
//	                 ├─ Endpoints.Run ─> <prefix>/uvtep/hosts/<id>/endpoints the same
//	                 └─ Follow <──────── <prefix>/…                          of everybody
//	                       │
//	   list at R, watch R+1 ──> intake ──> board ──> publisher ──> *Tables
//	                            decode     who has    newest        switch,
//	                            refuse     what       wins          routes
//
// # Keys and values
//
// They are flannel's, byte for byte, so that uvtep hosts and flanneld hosts
// share a network. What uvtep adds lies inside Backend and BackendData, which
// flannel ignores, or under <prefix>/uvtep/:
//
//	config                                the network, see Network
//	subnets/10.10.238.0-24                a lease (dual stack: …&fd00:10:238::-64)
//	uvtep/hosts/<node id>/host            a host
//	uvtep/hosts/<node id>/endpoints/1/<mac>  a station behind it, as it says itself
//	uvtep/static/1/<mac>                  a station, as an operator says
//
// # Rules
//
// Identity is the node id; addresses change. Every write is a compare-and-swap,
// so that a write whose answer was lost can be repeated, and nobody's key is
// overwritten. A new subnet key also needs that nothing under subnets/ changed
// since it was chosen: the name of an overlapping key can be any. A key without
// an etcd lease is a reservation and stays one. A key of ours that somebody
// else wrote is theirs: an alarm, then another subnet, never a fight.
//
// Two etcd leases a host: losing the short one takes away the host's stations,
// the long one its subnet. A stop revokes neither.
//
// Nothing is ever emptied by an error. A value that cannot be used costs its
// own key alone, and the key's last good value stands. A watch that ends, for
// whatever reason, is followed by a list and a comparison of whole values; a
// list is believed when it is complete, and one that lacks more than half of
// what was there is doubted for a while. A watch has come as far as its last
// event says, not its header.
//
// A cache is the keys that are in the tables, with their last good values, of a
// stated revision. A start begins with it and then lists, as after any doubt.
//
// # Who has what
//
// One row per key brings its route, bindings and entries into the tables and
// takes them out together. Rows that claim the same address are sorted out
// where the address is: lease before static before endpoint, of endpoints of
// one MAC the one that moved last, else the older key. A row has a say about
// IP addresses only while it has the MAC address that they are bound to, so
// that FDB and ARP always agree. The cost of a change does not depend on the
// size of the tables.
//
// A large network has a hundred thousand stations, so that what there is of each
// is small: one row of 80 bytes, which spells its key and its value when it is
// asked for them, and a slot in each index that finds it.
//
// What two hosts have and only one can (an address, a MAC address, a node id, a
// subnet) goes to one of them by these rules, and the census tells of it.
//
// # Words
//
//   - lease: a subnet key; etcd's own leases are tenancies here
//   - claim: what a host asks for; registration: what it has
//   - row: a key's value, decoded; board: all rows and the tables to come
//   - index: finds rows by the hash of what they have, which is read from them
//   - party: what one key says about its host; census: all parties
//   - roster: the stations behind this host, and what is to be announced of them
//   - station: an Ethernet address with the IP addresses bound to it
//   - session: from one list to the end of the watch that follows it
//   - revision: etcd's
//
// # Concurrency
//
// A Store may be used by several goroutines. Follow and Run block until their
// context ends and leave no goroutine behind. Publish is called from one
// goroutine, one call at a time; while it takes its time, later tables replace
// those that nobody has seen.
//
// # What it refuses
//
// It takes no lock in etcd, since a lock there is no guard. It never revokes,
// and deletes no key but one of its own that does not fit the network any
// more, a station that is no longer behind the host, and what an operator
// releases or deletes. It writes no file: what it wants kept for the next start
// it hands to its caller, see FollowConfig.Save. It does not route around the tunnel (DirectRouting) and reads no flannel
// network that is kept in Kubernetes, which has no keys.
package etcdsync
