// Package fdb is the forwarding database: which VTEP an Ethernet address is
// behind, per VNI, and which VTEPs a VNI has.
//
// Three questions come from the data path, each answered from an immutable
// [Table] without an allocation:
//
//	TAP → UDP   Lookup(vni, destination)   where does this frame go?
//	TAP → UDP   VTEPs(vni)                 to whom is it replicated?
//	UDP → TAP   Accepts(vni, outer source) may this datagram come in?
//	UDP → TAP   Lookup(vni, inner source).VTEP.Owns(outer source)
//	                                       is this sender behind that VTEP?
//
// The answers come from the control plane alone. Nothing is learned from
// frames (RFC 7432 §9.2 over etcd instead of BGP): a table changes only by an
// [Editor], whose changes become visible when the switch loads the next table.
//
// # Words
//
//   - VTEP: a host that speaks VXLAN, known by the address datagrams go to
//   - key: VNI and Ethernet address; entry: what the table knows about a key
//   - origin: who said so (a subnet lease, an operator, a host for its endpoint)
//   - revision: etcd's number of the change an entry comes from
//
// # Concurrency
//
// A Table and the VTEPs in it may be read by any number of goroutines. An
// Editor belongs to one goroutine; the tables it returned do not change when
// it goes on. A table shares with the one before it all that did not change.
//
// # What it refuses
//
// It decides no precedence between origins (the last Set wins; etcdsync knows
// the rules), has no ageing, no limits and no I/O. A VTEP whose address no
// unicast datagram can come from is not accepted as one.
package fdb
