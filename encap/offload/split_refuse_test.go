package offload_test

import (
	"bytes"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

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
