package encap

import "github.com/uvtep/uvtep/encap/ether"

// DSCPMask are the six bits of the type of service and traffic class bytes that
// say which service a packet gets (RFC 2474); the other two are ECN's. The two
// fields are never treated as one (RFC 9601 §4).
const DSCPMask = 0xff &^ ECNMask

// Outer says how outer headers follow from inner ones. The zero Outer gives all
// datagrams DSCP 0 and the sender's own TTL.
type Outer struct {
	// DSCP is what all datagrams get, in its place in the type of service: its
	// two lowest bits are 0. This is the pipe model of RFC 2983.
	DSCP uint8
	// InheritDSCP gives them that of the inner packet instead (RFC 2983, the
	// uniform model), and 0 for anything but IP.
	InheritDSCP bool
	// InheritTTL gives them the inner TTL or hop limit, and for anything but IP
	// the sender's own.
	InheritTTL bool
}

// Datagram begins the datagram that carries f: what is left to set is where it
// goes and what it holds.
func (o Outer) Datagram(f ether.Frame) Datagram {
	if o.InheritDSCP || o.InheritTTL {
		return o.inherit(f)
	}
	return Datagram{Flow: FlowHash(f), TOS: o.DSCP | OuterECN(f)}
}

func (o Outer) inherit(f ether.Frame) Datagram {
	tos, ttl := service(f)
	d := Datagram{Flow: FlowHash(f), TOS: o.DSCP | tos&ECNMask}
	if o.InheritDSCP {
		d.TOS = tos
	}
	if o.InheritTTL {
		d.TTL = ttl
	}
	return d
}

// service returns the type of service and the TTL of an IP packet, or traffic
// class and hop limit; zeros for anything else.
func service(f ether.Frame) (tos, ttl uint8) {
	t, b := network(f)
	switch t {
	case ether.TypeIPv4:
		return ether.IPv4(b).TOS(), ether.IPv4(b).TTL()
	case ether.TypeIPv6:
		return ether.IPv6(b).TrafficClass(), ether.IPv6(b).HopLimit()
	}
	return 0, 0
}
