package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/pcapng"
)

// fromFile takes the frames from a capture file. What was cut off is filled up
// with zeros: no rule looks there.
func (e *explainFlags) fromFile(cmd *cobra.Command, outer explainFrame) ([]explainFrame, error) {
	var in io.Reader = cmd.InOrStdin()
	if e.pcap != "-" {
		f, err := os.Open(e.pcap)
		if err != nil {
			return nil, fmt.Errorf("%w; say with --pcap which file has the frames", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	take := e.innerRecord
	if e.from == fromWire && !e.given("vni") {
		var err error
		if take, err = e.outerRecords(cmd); err != nil {
			return nil, err
		}
	}
	var frames []explainFrame
	skipped := 0
	err := pcapng.ReadFile(in, func(r pcapng.Record) error {
		if r.Len > len(r.Data) && r.Len <= 1<<17 {
			r.Data = append(r.Data, make([]byte, r.Len-len(r.Data))...)
		}
		f, ok := take(r, outer)
		if !ok {
			skipped++
			return nil
		}
		frames = append(frames, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.pcap, err)
	}
	if skipped > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%d of %d frames are not explained: they did not come from the %s\n", skipped, skipped+len(frames), e.from)
	}
	if len(frames) == 0 {
		return nil, errors.New("nothing to explain in " + e.pcap)
	}
	return frames, nil
}

// innerRecord takes a record as an inner frame.
func (e *explainFlags) innerRecord(r pcapng.Record, outer explainFrame) (explainFrame, bool) {
	return e.inner(r.Data, outer), r.Link == pcapng.Ethernet
}

// outerRecords takes records as what was seen on the underlay: VXLAN datagrams to
// this host.
func (e *explainFlags) outerRecords(cmd *cobra.Command) (func(pcapng.Record, explainFrame) (explainFrame, bool), error) {
	links, err := e.links(cmd.Context())
	if err != nil {
		return nil, err
	}
	arrives := func(d seenDatagram) bool {
		return slices.ContainsFunc(links, func(l linkView) bool {
			_, also := l.AlsoListen[d.port]
			return (d.port == l.Port || also) && d.src.String() != l.Local && d.src.String() != l.Local6
		})
	}
	return func(r pcapng.Record, f explainFrame) (explainFrame, bool) {
		d, ok := outerDatagram(r)
		if !ok || !arrives(d) {
			return f, false
		}
		if !f.Src.IsValid() {
			f.Src = d.src
		}
		if !e.given("outer-tos") {
			f.TOS = d.tos
		}
		f.Data = hex.EncodeToString(d.payload)
		return f, true
	}, nil
}

// seenDatagram is a UDP datagram as it was seen on the underlay.
type seenDatagram struct {
	src     netip.Addr
	port    uint16 // that it went to
	tos     uint8
	payload []byte
}

// outerDatagram takes a record apart; ok is false for what is no whole datagram.
func outerDatagram(r pcapng.Record) (d seenDatagram, ok bool) {
	b := r.Data
	typ := ether.TypeIPv4
	switch {
	case r.Link == pcapng.Ethernet && ether.Frame(b).Valid():
		typ, b = ether.Frame(b).Network()
	case r.Link == pcapng.RawIP && len(b) > 0:
		if b[0]>>4 == 6 {
			typ = ether.TypeIPv6
		}
	default:
		return d, false
	}
	var u ether.UDP
	switch {
	case typ == ether.TypeIPv4 && ether.IPv4(b).Valid() && ether.IPv4(b).Protocol() == ether.ProtoUDP && !ether.IPv4(b).Fragmented():
		d.src, d.tos, u = ether.IPv4(b).Src(), ether.IPv4(b).TOS(), ether.IPv4(b).Payload()
	case typ == ether.TypeIPv6 && ether.IPv6(b).Valid():
		proto, payload, fragment, whole := ether.IPv6(b).Transport()
		if proto != ether.ProtoUDP || fragment || !whole {
			return d, false
		}
		d.src, d.tos, u = ether.IPv6(b).Src(), ether.IPv6(b).TrafficClass(), payload
	}
	if !u.Valid() {
		return d, false
	}
	d.port, d.payload = u.DstPort(), u.Payload()
	return d, true
}
