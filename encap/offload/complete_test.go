package offload_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

func TestCompleteFinishesWhatGopacketWouldHaveWritten(t *testing.T) {
	for name, s := range map[string]spec{
		"TCP over IPv4":              {data: stream(0, 100)},
		"TCP over IPv4, odd length":  {data: stream(0, 101), opts: timestamps(1)},
		"TCP without data":           {},
		"TCP over IPv6":              {v6: true, data: stream(0, 1400)},
		"UDP over IPv4":              {udp: true, data: stream(0, 33)},
		"UDP over IPv6":              {udp: true, v6: true, data: stream(0, 33)},
		"behind IP options":          {ipOpts: true, data: stream(0, 10)},
		"behind a VLAN tag":          {vlan: true, data: stream(0, 10)},
		"behind an extension header": {v6: true, ext: true, data: stream(0, 10)},
	} {
		t.Run(name, func(t *testing.T) {
			want := s.frame(t)
			h, f := super(t, s, 0)
			h.SetGSO(offload.GSONone, 0)
			if !offload.Complete(h, f) {
				t.Fatal("malformed")
			}
			if diff := cmp.Diff(want, f); diff != "" {
				t.Errorf("frame (-want +got):\n%s", diff)
			}
			if !bytes.Equal(h, header()) {
				t.Errorf("virtio header = %x, want it clear", []byte(h))
			}
		})
	}
}

func TestCompleteLeavesAFinishedFrameAlone(t *testing.T) {
	f := spec{data: stream(0, 10)}.frame(t)
	f[50] ^= 1 // wrong, and to stay so
	want := bytes.Clone(f)
	h := header()
	h.SetFlags(offload.FlagDataValid)
	if !offload.Complete(h, f) || !bytes.Equal(f, want) {
		t.Errorf("frame = %x, want %x", []byte(f), want)
	}
}

// zeroUDP is a datagram whose checksum comes out as zero.
func zeroUDP(t testing.TB) spec {
	s := spec{udp: true, data: []byte{0, 0}}
	f := s.frame(t)
	sum := ether.UDP(f[34:]).Checksum() // what is missing to all ones
	s.data = []byte{byte(sum >> 8), byte(sum)}
	return s
}

func TestCompleteWritesAUDPChecksumOfZeroAsAllOnes(t *testing.T) {
	h, f := super(t, zeroUDP(t), 0)
	h.SetGSO(offload.GSONone, 0)
	if !offload.Complete(h, f) {
		t.Fatal("malformed")
	}
	if got := ether.UDP(f[34:]).Checksum(); got != 0xffff {
		t.Errorf("checksum = %#x, want 0xffff", got)
	}
}

func TestCompleteRefusesAFieldOutsideOfTheFrame(t *testing.T) {
	f := spec{}.frame(t) // 54 bytes
	tests := []struct {
		name          string
		start, offset int
		want          bool
	}{
		{"the last two bytes", 34, 18, true},
		{"one byte further", 35, 18, false},
		{"a field between two words", 34, 17, false}, // fuzzing found it
		{"a start behind the end", 55, 0, false},
		{"offsets that would overflow 16 bits", 0xffff, 0xffff, false},
		{"inside the Ethernet header", 13, 10, false},
		{"right behind the Ethernet header", 14, 10, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h, g := header(), bytes.Clone(f)
			h.SetFlags(offload.FlagNeedsCsum)
			h.SetCsum(tt.start, tt.offset)
			if got := offload.Complete(h, g); got != tt.want {
				t.Errorf("Complete = %v, want %v", got, tt.want)
			}
			if !tt.want && !bytes.Equal(f, g) {
				t.Error("the frame changed")
			}
		})
	}
}

func TestStripTagsMovesTheChecksumAlong(t *testing.T) {
	plain := spec{data: stream(0, 3000), opts: timestamps(1)}
	tagged := plain
	tagged.vlan = true
	wantH, want := super(t, plain, 1000)
	h, f := super(t, tagged, 1000)
	wantH.SetHeaderLen(66)
	h.SetHeaderLen(70)
	got := offload.StripTags(h, f)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("frame (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantH, h); diff != "" {
		t.Errorf("virtio header (-want +got):\n%s", diff)
	}
}

func TestStripTagsLeavesAPlainHeaderAlone(t *testing.T) {
	for name, s := range map[string]spec{"tagged": {vlan: true}, "untagged": {}} {
		h := header()
		if got := offload.StripTags(h, s.frame(t)); got.Tagged() {
			t.Errorf("%s: frame = %x, still tagged", name, []byte(got))
		}
		if !bytes.Equal(h, header()) {
			t.Errorf("%s: virtio header = %x, want it clear", name, []byte(h))
		}
	}
}

func TestStripTagsOfANonsenseHeaderDoesNotWrap(t *testing.T) {
	h := header()
	h.SetFlags(offload.FlagNeedsCsum)
	h.SetCsum(3, 16)
	offload.StripTags(h, spec{vlan: true}.frame(t))
	if h.CsumStart() != 0 || h.HeaderLen() != 0 {
		t.Errorf("start, header length = %d, %d, want 0", h.CsumStart(), h.HeaderLen())
	}
}
