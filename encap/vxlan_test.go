package encap_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap"
)

func TestHeaderOfAnAnnotatedVector(t *testing.T) {
	h := encap.Header{
		0x08,             // flags: I
		0x00, 0x00, 0x00, // reserved
		0x12, 0x34, 0x56, // VNI
		0x00,             // reserved
		0x33, 0x33, 0x00, // the inner frame begins
	}
	if !h.Valid() || !h.HasVNI() || !h.ReservedClear() {
		t.Errorf("Valid, HasVNI, ReservedClear = %v, %v, %v, want all true", h.Valid(), h.HasVNI(), h.ReservedClear())
	}
	if got, want := h.VNI(), encap.VNI(0x123456); got != want {
		t.Errorf("VNI = %v, want %v", got, want)
	}
	if got, want := []byte(h.Payload()), []byte{0x33, 0x33, 0x00}; !bytes.Equal(got, want) {
		t.Errorf("payload = %x, want %x", got, want)
	}
}

func TestHeaderIsValidFromEightBytesOn(t *testing.T) {
	for n, want := range map[int]bool{0: false, 1: false, 7: false, 8: true, 9: true} {
		if got := make(encap.Header, n).Valid(); got != want {
			t.Errorf("Valid of %d bytes = %v, want %v", n, got, want)
		}
	}
}

// RFC 7348 §5 names 39 reserved bits; each is seen by itself, and none of the
// others is taken for one.
func TestReservedClearSeesEachReservedBitAndNoOther(t *testing.T) {
	reserved := 0
	for bit := range 64 {
		h := make(encap.Header, encap.HeaderLen)
		encap.PutHeader(h, 0x5a5a5a)
		h[bit/8] ^= 0x80 >> (bit % 8)
		isVNI, isFlag := bit >= 32 && bit < 56, bit == 4
		if got, want := h.ReservedClear(), isVNI || isFlag; got != want {
			t.Errorf("ReservedClear with bit %d flipped = %v, want %v", bit, got, want)
		}
		if !isVNI && h.VNI() != 0x5a5a5a {
			t.Errorf("VNI with bit %d flipped = %v", bit, h.VNI())
		}
		if got, want := h.HasVNI(), !isFlag; got != want {
			t.Errorf("HasVNI with bit %d flipped = %v, want %v", bit, got, want)
		}
		if !isVNI && !isFlag {
			reserved++
		}
	}
	if reserved != 39 {
		t.Errorf("tried %d reserved bits, want 39", reserved)
	}
}

func TestPutHeaderIntoDirtyMemoryEqualsGopacket(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		v := encap.VNI(rnd.Uint32N(1 << 24))
		buf := gopacket.NewSerializeBuffer()
		vx := &layers.VXLAN{ValidIDFlag: true, VNI: uint32(v)}
		if err := vx.SerializeTo(buf, gopacket.SerializeOptions{}); err != nil {
			t.Fatal(err)
		}
		got := bytes.Repeat([]byte{0xff}, encap.HeaderLen)
		encap.PutHeader(got, v)
		if !bytes.Equal(got, buf.Bytes()) {
			t.Fatalf("header for %v = %x, want %x", v, got, buf.Bytes())
		}
		if encap.Header(got).VNI() != v {
			t.Fatalf("VNI comes back as %v, want %v", encap.Header(got).VNI(), v)
		}
	}
}

func TestPutHeaderNeverSetsReservedBits(t *testing.T) {
	h := make(encap.Header, encap.HeaderLen)
	encap.PutHeader(h, 0xff000001)
	if !h.ReservedClear() || h.VNI() != 1 {
		t.Errorf("header = %x, want the VNI cut to 24 bits", []byte(h))
	}
}

func TestVNI(t *testing.T) {
	for v, want := range map[encap.VNI]bool{0: true, 1: true, 1<<24 - 1: true, 1 << 24: false, 1<<32 - 1: false} {
		if got := v.Valid(); got != want {
			t.Errorf("VNI(%d).Valid = %v, want %v", uint32(v), got, want)
		}
	}
	if got, want := encap.VNI(4242).String(), "4242"; got != want {
		t.Errorf("String = %q, want %q", got, want)
	}
}

func TestPortIsTheOneIANAAssigned(t *testing.T) {
	if encap.Port != 4789 {
		t.Errorf("Port = %d, want 4789", encap.Port)
	}
}

func TestOverhead(t *testing.T) {
	tests := []struct {
		name      string
		underlay6 bool
		tags      int
		want      int
	}{
		{"50 over IPv4", false, 0, 50},
		{"70 over IPv6", true, 0, 70},
		{"4 more for a tag", false, 1, 54},
		{"8 more for two", true, 2, 78},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := encap.Overhead(tt.underlay6, tt.tags); got != tt.want {
				t.Errorf("Overhead = %d, want %d", got, tt.want)
			}
		})
	}
}
