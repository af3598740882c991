// Package ether views Ethernet frames and what they carry in place: the
// frame, its VLAN tags, IPv4, IPv6, UDP and TCP headers, and the Internet
// checksum that guards them.
//
// # The story
//
// A frame read from a TAP or taken out of a datagram is a run of bytes in a
// buffer that somebody else owns. Nothing here copies it into a struct: a
// header is a named slice over those bytes, its accessors read and write the
// bytes themselves, and a setter changes the frame that will leave. Each view
// has one door, Valid, which checks every length its accessors rely on; behind
// the door they are plain loads and may panic where Valid was never asked.
//
//	Frame ── Network ──► IPv4 ── Payload ───► UDP, TCP
//	     \           \─► IPv6 ── Transport ─► UDP, TCP
//	      \─ Tags, StripTags
//
// # Words
//
// A frame is an Ethernet II frame without its trailing check sequence. A tag
// is one 802.1Q or 802.1ad header between the addresses and the type. A sum is
// a ones-complement sum still to be folded, a checksum is its folded
// complement as headers carry it.
//
// # Concurrency
//
// Views share memory with whoever made them; they have no state of their own.
// Addr and Type are values. Nothing here allocates, except the functions that
// return strings or errors.
//
// # What it refuses
//
// No I/O, no clock, no logging, no reassembly and no option parsing beyond the
// walk along IPv6 extension headers, which ends after a fixed number of them.
package ether
