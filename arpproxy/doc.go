// Package arpproxy answers address resolution on behalf of the hosts of the
// overlay, from what the control plane knows, so that no question has to cross
// the tunnel.
//
// A lane asks [Decide] about each frame from the TAP. Most frames pass. An ARP
// request for an address in the [Table] is answered at once: [Reply] builds
// the answer in the lane's scratch and it goes back into the TAP. Decide is
// for the TAP's side only: what comes out of a tunnel is never answered.
//
//	frame from the TAP ──> Decide ─┬─ Pass        forwarded like any frame
//	                               ├─ Answer      Reply, back into the TAP
//	                               ├─ Silent      dropped
//	                               ├─ Malformed   dropped
//	                               ├─ Conflict    dropped, and somebody is told
//	                               ├─ Unknown     dropped, or replicated
//	                               └─ Gratuitous  dropped, or replicated
//
// When a binding moves, [Announce] builds the gratuitous ARP that tells the
// stations behind the TAP, whose caches would be wrong until they expire.
//
// # Words
//
//   - binding: the Ethernet address that an IP address of a VNI has
//   - asker: the station whose request is looked at
//   - probe: a request from 0.0.0.0, asking whether an address is free
//     (RFC 5227 §2.1); announcement: a frame whose sender asks for itself
//
// # Concurrency
//
// Like those of package fdb: a Table is immutable, an Editor belongs to one
// goroutine, functions keep no state.
//
// # What it refuses
//
// It learns nothing: no frame changes a binding. It answers no malformed
// request, nobody about their own address, and no unicast poll of an endpoint,
// which its owner answers (RFC 9161 §3.3). It does not limit rates.
package arpproxy
