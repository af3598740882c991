package vswitch

import (
	"bytes"
	"testing"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
)

// A tag that is stripped takes what the virtio header says along: the checksum
// is finished where it lies then.
func TestStrippedFrameHasItsChecksumFinished(t *testing.T) {
	f := tagged(frame(macB, macSelf))
	rec := append(make([]byte, VnetLen), f...)
	h := offload.VnetHeader(rec[:VnetLen])
	h.SetFlags(offload.FlagNeedsCsum)
	h.SetCsum(ether.HeaderLen+ether.TagLen+20, 6)
	short, moved, got := strip(h, rec)
	if !bytes.Equal(got, frame(macB, macSelf)) || len(short) != VnetLen+len(got) {
		t.Fatalf("got % x", got)
	}
	if !moved.NeedsCsum() || moved.CsumStart() != ether.HeaderLen+20 || moved.CsumOffset() != 6 {
		t.Errorf("got header % x, want the checksum to start at %d", moved, ether.HeaderLen+20)
	}
}
