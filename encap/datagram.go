package encap

import "net/netip"

// Datagram is one outgoing datagram as a gather list. The sender reads it and
// everything it points at until the send call returns and keeps nothing.
type Datagram struct {
	// Peer is the VTEP it goes to.
	Peer netip.AddrPort
	// Flow is the FlowHash of the inner frame; it picks the source port.
	Flow uint32
	// TOS is the outer type of service or traffic class: DSCP and ECN.
	TOS uint8
	// TTL is the outer TTL or hop limit; 0 leaves it to the sender.
	TTL uint8
	// Data is the UDP payload in order; Data[0] begins with the VXLAN header.
	Data [][]byte
}

// Message is one received message. The caller provides Data and gets it back
// filled; the other fields are set by the receiver and say nothing before.
type Message struct {
	// Peer is who sent it.
	Peer netip.AddrPort
	// TOS is the outer type of service or traffic class: DSCP and ECN.
	TOS uint8
	// Segment is the size of the datagrams that the kernel joined into this
	// message, in bytes; the last may be shorter. 0: just one datagram.
	Segment int
	// Data is the buffer; its first N bytes are the message.
	Data []byte
	// N is how many bytes of Data were received.
	N int
}
