package offload_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/uvtep/uvtep/encap/offload"
)

// superHeader is the virtio header of a 64 KiB TCP superframe as a TAP hands
// it over, byte by byte.
var superHeader = offload.VnetHeader{
	0x01,       // flags: checksum needed
	0x81,       // TCPv4, CWR in the first segment
	0x42, 0x00, // headers: 66 bytes
	0x76, 0x05, // segments of 1398 bytes
	0x22, 0x00, // checksum starts at 34
	0x10, 0x00, // its field 16 behind
}

func TestVnetHeaderOfAnAnnotatedVector(t *testing.T) {
	type fields struct {
		Flags, GSO                    uint8
		Header, Size, Start, Offset   int
		Valid, Needs, Super, TooShort bool
	}
	h := superHeader
	got := fields{h.Flags(), h.GSOType(), h.HeaderLen(), h.GSOSize(), h.CsumStart(), h.CsumOffset(),
		h.Valid(), h.NeedsCsum(), h.Super(), h[:9].Valid()}
	want := fields{offload.FlagNeedsCsum, offload.GSOTCPv4 | offload.GSOECN, 66, 1398, 34, 16, true, true, true, false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

func TestVnetHeaderWrittenIntoDirtyMemory(t *testing.T) {
	h := offload.VnetHeader(bytes.Repeat([]byte{0xff}, offload.VnetHeaderLen))
	h.SetFlags(offload.FlagNeedsCsum)
	h.SetGSO(offload.GSOTCPv4|offload.GSOECN, 1398)
	h.SetHeaderLen(66)
	h.SetCsum(34, 16)
	if diff := cmp.Diff(superHeader, h); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	h.Clear()
	if !bytes.Equal(h, make([]byte, offload.VnetHeaderLen)) {
		t.Errorf("cleared header = %x", []byte(h))
	}
}

func TestAHeaderOfZerosAsksForNothing(t *testing.T) {
	h := header()
	if h.NeedsCsum() || h.Super() {
		t.Errorf("NeedsCsum, Super = %v, %v, want false", h.NeedsCsum(), h.Super())
	}
}

func TestOnlyTheECNBitIsNoSuperframe(t *testing.T) {
	h := header()
	h.SetGSO(offload.GSOECN, 0)
	if h.Super() {
		t.Error("Super of the ECN bit alone = true, want false")
	}
}
