package underlay

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"

	"github.com/uvtep/uvtep/internal/ledger"
)

// ErrPortTaken says that something else receives on the VTEP's port.
var ErrPortTaken = errors.New("UDP port is taken")

// Config says which sockets Open opens.
type Config struct {
	// Addr4 and Addr6 are the VTEP's own addresses, to which the sockets are
	// bound; an invalid one leaves its family out. One is needed.
	Addr4, Addr6 netip.Addr
	// Port is where datagrams are received.
	Port uint16
	// Lanes is how many receivers a family has; 0 means 1.
	Lanes int
	// SourcePorts is how many outer source ports are in use, from the range
	// SourceMin to SourceMax (both included).
	SourcePorts          int
	SourceMin, SourceMax uint16
	// TTL of the outer header; 0 means 64.
	TTL int
	// NoChecksum sends IPv4 datagrams with a zero UDP checksum. The kernel then
	// refuses UDP_SEGMENT, so every datagram is sent by itself.
	NoChecksum bool
	// RecvBuffer and SendBuffer are the socket buffers to ask for, in bytes; 0
	// leaves the kernel's default.
	RecvBuffer, SendBuffer int
	// Files are sockets that are open already, handed in by a predecessor:
	// those bound to Port become receivers, others sources. Open takes them
	// over and opens only what is missing.
	Files []*os.File
	// Degraded, if not nil, is told once of each feature (named as in
	// Capabilities.Reason) that is refused while running and given up for good.
	// It is called by the goroutine that sends or receives.
	Degraded func(feature string, why error)
	// TooBig, if not nil, is told of each VTEP that a datagram was too large for
	// (EMSGSIZE): the kernel knows of a narrow path. It is called by the
	// goroutine that sends, and must not wait.
	TooBig func(vtep netip.Addr)
}

// Capabilities is what the kernel granted.
type Capabilities struct {
	UDPSegment bool // UDP_SEGMENT: one send for a run
	UDPGRO     bool // UDP_GRO: one receive for a run
	Mmsg       bool // sendmmsg and recvmmsg
	RecvBuffer int  // bytes granted a receiver, as the kernel counts (twice the payload)
	SendBuffer int  // bytes granted a source
	// Reason tells by feature name ("udp_segment", "udp_gro", "sendmmsg",
	// "recvmmsg", "ppoll", "recv_buffer", "send_buffer") why it is less than
	// asked for.
	Reason map[string]string
}

// Stats counts what the sockets did since Open. Every datagram given to Send
// is in exactly one of Datagrams, TooBig, NoRoom and Refused.
type Stats struct {
	Datagrams uint64 // taken by the kernel
	Messages  uint64 // of which runs that were one message
	Calls     uint64 // system calls that sent them
	TooBig    uint64 // larger than the route's MTU (EMSGSIZE)
	NoRoom    uint64 // socket buffer or device queue full
	Refused   uint64 // no route, unreachable, filtered
	Overrun   uint64 // received datagrams that the kernel dropped: receive buffer full
	// Runs are the Messages by their length in datagrams, see ledger.Class.
	Runs [ledger.Classes]uint64
}

// counters is Stats as it is counted: added to once a batch.
type counters struct {
	datagrams, messages, calls, tooBig, noRoom, refused, overrun atomic.Uint64

	runs [ledger.Classes]atomic.Uint64
}

// Stats returns a reading; the fields are each exact, but not of one instant.
func (u *Underlay) Stats() Stats {
	c := &u.count
	s := Stats{
		Datagrams: c.datagrams.Load(), Messages: c.messages.Load(), Calls: c.calls.Load(),
		TooBig: c.tooBig.Load(), NoRoom: c.noRoom.Load(), Refused: c.refused.Load(), Overrun: c.overrun.Load(),
	}
	for i := range s.Runs {
		s.Runs[i] = c.runs[i].Load()
	}
	return s
}

func (c *Config) setDefaults() {
	c.Lanes = max(c.Lanes, 1)
	c.SourcePorts = max(c.SourcePorts, 1)
	if c.TTL == 0 {
		c.TTL = 64
	}
	if c.SourceMin == 0 && c.SourceMax == 0 {
		c.SourceMin, c.SourceMax = 49152, 65535 // RFC 7348 §5 recommends this range
	}
}

func (c *Config) validate() error {
	var errs []error
	if !c.Addr4.IsValid() && !c.Addr6.IsValid() {
		errs = append(errs, errors.New("no address to bind to"))
	}
	if c.Addr4.IsValid() && !c.Addr4.Is4() {
		errs = append(errs, fmt.Errorf("%s is not an IPv4 address", c.Addr4))
	}
	if c.Addr6.IsValid() && (!c.Addr6.Is6() || c.Addr6.Is4In6()) {
		errs = append(errs, fmt.Errorf("%s is not an IPv6 address", c.Addr6))
	}
	if c.Port == 0 {
		errs = append(errs, errors.New("port 0 cannot be received on"))
	}
	if c.SourceMax < c.SourceMin || int(c.SourceMax-c.SourceMin)+1 < c.SourcePorts {
		errs = append(errs, fmt.Errorf("source port range %d-%d has no room for %d ports", c.SourceMin, c.SourceMax, c.SourcePorts))
	}
	if c.SourcePorts > maxSources {
		errs = append(errs, fmt.Errorf("%d source ports are more than %d", c.SourcePorts, maxSources))
	}
	return errors.Join(errs...)
}

// maxSources bounds the source ports in use: each is a socket, and a batch
// spread over more of them than it has frames gains nothing.
const maxSources = 256
