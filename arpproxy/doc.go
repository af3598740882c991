// Package arpproxy answers address resolution on behalf of the hosts of the
// overlay, from what the control plane knows, so that no question has to cross
// the tunnel.
//
// A lane asks [Decide] about each frame from the TAP. Most frames pass. A
// question for an address in the [Table], by ARP or by IPv6 neighbour
// discovery, is answered at once: [Reply] builds the answer in the lane's
// scratch and it goes back into the TAP. Decide is for the TAP's side only:
// what comes out of a tunnel is never answered.
//
//	frame from the TAP ──> Decide ─┬─ Pass        forwarded like any frame
//	                               ├─ Answer      Reply, back into the TAP
//	                               ├─ Silent      dropped
//	                               ├─ Malformed   dropped
//	                               ├─ Conflict    dropped, and somebody is told
//	                               ├─ Unknown     dropped, or replicated
//	                               └─ Gratuitous  dropped, or replicated
//
// When a binding moves, [Announce] builds the gratuitous ARP or the unsolicited
// advertisement that tells the stations behind the TAP, whose caches would be
// wrong until they expire.
//
// ARP and ND differ on the wire, not in the rules. Each has a view ([View],
// [NDView]) whose Valid is the door: behind it both say the same few things
// (who claims which address, who is asked for) and one list of rules judges
// them. The rules are RFC 826, RFC 5227, RFC 4861 §7 and RFC 9161 §3.3, with
// what the defaults of uvtep leave of their choices:
//
//   - The address of a lease is answered for whoever asks, broadcast or
//     unicast. An endpoint answers those who ask it alone, which tells them
//     that it is alive.
//   - A question whose sender gives another Ethernet address than the frame's
//     source is not answered, so nobody can have answers sent to others.
//   - Options of ND that nobody knows are ignored (RFC 4861 §7.1.1), the nonce
//     of enhanced duplicate detection (RFC 7527) among them.
//   - Advertisements say R=1, the default of RFC 9161 §3.2.1.
//
// # Words
//
//   - binding: the Ethernet address that an IP address of a VNI has
//   - asker: the station whose question is looked at
//   - probe: a question from 0.0.0.0 or ::, asking whether an address is free
//     (RFC 5227 §2.1, RFC 4862 §5.4.2)
//   - announcement: a statement to all that nobody asked for
//
// # Concurrency
//
// Like those of package fdb: a Table is immutable, an Editor belongs to one
// goroutine, functions keep no state.
//
// # What it refuses
//
// It learns nothing: no frame changes a binding. It answers no malformed
// question and nobody about their own address; solicitations and advertisements
// behind IPv6 extension headers count as malformed. Router discovery, redirects and multicast listener reports pass as
// frames like any other. It does not limit rates.
package arpproxy
