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

func TestSplitRefusesWhatDoesNotFitTogether(t *testing.T) {
	tcp := spec{data: stream(0, 3000)}
	edit := func(s spec, change func(h offload.VnetHeader, f ether.Frame) ether.Frame) (offload.VnetHeader, ether.Frame) {
		h, f := super(t, s, 1000)
		return h, change(h, f)
	}
	set := func(s spec, change func(h offload.VnetHeader)) func() (offload.VnetHeader, ether.Frame) {
		return func() (offload.VnetHeader, ether.Frame) {
			return edit(s, func(h offload.VnetHeader, f ether.Frame) ether.Frame { change(h); return f })
		}
	}
	cut := func(s spec, n int) func() (offload.VnetHeader, ether.Frame) {
		return func() (offload.VnetHeader, ether.Frame) {
			return edit(s, func(_ offload.VnetHeader, f ether.Frame) ether.Frame { return f[:n] })
		}
	}
	tests := []struct {
		name string
		in   func() (offload.VnetHeader, ether.Frame)
	}{
		{"segments of no bytes", set(tcp, func(h offload.VnetHeader) { h.SetGSO(offload.GSOTCPv4, 0) })},
		{"the checksum of a superframe finished", set(tcp, func(h offload.VnetHeader) { h.SetFlags(0) })},
		{"IPv4 called IPv6", set(tcp, func(h offload.VnetHeader) { h.SetGSO(offload.GSOTCPv6, 1000) })},
		{"IPv6 called IPv4", set(spec{v6: true}, func(h offload.VnetHeader) { h.SetGSO(offload.GSOTCPv4, 1000) })},
		{"TCP called UDP", set(tcp, func(h offload.VnetHeader) { h.SetGSO(offload.GSOUDPL4, 1000) })},
		{"UDP called TCP", set(spec{udp: true}, func(h offload.VnetHeader) { h.SetGSO(offload.GSOTCPv4, 1000) })},
		{"UDP with the ECN bit", set(spec{udp: true}, func(h offload.VnetHeader) { h.SetGSO(offload.GSOUDPL4|offload.GSOECN, 1000) })},
		{"fragmentation offload, long gone", set(spec{udp: true}, func(h offload.VnetHeader) { h.SetGSO(3, 1000) })},
		{"a kind that nobody knows", set(tcp, func(h offload.VnetHeader) { h.SetGSO(0x21, 1000) })},
		{"a checksum that starts elsewhere", set(tcp, func(h offload.VnetHeader) { h.SetCsum(32, 16) })},
		{"a checksum that lies elsewhere", set(tcp, func(h offload.VnetHeader) { h.SetCsum(34, 14) })},
		{"a frame shorter than its IP length", cut(tcp, 3000)},
		{"no TCP header", cut(tcp, 40)},
		{"no IP header", cut(tcp, 20)},
		{"no Ethernet header", cut(tcp, 13)},
		{"nothing", cut(tcp, 0)},
		{"a fragment", func() (offload.VnetHeader, ether.Frame) {
			s := tcp
			s.frag = 0x2000
			return super(t, s, 1000)
		}},
		{"a UDP length that is not that of IP", func() (offload.VnetHeader, ether.Frame) {
			return edit(spec{udp: true, data: stream(0, 3000)}, func(_ offload.VnetHeader, f ether.Frame) ether.Frame {
				ether.UDP(f[34:]).SetLen(1008)
				return f
			})
		}},
		{"a TCP header longer than the frame", func() (offload.VnetHeader, ether.Frame) {
			return edit(spec{}, func(_ offload.VnetHeader, f ether.Frame) ether.Frame { f[46] = 0xf0; return f })
		}},
		{"more segments than the scratch holds", func() (offload.VnetHeader, ether.Frame) { return super(t, tcp, 3) }},
		{"an unfinished checksum outside of the frame", func() (offload.VnetHeader, ether.Frame) {
			h := header()
			h.SetFlags(offload.FlagNeedsCsum)
			h.SetCsum(34, 16)
			return h, tcp.frame(t)[:40]
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, f := tt.in()
			sp := offload.NewSplitter(64)
			if lists, fate := sp.Split(vxlan, h, f); fate != offload.Malformed || lists != nil {
				t.Errorf("%d segments, %v, want none, Malformed", len(lists), fate)
			}
			sp.Split(vxlan, header(), spec{}.frame(t)) // the next one is fine
			if _, fate := sp.Split(vxlan, header(), spec{}.frame(t)); fate != offload.Ready {
				t.Errorf("the next frame is %v, want Ready", fate)
			}
		})
	}
}

func TestSplitIsFullUntilReset(t *testing.T) {
	h, f := super(t, spec{data: stream(0, 2500)}, 1000)
	sp := offload.NewSplitter(4)
	first, fate := sp.Split(vxlan, h, f)
	if fate != offload.Ready {
		t.Fatalf("first: %v, want Ready", fate)
	}
	want := join(first[2])
	if lists, fate := sp.Split(vxlan, h, f); fate != offload.Full || lists != nil {
		t.Errorf("second: %d lists, %v, want none, Full", len(lists), fate)
	}
	if _, fate := sp.Split(vxlan, header(), spec{}.frame(t)); fate != offload.Ready {
		t.Errorf("a small frame: %v, want Ready", fate)
	}
	if _, fate := sp.Split(vxlan, header(), spec{}.frame(t)); fate != offload.Full {
		t.Errorf("one frame too many: %v, want Full", fate)
	}
	if got := join(first[2]); !bytes.Equal(got, want) {
		t.Error("a list changed while others were added")
	}
	sp.Reset()
	for i := range 5 { // four frames again, and not one more
		if _, fate := sp.Split(vxlan, header(), spec{}.frame(t)); (fate == offload.Ready) != (i < 4) {
			t.Errorf("frame %d after Reset: %v", i, fate)
		}
	}
}

func TestSplitIsFullWhenHeadersAreLong(t *testing.T) {
	opts := timestamps(1)
	for range 14 {
		opts = append(opts, opts[0])
	}
	h, f := super(t, spec{vlan: true, opts: opts, data: stream(0, 400)}, 100) // 84 bytes a header
	sp := offload.NewSplitter(6)                                              // 768 bytes
	long := make([]byte, 90)
	if _, fate := sp.Split(long, h, f); fate != offload.Ready { // 4·174
		t.Errorf("first: %v, want Ready", fate)
	}
	h, f = super(t, spec{data: stream(0, 20)}, 10)
	if _, fate := sp.Split(vxlan, h, f); fate != offload.Full { // 2·62
		t.Errorf("second: %v, want Full", fate)
	}
	sp.Reset()
	if _, fate := sp.Split(make([]byte, 400), h, f); fate != offload.Malformed {
		t.Errorf("headers that never fit: %v, want Malformed", fate)
	}
}

func TestSplitUsesItsScratchToTheLastByte(t *testing.T) {
	tests := []struct {
		name   string
		frames int // what the scratch is for: 128 bytes of headers each
		first  int // frames in it already
		prefix int // beside 54 bytes of headers
		n      int // segments
		want   offload.Fate
	}{
		{"one segment in room for one", 1, 0, 8, 1, offload.Ready},
		{"as many segments as there is room for", 3, 0, 8, 3, offload.Ready},
		{"one segment too many for ever", 3, 0, 8, 4, offload.Malformed},
		{"as many as are left", 4, 1, 8, 3, offload.Ready},
		{"one more than is left", 4, 2, 8, 3, offload.Full},
		{"headers that fill all", 2, 0, 74, 2, offload.Ready},
		{"headers one byte too long for ever", 2, 0, 75, 2, offload.Malformed},
		{"headers that fill what is left", 4, 2, 74, 2, offload.Ready},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sp := offload.NewSplitter(tt.frames)
			if tt.first > 0 {
				h, f := super(t, spec{data: stream(0, tt.first*10)}, 10)
				if _, fate := sp.Split(make([]byte, 74), h, f); fate != offload.Ready {
					t.Fatalf("frames before: %v, want Ready", fate)
				}
			}
			h, f := super(t, spec{data: stream(0, tt.n*10)}, 10)
			if _, fate := sp.Split(make([]byte, tt.prefix), h, f); fate != tt.want {
				t.Errorf("fate = %v, want %v", fate, tt.want)
			}
		})
	}
}

func TestTheZeroSplitterTakesNothing(t *testing.T) {
	var sp offload.Splitter
	if _, fate := sp.Split(nil, header(), spec{}.frame(t)); fate != offload.Malformed {
		t.Errorf("fate = %v, want Malformed", fate)
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
