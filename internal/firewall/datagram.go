package firewall

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// Datagram is what is thought through a firewall: what is known of it. It is the
// first of its flow, which no rule for established ones takes, and bears no mark.
type Datagram struct {
	From, To netip.Addr // the zero Addr: not known
	IPv6     bool       // where neither is known
	Proto    byte       // UDP, TCP; 0: not known
	Port     uint16     // destination, 0: not known
	In, Out  string     // interfaces, "" where there is none
}

func (d *Datagram) six() bool { return d.From.Is6() || d.To.Is6() || d.IPv6 }

// The protocols that rules tell apart.
const (
	TCP = 6
	UDP = 17
)

const (
	nfprotoIPv4, nfprotoIPv6 = 2, 10

	ctNew = 8 // NF_CT_STATE_BIT(IP_CT_NEW)
)

// value is what a register holds: bytes, or nothing that is known.
type value struct {
	name  string // what it was loaded from, in nft's words
	known bool
	b     []byte
}

func known(name string, b ...byte) value { return value{name, true, b} }

func native(n uint32) []byte { return binaryutil.NativeEndian.PutUint32(n) }

// field is a header's part at an offset.
type field struct {
	at, end uint32
	name    string
	b       []byte // nil: not known
}

// headers are the fields of the datagram's headers.
func (d *Datagram) headers() (network, transport []field) {
	from, to := addrBytes(d.From), addrBytes(d.To)
	proto := []byte(nil)
	if d.Proto != 0 {
		proto = []byte{d.Proto}
	}
	if d.six() {
		network = []field{{6, 7, "ip6 nexthdr", proto}, {8, 24, "ip6 saddr", from}, {24, 40, "ip6 daddr", to}}
	} else {
		network = []field{{9, 10, "ip protocol", proto}, {12, 16, "ip saddr", from}, {16, 20, "ip daddr", to}}
	}
	l4 := map[byte]string{TCP: "tcp", UDP: "udp"}[d.Proto]
	if l4 == "" {
		l4 = "th"
	}
	port := []byte(nil)
	if d.Port != 0 {
		port = binary.BigEndian.AppendUint16(nil, d.Port)
	}
	return network, []field{{0, 2, l4 + " sport", nil}, {2, 4, l4 + " dport", port}}
}

func addrBytes(a netip.Addr) []byte {
	if !a.IsValid() {
		return nil
	}
	return a.AsSlice()
}

// payload loads a part of a header: nft loads no more of an address than its
// prefix has whole bytes.
func (d *Datagram) payload(e *expr.Payload) value {
	network, transport := d.headers()
	fields := network
	switch e.Base {
	case expr.PayloadBaseTransportHeader:
		fields = transport
	case expr.PayloadBaseNetworkHeader:
	default:
		return value{}
	}
	for _, f := range fields {
		if e.Offset >= f.at && e.Offset+e.Len <= f.end {
			v := value{name: f.name, known: f.b != nil}
			if v.known {
				v.b = f.b[e.Offset-f.at : e.Offset-f.at+e.Len]
			}
			return v
		}
	}
	return value{}
}

// meta loads what is known of the datagram besides its bytes.
func (d *Datagram) meta(k expr.MetaKey) value {
	nfproto, ethertype := byte(nfprotoIPv4), []byte{0x08, 0x00}
	if d.six() {
		nfproto, ethertype = nfprotoIPv6, []byte{0x86, 0xdd}
	}
	switch k {
	case expr.MetaKeyL4PROTO:
		return value{"meta l4proto", d.Proto != 0, []byte{d.Proto}}
	case expr.MetaKeyNFPROTO:
		return known("meta nfproto", nfproto)
	case expr.MetaKeyPROTOCOL:
		return known("meta protocol", ethertype...)
	case expr.MetaKeyIIFNAME:
		return known("iifname", ifname(d.In)...)
	case expr.MetaKeyOIFNAME:
		return known("oifname", ifname(d.Out)...)
	case expr.MetaKeyMARK: // nobody marks what comes first
		return known("meta mark", native(0)...)
	}
	return value{}
}

// ifname is an interface's name as a register holds it.
func ifname(name string) []byte {
	b := make([]byte, 16)
	copy(b, name)
	return b
}

func (d *Datagram) ct(k expr.CtKey) value {
	switch k {
	case expr.CtKeySTATE:
		return known("ct state", native(ctNew)...)
	case expr.CtKeyMARK:
		return known("ct mark", native(0)...)
	case expr.CtKeySTATUS: // nobody has changed its addresses
		return known("ct status", native(0)...)
	}
	return value{}
}

// fib loads what the routing table says. That the way back is the right one is
// looked at elsewhere.
func (d *Datagram) fib(e *expr.Fib) value {
	if e.ResultOIF || e.ResultOIFNAME || e.FlagPRESENT {
		return known("fib", 1, 1, 1, 1)
	}
	return value{}
}
