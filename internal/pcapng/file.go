package pcapng

import (
	"bufio"
	"fmt"
	"io"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
)

// Record is a frame of a file of whatever program.
type Record struct {
	Link LinkType
	Data []byte
	Len  int // before it was cut
}

// ReadFile calls see with each frame of a pcap or pcapng file, until it returns
// an error.
func ReadFile(r io.Reader, see func(Record) error) error {
	in := bufio.NewReader(r)
	head, err := in.Peek(4)
	if err != nil {
		return fmt.Errorf("neither pcap nor pcapng: %w", err)
	}
	if le.Uint32(head) == SectionHeader { // the same in both byte orders
		ng, err := pcapgo.NewNgReader(in, pcapgo.NgReaderOptions{WantMixedLinkType: true})
		if err != nil {
			return fmt.Errorf("pcapng: %w", err)
		}
		return each(ng.ReadPacketData, func(ci gopacket.CaptureInfo) layers.LinkType {
			link, _ := ci.AncillaryData[0].(layers.LinkType)
			return link
		}, see)
	}
	old, err := pcapgo.NewReader(in)
	if err != nil {
		return fmt.Errorf("neither pcap nor pcapng: %w", err)
	}
	return each(old.ReadPacketData, func(gopacket.CaptureInfo) layers.LinkType { return old.LinkType() }, see)
}

func each(next func() ([]byte, gopacket.CaptureInfo, error), link func(gopacket.CaptureInfo) layers.LinkType, see func(Record) error) error {
	for n := 1; ; n++ {
		data, ci, err := next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("frame %d: %w", n, err)
		}
		if err := see(Record{LinkType(link(ci)), data, ci.Length}); err != nil {
			return err
		}
	}
}
