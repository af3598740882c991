package offload_test

import (
	"bytes"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

func TestMergeIP(t *testing.T) {
	b := spec{frag: 0x4000, seq: 100}
	bad := func(f ether.Frame) ether.Frame { f[24] ^= 1; return f } // header checksum
	pad := func(f ether.Frame) ether.Frame { return append(f, 0) }
	pair := func(change func(*spec)) []spec {
		return []spec{b.on(0, 100), b.on(100, 100).with(change), b.on(200, 100)}
	}
	runMergeCases(t, []mergeCase{
		{"another TTL", pair(func(s *spec) { s.ttl = 63 }), nil, []int{1, 1, 1}},
		{"another DSCP", pair(func(s *spec) { s.tos = 0x04 }), nil, []int{1, 1, 1}},
		{"another ECN codepoint", pair(func(s *spec) { s.tos = 0x02 }), nil, []int{1, 1, 1}},
		{"IP options", pair(func(s *spec) { s.ipOpts = true }), nil, []int{1, 1, 1}},
		{"IP options on all", []spec{b.on(0, 100).with(func(s *spec) { s.ipOpts = true }), b.on(100, 100).with(func(s *spec) { s.ipOpts = true })}, nil, []int{1, 1}},
		{"DF on one of two", pair(func(s *spec) { s.frag = 0 }), nil, []int{1, 1, 1}},
		{"a first fragment", pair(func(s *spec) { s.frag = 0x2000 }), nil, []int{1, 1, 1}},
		{"a fragment of a protocol unread", pair(func(s *spec) { s.frag = 0x0010; s.port = 77 }), nil, []int{1, 1, 1}},
		{"the reserved bit", pair(func(s *spec) { s.frag = 0xc000 }), nil, []int{1, 1, 1}},
		{"the reserved bit on all", []spec{b.on(0, 100).with(func(s *spec) { s.frag = 0xc000 }), b.on(100, 100).with(func(s *spec) { s.frag = 0xc000 })}, nil, []int{1, 1}},
		{"a wrong header checksum", pair(func(*spec) {}), map[int]raw{1: bad}, []int{1, 1, 1}},
		{"a wrong header checksum on the first", pair(func(*spec) {}), map[int]raw{0: bad}, []int{1, 2}},
		{"padding behind the IP length", pair(func(*spec) {}), map[int]raw{1: pad}, []int{1, 1, 1}},
		{"another source MAC", pair(func(*spec) {}), map[int]raw{1: func(f ether.Frame) ether.Frame { f[11]++; return f }}, []int{1, 1, 1}},
		{"another destination MAC", pair(func(*spec) {}), map[int]raw{1: func(f ether.Frame) ether.Frame { f[0] ^= 4; return f }}, []int{1, 1, 1}},
		{"IP in IP on all", []spec{b.on(0, 100), b.on(100, 100)}, map[int]raw{0: inIP, 1: inIP}, []int{1, 1}},
		{"a VLAN tag on both", []spec{b.on(0, 100).with(func(s *spec) { s.vlan = true }), b.on(100, 100).with(func(s *spec) { s.vlan = true })}, nil, []int{1, 1}},
		{"a VLAN tag is another flow", pair(func(s *spec) { s.vlan = true }), nil, []int{1, 1, 1}},
	})
}

// inIP puts an IPv4 header around the IPv4 datagram of f.
func inIP(f ether.Frame) ether.Frame {
	g := append(bytes.Clone(f[:34]), f[14:]...)
	ip := ether.IPv4(g[14:])
	ip.SetProtocol(4)
	ip.SetTotalLen(len(g) - 14)
	ip.Finish()
	return g
}

func TestMergeIPv6(t *testing.T) {
	b := spec{v6: true, seq: 100, label: 7}
	pair := func(change func(*spec)) []spec {
		return []spec{b.on(0, 100), b.on(100, 100).with(change), b.on(200, 100)}
	}
	fragmentOf := func(word byte) raw {
		return func(f ether.Frame) ether.Frame { // a fragment header in front of TCP
			g := append(bytes.Clone(f[:54]), 6, 0, 0, word, 0, 0, 0, 1)
			ether.IPv6(g[14:]).SetNextHeader(44)
			ether.IPv6(g[14:]).SetPayloadLen(len(f) - 54 + 8)
			return append(g, f[54:]...)
		}
	}
	runMergeCases(t, []mergeCase{
		{"another hop limit", pair(func(s *spec) { s.ttl = 63 }), nil, []int{1, 1, 1}},
		{"another traffic class", pair(func(s *spec) { s.tos = 0x04 }), nil, []int{1, 1, 1}},
		{"another class in the high bits", pair(func(s *spec) { s.tos = 0x40 }), nil, []int{1, 1, 1}},
		{"another ECN codepoint", pair(func(s *spec) { s.tos = 0x02 }), nil, []int{1, 1, 1}},
		{"another flow label", pair(func(s *spec) { s.label = 8 }), nil, []int{1, 1, 1}},
		{"another flow label in the high bits", pair(func(s *spec) { s.label = 0x10007 }), nil, []int{1, 1, 1}},
		{"an extension header", pair(func(s *spec) { s.ext = true }), nil, []int{1, 1, 1}},
		{"extension headers on all", []spec{b.on(0, 100).with(func(s *spec) { s.ext = true }), b.on(100, 100).with(func(s *spec) { s.ext = true })}, nil, []int{1, 1}},
		{"extension headers that differ", []spec{b.on(0, 100).with(func(s *spec) { s.ext = true }), b.on(100, 100).with(func(s *spec) { s.ext = true })}, map[int]raw{1: func(f ether.Frame) ether.Frame { f[58] ^= 0x11; return f }}, []int{1, 1}},
		{"a first fragment", pair(func(*spec) {}), map[int]raw{1: fragmentOf(1)}, []int{1, 1, 1}},
		{"a fragment ends what was merged", []spec{b.on(0, 100), b.on(100, 100), b.on(200, 100), b.on(300, 100)}, map[int]raw{2: fragmentOf(0)}, []int{2, 1, 1}},
		{"an atomic fragment", pair(func(*spec) {}), map[int]raw{1: fragmentOf(0)}, []int{1, 1, 1}},
		{"a later fragment of whatever flow", pair(func(s *spec) { s.port = 77 }), map[int]raw{1: fragmentOf(8)}, []int{1, 1, 1}},
	})
}

func TestMergeID(t *testing.T) {
	ids := func(frag uint16, ids ...uint16) []spec {
		var out []spec
		for i, id := range ids {
			out = append(out, spec{frag: frag, seq: uint32(100 * i), id: id, data: stream(100*i, 100)})
		}
		return out
	}
	runMergeCases(t, []mergeCase{
		{"ids that count up, DF set", ids(0x4000, 8, 9, 10), nil, []int{3}},
		{"ids that count up, DF clear", ids(0, 8, 9, 10), nil, []int{3}},
		{"ids that wrap", ids(0, 0xfffe, 0xffff, 0), nil, []int{3}},
		{"one id, DF clear, would be lost on splitting", ids(0, 8, 8), nil, []int{1, 1}},
		{"ids that count down", ids(0x4000, 8, 7), nil, []int{1, 1}},
		{"a gap in the ids", ids(0x4000, 8, 10), nil, []int{1, 1}},
		{"no DF on the first, DF on the second", append(ids(0, 8), spec{frag: 0x4000, seq: 100, id: 9, data: stream(100, 100)}), nil, []int{1, 1}},
		{"counting up, then fixed", ids(0x4000, 8, 9, 9), nil, []int{2, 1}},
		{"counting up, then a gap", ids(0x4000, 8, 9, 11), nil, []int{2, 1}},
	})
}

// Atomic datagrams may share one id (RFC 6864 §4.1); splitting counts it up,
// which nobody looks at, so only the number of outputs can be compared.
func TestMergeFixedID(t *testing.T) {
	m := offload.NewMerger(offload.MergeConfig{Frames: 16})
	for i, id := range []uint16{8, 8, 8, 9} {
		s := spec{frag: 0x4000, seq: uint32(100 * i), id: id, data: stream(100*i, 100)}
		m.Add(offload.Arrival{Frame: s.frame(t), MTU: 1450})
	}
	m.Finish()
	if m.Len() != 2 || m.Frames(0) != 3 || m.Frames(1) != 1 {
		t.Errorf("%d outputs, the first of %d frames, want 2 and 3", m.Len(), m.Frames(0))
	}
}
