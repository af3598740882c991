package pcapng

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

var frames = []Frame{
	{Time: time.Unix(1700000000, 123456789), Direction: Outbound, ID: 1, Comment: "Forward", Len: 60, Data: bytes.Repeat([]byte{1}, 60)},
	{Time: time.Unix(1700000001, 5), Direction: Inbound, Comment: "an odd one", Len: 1514, Data: []byte{1, 2, 3, 4, 5}},
	{Interface: 1, Time: time.Unix(1700000002, 0), Direction: Inbound, ID: 1<<40 + 7, Comment: strings.Repeat("long ", 30), Len: 0},
}

// sample is a file with two interfaces.
func sample() []byte {
	b := AppendSection(nil, "uvtep 1.2")
	b = AppendInterface(b, Interface{Name: "uvtep.1", Link: Ethernet, SnapLen: 65536})
	b = AppendInterface(b, Interface{Name: "eth0", Description: "outer", Link: RawIP})
	for i := range frames {
		b = AppendFrame(b, &frames[i])
	}
	return AppendStatistics(b, 1, time.Unix(1700000003, 0), 3, 77)
}

// Another program's reader understands all but the comments, which it leaves out.
func TestAnotherReaderUnderstandsTheFile(t *testing.T) {
	var stats pcapgo.NgInterfaceStatistics
	r, err := pcapgo.NewNgReader(bytes.NewReader(sample()), pcapgo.NgReaderOptions{
		WantMixedLinkType: true, StatisticsCallback: func(_ int, s pcapgo.NgInterfaceStatistics) { stats = s },
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range frames {
		data, ci, err := r.ReadPacketData()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, f.Data) || !ci.Timestamp.Equal(f.Time) || ci.Length != f.Len || ci.InterfaceIndex != int(f.Interface) {
			t.Errorf("frame %d: got %v, % x", i, ci, data)
		}
	}
	if _, _, err := r.ReadPacketData(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: got %v", err)
	}
	if stats.PacketsReceived != 3 || stats.PacketsDropped != 77 {
		t.Errorf("got %+v, want 3 taken and 77 lost", stats)
	}
	for i, want := range []struct {
		name string
		link layers.LinkType
	}{{"uvtep.1", layers.LinkTypeEthernet}, {"eth0", layers.LinkTypeRaw}} {
		if got, err := r.Interface(i); err != nil || got.Name != want.name || got.LinkType != want.link {
			t.Errorf("interface %d: got %+v, %v", i, got, err)
		}
	}
	if got := r.SectionInfo().Application; got != "uvtep 1.2" {
		t.Errorf("written by %q", got)
	}
}

func TestBlocksAreReadAsTheyWereWritten(t *testing.T) {
	in, file := bytes.NewReader(sample()), []byte(nil)
	var got []Frame
	for {
		b, err := ReadBlock(in)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		file = append(file, b...)
		if f, ok := b.Frame(); ok {
			got = append(got, f)
		}
		if taken, lost, ok := b.Statistics(); ok && (taken != 3 || lost != 77) {
			t.Errorf("got %d taken, %d lost; want 3 and 77", taken, lost)
		}
	}
	if !bytes.Equal(file, sample()) {
		t.Error("the blocks are not the file")
	}
	frames[2].Data = []byte{}
	if diff := cmp.Diff(frames, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAFileThatIsCutOrNoneIsAnError(t *testing.T) {
	whole := sample()
	for n := range len(whole) {
		in := bytes.NewReader(whole[:n])
		var err error
		for err == nil {
			_, err = ReadBlock(in)
		}
		between := n == 0
		for at := 0; at < n; {
			at += int(le.Uint32(whole[at+4:]))
			between = between || at == n
		}
		if between != errors.Is(err, io.EOF) || !between && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("cut after %d bytes: got %v; between blocks: %t", n, err, between)
		}
	}
	if _, err := ReadBlock(strings.NewReader("GET / HTTP/1.1\r\n")); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("no capture: got %v", err)
	}
}

func TestFilesOfOthersAreRead(t *testing.T) {
	old := new(bytes.Buffer)
	w := pcapgo.NewWriter(old)
	if err := errors.Join(w.WriteFileHeader(100, layers.LinkTypeEthernet),
		w.WritePacket(gopacket.CaptureInfo{CaptureLength: 3, Length: 60}, []byte{1, 2, 3})); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		file []byte
		want []Record
	}{
		{"pcap", old.Bytes(), []Record{{Ethernet, []byte{1, 2, 3}, 60}}},
		{"pcapng", sample(), []Record{{Ethernet, frames[0].Data, 60}, {Ethernet, frames[1].Data, 1514}, {RawIP, []byte{}, 0}}},
	} {
		var got []Record
		if err := ReadFile(bytes.NewReader(c.file), func(r Record) error { got = append(got, r); return nil }); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
	for _, bad := range []string{"", "no capture at all", string(sample()[:30])} {
		if err := ReadFile(strings.NewReader(bad), func(Record) error { return nil }); err == nil {
			t.Errorf("%q is taken for a capture", bad)
		}
	}
}

func FuzzBlock(f *testing.F) {
	f.Add(sample()) // what there is when nothing is wrong
	f.Fuzz(func(t *testing.T, file []byte) {
		for in := bytes.NewReader(file); ; {
			b, err := ReadBlock(in)
			if err != nil {
				return
			}
			if f, ok := b.Frame(); ok && len(f.Data) > len(b) {
				t.Error("more data than there is")
			}
			_, _, _ = b.Statistics()
		}
	})
}
