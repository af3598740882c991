package ether_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/uvtep/uvtep/encap/ether"
)

var (
	addrA = ether.Addr{0x02, 0x0a, 0, 0, 0, 0x01}
	addrB = ether.Addr{0x02, 0x0b, 0, 0, 0, 0x02}
)

// frame builds a frame from addrA to addrB out of types, tags and payload, in
// the order they stand on the wire.
func frame(rest ...byte) ether.Frame {
	return append(append(append(ether.Frame{}, addrB[:]...), addrA[:]...), rest...)
}

func TestFrameFieldsOfAnAnnotatedVector(t *testing.T) {
	f := ether.Frame{
		0x33, 0x33, 0x00, 0x00, 0x00, 0x16, // destination
		0x1a, 0x0f, 0x87, 0x98, 0x5e, 0xc7, // source
		0x86, 0xdd, // type: IPv6
		0x60, 0x00, // payload
	}
	if got, want := f.Dst(), (ether.Addr{0x33, 0x33, 0, 0, 0, 0x16}); got != want {
		t.Errorf("destination = %v, want %v", got, want)
	}
	if got, want := f.Src(), (ether.Addr{0x1a, 0x0f, 0x87, 0x98, 0x5e, 0xc7}); got != want {
		t.Errorf("source = %v, want %v", got, want)
	}
	if got, want := f.Type(), ether.TypeIPv6; got != want {
		t.Errorf("type = %v, want %v", got, want)
	}
	if got, want := f.Payload(), []byte{0x60, 0x00}; !bytes.Equal(got, want) {
		t.Errorf("payload = %x, want %x", got, want)
	}
}

func TestFrameIsValidFromFourteenBytesOn(t *testing.T) {
	for n, want := range map[int]bool{0: false, 13: false, 14: true, 15: true} {
		if got := make(ether.Frame, n).Valid(); got != want {
			t.Errorf("Valid of %d bytes = %v, want %v", n, got, want)
		}
	}
}

func TestPutHeaderIntoDirtyMemory(t *testing.T) {
	b := bytes.Repeat([]byte{0xff}, ether.HeaderLen+1)
	ether.PutHeader(b, addrB, addrA, ether.TypeARP)
	if diff := cmp.Diff(frame(0x08, 0x06, 0xff), ether.Frame(b)); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

func TestSetAddressesTouchNothingElse(t *testing.T) {
	f := frame(0x08, 0x00, 0x45)
	f.SetDst(addrA)
	f.SetSrc(addrB)
	want := ether.Frame(append(append(append([]byte{}, addrA[:]...), addrB[:]...), 0x08, 0x00, 0x45))
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("frame (-want +got):\n%s", diff)
	}
}

func TestTags(t *testing.T) {
	tests := []struct {
		name     string
		in       ether.Frame
		tags     int
		netType  ether.Type
		net      []byte
		stripped ether.Frame
	}{
		{
			"an untagged frame comes back as it is",
			frame(0x08, 0x00, 1, 2), 0, ether.TypeIPv4, []byte{1, 2}, frame(0x08, 0x00, 1, 2),
		}, {
			"an 802.1Q tag with a VLAN goes",
			frame(0x81, 0x00, 0x00, 0x2a, 0x08, 0x00, 1, 2), 1, ether.TypeIPv4, []byte{1, 2}, frame(0x08, 0x00, 1, 2),
		}, {
			"a priority tag, VLAN 0, goes too",
			frame(0x81, 0x00, 0xe0, 0x00, 0x08, 0x06, 9), 1, ether.TypeARP, []byte{9}, frame(0x08, 0x06, 9),
		}, {
			"802.1ad around 802.1Q is two tags",
			frame(0x88, 0xa8, 0, 1, 0x81, 0x00, 0, 2, 0x86, 0xdd, 6), 2, ether.TypeIPv6, []byte{6}, frame(0x86, 0xdd, 6),
		}, {
			"three tags",
			frame(0x81, 0, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 0x12, 0x34), 3, 0x1234, nil, frame(0x12, 0x34),
		}, {
			"a tag cut off behind its type stays",
			frame(0x81, 0x00), 0, ether.TypeVLAN, nil, frame(0x81, 0x00),
		}, {
			"a tag without the type behind it stays",
			frame(0x81, 0x00, 0x00, 0x01, 0x08), 0, ether.TypeVLAN, []byte{0, 1, 8}, frame(0x81, 0x00, 0x00, 0x01, 0x08),
		}, {
			"a whole tag goes, the cut-off one behind it stays",
			frame(0x81, 0, 0, 1, 0x81, 0, 0), 1, ether.TypeVLAN, []byte{0}, frame(0x81, 0, 0),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.in.Tags(); got != tt.tags {
				t.Errorf("tags = %d, want %d", got, tt.tags)
			}
			typ, net := tt.in.Network()
			if typ != tt.netType || !bytes.Equal(net, tt.net) {
				t.Errorf("network = %v %x, want %v %x", typ, net, tt.netType, tt.net)
			}
			if diff := cmp.Diff(tt.stripped, ether.StripTags(bytes.Clone(tt.in))); diff != "" {
				t.Errorf("stripped (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTypeString(t *testing.T) {
	for typ, want := range map[ether.Type]string{
		ether.TypeIPv4: "IPv4", ether.TypeIPv6: "IPv6", ether.TypeARP: "ARP",
		ether.TypeVLAN: "802.1Q", ether.TypeQinQ: "802.1ad", 0x88cc: "0x88cc",
	} {
		if got := typ.String(); got != want {
			t.Errorf("Type(%#x) = %q, want %q", uint16(typ), got, want)
		}
	}
}

// Whatever the bytes, nothing panics, gopacket sees the same addresses and
// tags, and stripping keeps addresses and network part.
func FuzzFrame(f *testing.F) {
	f.Add([]byte(frame(0x08, 0x00)))                                        // header only
	f.Add([]byte(frame(0x81, 0x00)))                                        // tag cut off
	f.Add([]byte(frame(0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x08, 0x06, 1)))    // two tags
	f.Add(bytes.Repeat([]byte{0x81, 0x00}, 40))                             // nothing but tags
	f.Add([]byte(frame(0x00, 0x10, 0xaa, 0xaa, 0x03, 0, 0, 0, 0x08, 0x00))) // 802.3 length
	f.Fuzz(func(t *testing.T, b []byte) {
		fr := ether.Frame(b)
		if !fr.Valid() {
			return
		}
		dst, src := fr.Dst(), fr.Src()
		typ, net := fr.Network()
		if whole := gopacketTags(b); fr.Tags() != whole {
			t.Errorf("tags = %d, gopacket sees %d in %x", fr.Tags(), whole, b)
		}
		s := ether.StripTags(bytes.Clone(fr))
		gotTyp, gotNet := s.Network()
		if s.Tags() != 0 || s.Dst() != dst || s.Src() != src || gotTyp != typ || !bytes.Equal(gotNet, net) {
			t.Errorf("stripped %x to %x", b, []byte(s))
		}
	})
}

// gopacketTags counts the 802.1Q and 802.1ad tags that gopacket decodes.
func gopacketTags(b []byte) int {
	n := 0
	var eth layers.Ethernet
	if eth.DecodeFromBytes(b, gopacket.NilDecodeFeedback) != nil {
		return 0
	}
	typ, rest := eth.EthernetType, b[ether.HeaderLen:]
	for typ == layers.EthernetTypeDot1Q || typ == layers.EthernetTypeQinQ {
		var tag layers.Dot1Q
		if tag.DecodeFromBytes(rest, gopacket.NilDecodeFeedback) != nil {
			break
		}
		typ, rest = tag.Type, tag.Payload
		n++
	}
	return n
}
