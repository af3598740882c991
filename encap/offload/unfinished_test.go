package offload_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

func TestUnfinishedRecognisesWhatAKernelPeerSends(t *testing.T) {
	tests := []struct {
		name    string
		s       spec
		mtu     int
		segment int
		gso     uint8
		size    int
	}{
		{"a small TCP segment", spec{data: stream(0, 100)}, 1450, 0, 0, 0},
		{"a TCP segment that fills the MTU", spec{opts: timestamps(1), data: stream(0, 1398)}, 1450, 0, 0, 0},
		{"one byte more is a superframe", spec{opts: timestamps(1), data: stream(0, 1399)}, 1450, 0, offload.GSOTCPv4, 1398},
		{"64 KiB of TCP", spec{data: stream(0, 65000)}, 1450, 0, offload.GSOTCPv4, 1410},
		{"64 KiB of TCP over IPv6", spec{v6: true, data: stream(0, 65000)}, 1450, 0, offload.GSOTCPv6, 1390},
		{"CWR is announced", spec{flags: "C", data: stream(0, 3000)}, 1450, 0, offload.GSOTCPv4 | offload.GSOECN, 1410},
		{"an extension header takes from the segments", spec{v6: true, ext: true, data: stream(0, 3000)}, 1450, 0, offload.GSOTCPv6, 1382},
		{"IP options do too", spec{ipOpts: true, data: stream(0, 3000)}, 1450, 0, offload.GSOTCPv4, 1406},
		{"a VLAN tag does not", spec{vlan: true, data: stream(0, 3000)}, 1450, 0, offload.GSOTCPv4, 1410},
		{"UDP", spec{udp: true, data: stream(0, 64)}, 1450, 0, 0, 0},
		{"UDP over IPv6", spec{udp: true, v6: true, data: stream(0, 64)}, 1450, 0, 0, 0},
		{"large UDP of one datagram", spec{udp: true, data: stream(0, 3000)}, 1450, 0, 0, 0},
		{"UDP of many datagrams", spec{udp: true, data: stream(0, 3000)}, 1450, 64, offload.GSOUDPL4, 64},
		{"UDP of many datagrams below the MTU", spec{udp: true, v6: true, data: stream(0, 100)}, 1450, 64, offload.GSOUDPL4, 64},
		{"UDP of one datagram of the size reported", spec{udp: true, data: stream(0, 64)}, 1450, 64, 0, 0},
		{"an MTU too small for any segment", spec{data: stream(0, 100)}, 40, 0, 0, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want, f := super(t, tt.s, tt.size)
			want.SetGSO(tt.gso, tt.size)
			want.SetHeaderLen(len(f) - len(tt.s.data))
			before := bytes.Clone(f)
			got := header()
			if !offload.Unfinished(got, f, tt.mtu, tt.segment) {
				t.Fatal("not recognised")
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("virtio header (-want +got):\n%s", diff)
			}
			if !bytes.Equal(f, before) {
				t.Error("the frame changed")
			}
		})
	}
}

func TestUnfinishedLeavesEveryOtherFrameAlone(t *testing.T) {
	wrong := func(s spec, at int) ether.Frame {
		f := unfinish(s.frame(t))
		f[at] ^= 0x01
		return f
	}
	noSum := spec{udp: true, data: stream(0, 9)}.frame(t)
	ether.UDP(noSum[34:]).SetChecksum(0)
	tests := []struct {
		name string
		in   ether.Frame
	}{
		{"a finished TCP checksum", spec{data: stream(0, 100)}.frame(t)},
		{"a finished UDP checksum", spec{udp: true, data: stream(0, 100)}.frame(t)},
		{"UDP without checksum", noSum},
		{"one bit off the pseudo header's sum", wrong(spec{data: stream(0, 100)}, 51)},
		{"one bit off over IPv6", wrong(spec{v6: true, data: stream(0, 100)}, 71)},
		{"its complement", func() ether.Frame {
			f := unfinish(spec{data: stream(0, 100)}.frame(t))
			f[50], f[51] = ^f[50], ^f[51]
			return f
		}()},
		{"a fragment", unfinish(spec{frag: 0x2000, data: stream(0, 100)}.frame(t))},
		{"a cut-off frame", unfinish(spec{data: stream(0, 100)}.frame(t))[:100]},
		{"another protocol", func() ether.Frame {
			f := spec{data: stream(0, 100)}.frame(t)
			ether.IPv4(f[14:]).SetProtocol(ether.ProtoICMP)
			copy(f[34:], make([]byte, 20))
			ether.TCP(f[34:]).SetHeaderLen(20)
			ether.TCP(f[34:]).SetChecksum(ether.Fold(ether.PseudoSum4(ether.IPv4(f[14:]), ether.ProtoTCP, 120)))
			return f
		}()},
		{"IPv6 under another type", func() ether.Frame {
			f := unfinish(spec{v6: true, data: stream(0, 100)}.frame(t))
			f[12], f[13] = 0x88, 0xcc
			return f
		}()},
		{"no IP", append(make(ether.Frame, 12), 0x88, 0xcc, 1, 2)},
		{"no Ethernet header", make(ether.Frame, 13)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, before := header(), bytes.Clone(tt.in)
			if offload.Unfinished(h, tt.in, 1450, 0) {
				t.Error("recognised as unfinished")
			}
			if !bytes.Equal(h, header()) || !bytes.Equal(tt.in, before) {
				t.Errorf("header %x, frame %x, want both untouched", []byte(h), []byte(tt.in))
			}
		})
	}
}

// What a plain TAP gets from a kernel peer: recognised, then split in our code.
func TestUnfinishedSuperframesCanBeSplitAtOnce(t *testing.T) {
	s := spec{seq: 9, flags: "P", opts: timestamps(1), data: stream(0, 10000)}
	h, f := header(), unfinish(s.frame(t))
	if !offload.Unfinished(h, f, 1450, 0) {
		t.Fatal("not recognised")
	}
	lists, fate := offload.NewSplitter(16).Split(nil, h, f)
	if fate != offload.Ready {
		t.Fatalf("fate = %v, want Ready", fate)
	}
	for i, want := range segments(t, s, 1398) {
		if diff := cmp.Diff([]byte(want), join(lists[i])); diff != "" {
			t.Errorf("segment %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestUndivided(t *testing.T) {
	message := func(frames ...ether.Frame) []byte {
		var b []byte
		for _, f := range frames {
			b = append(append(b, vxlan...), f...)
		}
		return b
	}
	whole := unfinish(spec{udp: true, data: stream(0, 5000)}.frame(t))
	six := unfinish(spec{udp: true, v6: true, data: stream(0, 350)}.frame(t))
	one := unfinish(spec{udp: true, data: stream(0, 500)}.frame(t))
	liar := bytes.Clone(one) // claims the length of both, but has a checksum of its own
	ether.IPv4(liar[14:]).SetTotalLen(2*len(one) - 6)
	ether.UDP(liar[34:]).SetLen(2*len(one) - 26)
	tests := []struct {
		name    string
		message []byte
		segment int
		want    bool
	}{
		{"a superframe of UDP, as seen from a kernel peer", message(whole), 500, true},
		{"the same over IPv6", message(six), 100, true},
		{"two datagrams", message(one, one), len(one) + 8, false},
		{"a datagram and a shorter one", message(one, six), len(one) + 8, false},
		{"one datagram, nothing said of more", message(whole), 0, false},
		{"one datagram of the size said", message(whole), len(whole) + 8, false},
		{"a superframe of TCP", message(unfinish(spec{data: stream(0, 5000)}.frame(t))), 500, false},
		{"a finished checksum", message(spec{udp: true, data: stream(0, 5000)}.frame(t)), 500, false},
		{"an inner length that lies", message(liar, one), len(one) + 8, false},
		{"no whole VXLAN header", vxlan[:7], 5, false},
		{"no inner frame", vxlan, 5, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := offload.Undivided(tt.message, tt.segment); got != tt.want {
				t.Errorf("Undivided = %v, want %v", got, tt.want)
			}
		})
	}
}
