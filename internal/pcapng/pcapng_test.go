package pcapng

import (
	"bytes"
	"errors"
	"io"
	"slices"
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
		name, description string
		link              layers.LinkType
		snapLen           uint32
	}{{"uvtep.1", "", layers.LinkTypeEthernet, 65536}, {"eth0", "outer", layers.LinkTypeRaw, 0}} {
		if got, err := r.Interface(i); err != nil || got.Name != want.name || got.Description != want.description || got.LinkType != want.link || got.SnapLength != want.snapLen {
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
	var links []LinkType
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
		if l, ok := b.Link(); ok {
			links = append(links, l)
		}
		if taken, lost, ok := b.Statistics(); ok && (taken != 3 || lost != 77) {
			t.Errorf("got %d taken, %d lost; want 3 and 77", taken, lost)
		}
	}
	if !bytes.Equal(file, sample()) {
		t.Error("the blocks are not the file")
	}
	if want := []LinkType{Ethernet, RawIP}; !slices.Equal(links, want) {
		t.Errorf("interfaces: got links %v, want %v", links, want)
	}
	frames[2].Data = []byte{}
	if diff := cmp.Diff(frames, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What our own reader and writer could have wrong alike.
func TestAFrameIsWrittenAsTheDraftHasIt(t *testing.T) {
	f := Frame{Interface: 3, Time: time.Unix(1, 5), Direction: Outbound, ID: 7, Comment: "ab", Len: 60, Data: []byte{0xd1, 0xd2, 0xd3}}
	want := []byte{
		6, 0, 0, 0, // enhanced packet block
		68, 0, 0, 0, // its length
		3, 0, 0, 0, // interface
		0, 0, 0, 0, // time in nanoseconds, the high half
		0x05, 0xca, 0x9a, 0x3b, // and the low one, 10⁹+5
		3, 0, 0, 0, // captured
		60, 0, 0, 0, // of so many
		0xd1, 0xd2, 0xd3, 0, // data, filled up
		1, 0, 2, 0, 'a', 'b', 0, 0, // opt_comment
		2, 0, 4, 0, 2, 0, 0, 0, // epb_flags: outbound
		5, 0, 8, 0, 7, 0, 0, 0, 0, 0, 0, 0, // epb_packetid
		0, 0, 0, 0, // opt_endofopt
		68, 0, 0, 0,
	}
	if diff := cmp.Diff(want, AppendFrame(nil, &f)); diff != "" {
		t.Errorf("outbound (-want +got):\n%s", diff)
	}
	f.Direction, want[44] = Inbound, 1
	if diff := cmp.Diff(want, AppendFrame(nil, &f)); diff != "" {
		t.Errorf("inbound (-want +got):\n%s", diff)
	}
}

func TestACommentIsCutAtWhatAnOptionHolds(t *testing.T) {
	f := Frame{Time: time.Unix(1, 0), Direction: Inbound, ID: 7, Comment: strings.Repeat("c", 1<<16)}
	b, err := ReadBlock(bytes.NewReader(AppendFrame(nil, &f)))
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := b.Frame(); !ok || len(got.Comment) != 1<<16-4 || got.ID != 7 || got.Direction != Inbound {
		t.Errorf("got %d bytes of comment, ID %d, direction %d", len(got.Comment), got.ID, got.Direction)
	}
}

func TestTheLargestBlockIsRead(t *testing.T) {
	const others = 28 + 8 + 4 + 4 // what is before the data, flags, the end of options, the length again
	largest := Frame{Time: time.Unix(1, 0), Data: make([]byte, maxBlock-others)}
	if _, err := ReadBlock(bytes.NewReader(AppendFrame(nil, &largest))); err != nil {
		t.Error(err)
	}
	largest.Data = append(largest.Data, 0)
	if _, err := ReadBlock(bytes.NewReader(AppendFrame(nil, &largest))); err == nil {
		t.Error("a larger one is read")
	}
	superframe := Frame{Time: time.Unix(1, 0), Data: make([]byte, 14+1<<16-1), Comment: strings.Repeat("c", 1<<16)}
	if _, err := ReadBlock(bytes.NewReader(AppendFrame(nil, &superframe))); err != nil {
		t.Errorf("a superframe with the longest comment: %v", err)
	}
}

func TestLengthsThatDoNotFitTheBlockAreNotBelieved(t *testing.T) {
	if _, err := ReadBlock(bytes.NewReader([]byte{6, 0, 0, 0, 13, 0, 0, 0, 1, 2, 3, 4, 13})); err == nil {
		t.Error("a block of 13 bytes is read")
	}
	f := Frame{Time: time.Unix(1, 0), Direction: Inbound, Comment: "abcd", Data: []byte{1, 2, 3, 4}}
	whole := AppendFrame(nil, &f)
	cut := func(at int, v byte) Block { b := bytes.Clone(whole); b[at] = v; return b }
	if got, ok := cut(20, byte(len(whole)-28)).Frame(); ok {
		t.Errorf("data up to the end of the block: got %+v", got)
	}
	const comment = 28 + 4               // after the data
	room := len(whole) - 4 - comment - 4 // up to the block's second length
	for _, over := range []int{1, 2, 3, 4, 5, 99} {
		if got, _ := cut(comment+2, byte(room+over)).Frame(); got.Comment != "" {
			t.Errorf("a comment that is too long by %d: got %q", over, got.Comment)
		}
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
	enough := errors.New("enough")
	if err := ReadFile(bytes.NewReader(sample()), func(Record) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("whoever sees the frames wants no more: got %v", err)
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
