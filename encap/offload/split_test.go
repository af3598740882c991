package offload_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

var vxlan = []byte{8, 0, 0, 0, 0, 0, 42, 0}

// segments returns what gopacket makes of the same superframe, segment by
// segment: the oracle that shares nothing with this project.
func segments(t testing.TB, s spec, size int) []ether.Frame {
	var out []ether.Frame
	flags := s.flags
	for at := 0; at == 0 || at < len(s.data); at += size {
		seg := s
		till := min(at+size, len(s.data))
		seg.data, seg.seq, seg.id = s.data[at:till], s.seq+uint32(at), s.id+uint16(len(out))
		seg.flags = ""
		for _, c := range flags {
			if c == 'C' && at > 0 || (c == 'F' || c == 'P') && till < len(s.data) {
				continue
			}
			seg.flags += string(c)
		}
		out = append(out, seg.frame(t))
	}
	return out
}

func TestSplitEqualsGopacketSegmentForSegment(t *testing.T) {
	mss := []layers.TCPOption{{OptionType: layers.TCPOptionKindMSS, OptionLength: 4, OptionData: []byte{5, 0xb4}}}
	tests := []struct {
		name string
		s    spec
		size int
	}{
		{"TCP over IPv4 in equal segments", spec{seq: 7, id: 99, data: stream(0, 4000)}, 1000},
		{"a shorter last segment", spec{data: stream(0, 4001)}, 1000},
		{"segments of odd length", spec{data: stream(0, 5000)}, 333},
		{"timestamps are in every segment", spec{opts: timestamps(3), data: stream(0, 3000)}, 1398},
		{"other options too", spec{opts: mss, data: stream(0, 3000)}, 1398},
		{"the sequence number wraps", spec{seq: 0xfffff000, data: stream(0, 9000)}, 1400},
		{"a sequence number with all its bytes in use", spec{seq: 0x12345678, data: stream(0, 3000)}, 1000},
		{"the id wraps", spec{id: 0xffff, data: stream(0, 3000)}, 1000},
		{"FIN and PSH stand in the last only", spec{flags: "FP", data: stream(0, 3000)}, 1000},
		{"CWR stands in the first only", spec{flags: "C", data: stream(0, 3000)}, 1000},
		{"ECE and NS stand in all", spec{flags: "ENP", data: stream(0, 3000)}, 1000},
		{"one segment has all flags", spec{flags: "FPC", data: stream(0, 500)}, 1000},
		{"a superframe without payload is one segment", spec{flags: "P"}, 1000},
		{"TOS, TTL and DF are those of the superframe", spec{tos: 0xb9, ttl: 3, frag: 0x4000, data: stream(0, 3000)}, 1000},
		{"IP options are in every segment", spec{ipOpts: true, data: stream(0, 3000)}, 1000},
		{"a VLAN tag is in every segment", spec{vlan: true, data: stream(0, 3000)}, 1000},
		{"TCP over IPv6", spec{v6: true, seq: 5, flags: "P", opts: timestamps(1), tos: 0x22, label: 0xabcde, data: stream(0, 60000)}, 1326},
		{"IPv6 with an extension header", spec{v6: true, ext: true, data: stream(0, 3000)}, 1000},
		{"UDP over IPv4", spec{udp: true, id: 5, data: stream(0, 640)}, 64},
		{"UDP with a shorter last datagram", spec{udp: true, data: stream(0, 641)}, 64},
		{"UDP over IPv6", spec{udp: true, v6: true, data: stream(0, 4000)}, 1200},
		{"UDP behind a VLAN tag", spec{udp: true, v6: true, vlan: true, data: stream(0, 4000)}, 1200},
		{"64 KiB", spec{data: stream(0, 65495)}, 1460},
		{"one byte a segment", spec{data: stream(0, 200)}, 1},
		{"a UDP checksum of zero is all ones", zeroUDP(t), 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.s.ack, tt.s.window, tt.s.urgent = 0x89abcdef, 0xfedc, 0x7654 // in every segment
			h, f := super(t, tt.s, tt.size)
			before := bytes.Clone(f)
			got, fate := offload.NewSplitter(1024).Split(vxlan, h, f)
			if fate != offload.Ready {
				t.Fatalf("fate = %v, want Ready", fate)
			}
			if !bytes.Equal(f, before) {
				t.Error("the superframe changed")
			}
			want := segments(t, tt.s, tt.size)
			if len(got) != len(want) {
				t.Fatalf("%d segments, want %d", len(got), len(want))
			}
			for i, list := range got {
				if diff := cmp.Diff(append(bytes.Clone(vxlan), want[i]...), join(list)); diff != "" {
					t.Fatalf("segment %d (-want +got):\n%s", i, diff)
				}
				if len(list) != 2 || len(list[1]) > 0 && &list[1][0] != &f[len(f)-len(tt.s.data)+i*tt.size] {
					t.Errorf("segment %d does not share the superframe's payload", i)
				}
			}
			if got, want := offload.SegmentLen(h, f), len(want[0]); got != want {
				t.Errorf("SegmentLen = %d, want %d", got, want)
			}
		})
	}
}

func TestSplitLeavesPaddingBehindTheIPLengthOut(t *testing.T) {
	h, f := super(t, spec{data: stream(0, 150)}, 100)
	lists, fate := offload.NewSplitter(8).Split(nil, h, append(f, 1, 2, 3))
	if fate != offload.Ready || len(lists) != 2 {
		t.Fatalf("%d segments, %v, want 2, Ready", len(lists), fate)
	}
	if got, want := join(lists[1]), []byte(segments(t, spec{data: stream(0, 150)}, 100)[1]); !bytes.Equal(got, want) {
		t.Errorf("last segment = %x, want %x", got, want)
	}
}

func TestSplitNeverLaundersAWrongUnfinishedChecksum(t *testing.T) {
	for _, s := range []spec{{data: stream(0, 300)}, {udp: true, v6: true, data: stream(0, 300)}} {
		h, f := super(t, s, 100)
		f[h.CsumStart()+h.CsumOffset()] ^= 0x40
		lists, _ := offload.NewSplitter(8).Split(nil, h, f)
		for i, list := range lists {
			if bytes.Equal(join(list), segments(t, s, 100)[i]) {
				t.Errorf("segment %d of %+v has a right checksum", i, s)
			}
		}
	}
}

func TestSplitOfAFrameThatIsNoSuperframe(t *testing.T) {
	want := spec{data: stream(0, 100)}.frame(t)
	sp := offload.NewSplitter(4)
	plain := bytes.Clone(want)
	lists, fate := sp.Split(vxlan, header(), plain)
	if fate != offload.Ready || len(lists) != 1 || !bytes.Equal(join(lists[0]), append(bytes.Clone(vxlan), want...)) {
		t.Errorf("plain frame: %x, %v", lists, fate)
	}
	h, f := super(t, spec{data: stream(0, 100)}, 0)
	h.SetGSO(offload.GSONone, 0)
	lists, fate = sp.Split(vxlan, h, f)
	if fate != offload.Ready || len(lists) != 1 || !bytes.Equal(join(lists[0]), append(bytes.Clone(vxlan), want...)) {
		t.Errorf("unfinished frame: %x, %v", lists, fate)
	}
	if got := offload.SegmentLen(h, f); got != len(f) {
		t.Errorf("SegmentLen = %d, want %d", got, len(f))
	}
}

func FuzzSplit(f *testing.F) {
	add := func(s spec, size int) {
		h, fr := super(f, s, size)
		f.Add([]byte(h), []byte(fr))
	}
	add(spec{flags: "CFP", opts: timestamps(1), data: stream(0, 300)}, 100) // everything that differs
	add(spec{v6: true, ext: true, data: stream(0, 90)}, 40)                 // extension header
	add(spec{udp: true, vlan: true, data: stream(0, 90)}, 7)                // tag
	add(spec{ipOpts: true}, 1)                                              // no payload
	f.Add([]byte{1, 0, 0, 0, 0, 0, 34, 0, 16, 0}, []byte(unfinish(spec{}.frame(f))))
	f.Fuzz(func(t *testing.T, head, frame []byte) {
		frame = bytes.Clone(frame) // neither is ours to change
		h := offload.VnetHeader(bytes.Clone(head))
		if !h.Valid() {
			return
		}
		length := offload.SegmentLen(h, frame)
		original, saved := bytes.Clone(frame), offload.VnetHeader(bytes.Clone(head))
		lists, fate := offload.NewSplitter(256).Split(vxlan, h, frame)
		if fate != offload.Ready {
			return
		}
		longest := 0
		if saved.Super() {
			original = trim(original) // the slow one does not know of padding
		}
		want := slowWire(saved, original)
		if len(lists) != len(want) {
			t.Fatalf("%d segments, want %d", len(lists), len(want))
		}
		for i, list := range lists {
			longest = max(longest, len(want[i]))
			if diff := cmp.Diff(append(bytes.Clone(vxlan), want[i]...), join(list)); diff != "" {
				t.Fatalf("segment %d (-want +got):\n%s", i, diff)
			}
		}
		if longest != length {
			t.Errorf("SegmentLen = %d, the longest is %d", length, longest)
		}
	})
}
