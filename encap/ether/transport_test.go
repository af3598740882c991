package ether_test

import (
	"bytes"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
)

// chain builds an IPv6 datagram: the first next header number, then the
// extension headers and the payload as they stand on the wire.
func chain(next uint8, parts ...[]byte) ether.IPv6 {
	body := bytes.Join(parts, nil)
	b := make(ether.IPv6, ether.IPv6HeaderLen, ether.IPv6HeaderLen+len(body))
	b.SetVersion()
	b.SetNextHeader(next)
	b.SetPayloadLen(len(body))
	return append(b, body...)
}

// ext builds an extension header of 8·(1+words) bytes.
func ext(next uint8, words int) []byte {
	b := make([]byte, 8+8*words)
	b[0], b[1] = next, uint8(words)
	return b
}

// fragmentHeader builds a fragment header; word is offset·8 and the M flag.
func fragmentHeader(next uint8, word uint16) []byte {
	return []byte{next, 0, byte(word >> 8), byte(word), 0xde, 0xad, 0xbe, 0xef}
}

func TestTransport(t *testing.T) {
	const (
		hop, routing, frag, esp, auth, none, dest = 0, 43, 44, 50, 51, 59, 60
		mobility, hip, shim6                      = 135, 139, 140
	)
	data := []byte("transport")
	nine := make([][]byte, 0, 10)
	for range 9 {
		nine = append(nine, ext(dest, 0))
	}
	eight := append(append([][]byte{}, nine[:7]...), ext(ether.ProtoUDP, 0), data)
	tests := []struct {
		name     string
		in       ether.IPv6
		proto    uint8
		payload  []byte
		fragment bool
		ok       bool
	}{
		{"no extension header", chain(ether.ProtoTCP, data), ether.ProtoTCP, data, false, true},
		{"no next header", chain(none, data), none, data, false, true},
		{"an unknown protocol ends the walk", chain(253, data), 253, data, false, true},
		{"ESP ends the walk", chain(esp, data), esp, data, false, true},
		{"hop-by-hop options", chain(hop, ext(ether.ProtoUDP, 0), data), ether.ProtoUDP, data, false, true},
		{
			"hop-by-hop, destination options and routing, of several lengths",
			chain(hop, ext(dest, 0), ext(routing, 2), ext(ether.ProtoTCP, 3), data), ether.ProtoTCP, data, false, true,
		},
		{
			"an authentication header counts 32-bit words minus 2",
			chain(auth, append([]byte{ether.ProtoUDP, 4}, make([]byte, 22)...), data), ether.ProtoUDP, data, false, true,
		},
		{
			"the shortest authentication header",
			chain(auth, ext(ether.ProtoUDP, 0), data), ether.ProtoUDP, data, false, true,
		},
		{"half an authentication header", chain(auth, ext(ether.ProtoUDP, 0)[:4]), auth, ext(ether.ProtoUDP, 0)[:4], false, false},
		{
			"mobility, HIP and shim6 headers",
			chain(mobility, ext(hip, 1), ext(shim6, 0), ext(ether.ProtoTCP, 2), data), ether.ProtoTCP, data, false, true,
		},
		{"a first fragment", chain(frag, fragmentHeader(ether.ProtoUDP, 1), data), ether.ProtoUDP, data, true, true},
		{
			"headers behind a first fragment's are still headers",
			chain(frag, fragmentHeader(dest, 1), ext(ether.ProtoUDP, 0), data), ether.ProtoUDP, data, true, true,
		},
		{"a later fragment", chain(frag, fragmentHeader(ether.ProtoUDP, 8|1), data), ether.ProtoUDP, data, true, true},
		{
			"behind a later fragment's nothing is a header",
			chain(frag, fragmentHeader(dest, 8), data), dest, data, true, true,
		},
		{"an atomic fragment is whole", chain(frag, fragmentHeader(ether.ProtoUDP, 0), data), ether.ProtoUDP, data, false, true},
		{"reserved bits do not make a fragment", chain(frag, fragmentHeader(ether.ProtoUDP, 6), data), ether.ProtoUDP, data, false, true},
		{"a cut-off extension header", chain(hop, ext(ether.ProtoUDP, 0)[:7]), hop, ext(ether.ProtoUDP, 0)[:7], false, false},
		{"one that says it is longer than the rest", chain(dest, ext(ether.ProtoUDP, 1)[:8]), dest, ext(ether.ProtoUDP, 1)[:8], false, false},
		{"a cut-off fragment header", chain(frag, []byte{ether.ProtoUDP, 0, 0}), frag, []byte{ether.ProtoUDP, 0, 0}, false, false},
		{"an empty payload behind the last header", chain(hop, ext(ether.ProtoUDP, 0)), ether.ProtoUDP, nil, false, true},
		{"eight headers are walked along", chain(dest, eight...), ether.ProtoUDP, data, false, true},
		{"nine are given up on", chain(dest, nine...), dest, ext(dest, 0), false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			proto, payload, fragment, ok := tt.in.Transport()
			if proto != tt.proto || !bytes.Equal(payload, tt.payload) || fragment != tt.fragment || ok != tt.ok {
				t.Errorf("Transport = %d %x %v %v, want %d %x %v %v",
					proto, payload, fragment, ok, tt.proto, tt.payload, tt.fragment, tt.ok)
			}
		})
	}
}

func TestTransportEndsAtThePayloadLength(t *testing.T) {
	b := chain(0, ext(ether.ProtoUDP, 0), []byte("datapadding"))
	b.SetPayloadLen(8 + 4)
	if _, payload, _, _ := b.Transport(); string(payload) != "data" {
		t.Errorf("payload = %q, want %q", payload, "data")
	}
}

func FuzzTransport(f *testing.F) {
	f.Add([]byte(chain(0, ext(43, 1), ext(17, 0), []byte("x"))))           // a chain
	f.Add([]byte(chain(44, fragmentHeader(60, 1), ext(44, 0), ext(6, 0)))) // fragment in fragment
	f.Add([]byte(chain(51, []byte{6, 255, 0, 0, 0, 0, 0, 0})))             // longest authentication header
	f.Add([]byte(chain(60, bytes.Repeat(ext(60, 0), 40))))                 // endless options
	f.Fuzz(func(t *testing.T, b []byte) {
		ip := ether.IPv6(b)
		if !ip.Valid() {
			return
		}
		_, payload, _, _ := ip.Transport()
		if !bytes.HasSuffix(ip.Payload(), payload) {
			t.Errorf("transport of %x is not its end: %x", b, payload)
		}
	})
}
