// Package encap is VXLAN on the wire, as RFC 7348 §5 has it: the header, the
// network identifier, how many bytes the tunnel costs, which flow a frame
// belongs to, and how the congestion bits cross the tunnel.
//
// # The story
//
// A frame that leaves gets eight bytes in front and becomes the payload of a
// UDP datagram; one that arrives loses them. Around these two steps stand
// three questions that are answered here from the bytes of the frame alone:
// which source port keeps its flow in order under equal-cost routing
// (FlowHash), what the outer header says about congestion (OuterECN), and what
// the inner header must learn from the outer one (InnerECN).
//
//	+----------+---------+-------+----------------+-----------------
//	| outer IP |   UDP   | VXLAN | inner Ethernet | inner payload …
//	| 20 or 40 |    8    |   8   | 14, +4 a tag   |
//	+----------+---------+-------+----------------+-----------------
//
// # Words
//
// A datagram is a VXLAN message over UDP. Inner is what the tunnel carries,
// outer what carries the tunnel. Datagram and Message are how the switch and
// the sockets hand datagrams to each other: a gather list going out, one
// received buffer coming in.
//
// # Concurrency
//
// Everything here is a value, a view over the caller's memory, or a function
// of its arguments; nothing allocates.
//
// # What it refuses
//
// No sockets, no tables, no policy: whether a VNI is ours, or a sender known,
// is decided elsewhere.
package encap
