// Package underlay carries VXLAN datagrams: the UDP sockets of a VTEP.
//
// There are two kinds of socket. Receivers are bound to the VTEP's port, one a
// lane and address family, sharing the port by SO_REUSEPORT; the kernel gives
// each sender's flow to one of them. There may be such receivers on further
// ports, for a time when VTEPs go from one port to another. Sources are bound to a port of their own
// from which datagrams leave, so that routers on the way can spread flows
// (RFC 7348 §5 asks for a source port hashed from the inner headers); they
// receive nothing and say so with a filter that drops everything.
//
//	Sender ── group by source port and VTEP ── runs ── UDP_SEGMENT ── sendmmsg
//	Receiver ── recvmmsg ── UDP_GRO ── messages of one or many datagrams
//
// A run is consecutive datagrams to one VTEP from one source port with one
// size (the last may be shorter): it leaves as one UDP_SEGMENT message. Order
// within a flow is kept, because a flow has one source port and one VTEP;
// between flows it is not promised.
//
// # Poor kernels
//
// Every feature is asked for once and its absence noted in Capabilities. One
// that is refused while running (UDP_SEGMENT with EIO on a route that cannot
// offload checksums; sendmmsg with ENOSYS) is given up for good and what was
// refused is sent again without it.
//
// # Concurrency and lifetime
//
// Each goroutine has a Sender or Receiver of its own; the sockets of the
// sources are shared, which the kernel allows. Stop is: Wake, wait for the
// goroutines, Close.
//
// Of this module only package encap is imported, for the two types that
// describe a datagram, internal/wait, and internal/ledger to count by VTEP.
package underlay
