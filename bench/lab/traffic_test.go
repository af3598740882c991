//go:build linux

package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

func TestPingCountsAnswersAndTellsWhyThereAreNone(t *testing.T) {
	l := newLab(t, Config{Hosts: 2, IPv6: true})
	a, b := l.Hosts[0], l.Hosts[1]
	for _, to := range []netip.Addr{b.Addr, b.Addr6} {
		got, err := a.Ping(patient(t), to, Pings{Count: 5, Size: 1400})
		if err != nil {
			t.Error(err)
		}
		if got.Sent != 5 || got.Received != 5 || got.Min <= 0 || got.Min > got.Avg || got.Avg > got.Max {
			t.Errorf("%v: got %+v", to, got)
		}
	}
	got, err := a.Ping(patient(t), netip.MustParseAddr("192.0.2.99"), Pings{Count: 2, Timeout: 100 * time.Millisecond})
	if !errors.Is(err, ErrNoAnswer) || got.Sent != 2 || got.Received != 0 {
		t.Errorf("nobody there: got %+v, error %v, want ErrNoAnswer", got, err)
	}
	// The fabric does not forward; a router with no way there says so.
	if err := a.nl.RouteDel(mustRoute(t, a.Node)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Ping(patient(t), netip.MustParseAddr("198.51.100.1"), Pings{Count: 1}); err == nil || errors.Is(err, ErrNoAnswer) {
		t.Errorf("no route: got %v, want the kernel's reason", err)
	}
}

func TestPingReportsAnICMPError(t *testing.T) {
	l := newMesh(t, Config{Hosts: 1}, 1)
	h, c := l.Hosts[0], l.Hosts[0].Containers[0]
	if err := h.nl.RouteDel(mustRoute(t, h.Node)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Ping(patient(t), netip.MustParseAddr("198.51.100.1"), Pings{Count: 1})
	if err == nil || errors.Is(err, ErrNoAnswer) {
		t.Errorf("got %v, want destination unreachable from the host", err)
	}
}

func TestFlowsArriveWholeInBothDirections(t *testing.T) {
	l := newMesh(t, Config{Hosts: 2}, 1)
	a, b := l.Hosts[0].Containers[0], l.Hosts[1].Containers[0]
	for _, way := range [][2]*Node{{a.Node, b.Node}, {b.Node, a.Node}} {
		got, err := way[0].TCP(patient(t), way[1], Flow{Bytes: 10<<20 + 4, Streams: 4})
		if err != nil {
			t.Error(err)
		}
		if want := int64(10<<20 + 4); got.Bytes != want {
			t.Errorf("got %d bytes, want %d", got.Bytes, want)
		}
		if got.Took <= 0 || got.BitsPerSecond() <= 0 {
			t.Errorf("got no figures: %+v", got)
		}
	}
	got, err := a.TCP(patient(t), b.Node, Flow{For: 50 * time.Millisecond, NoHash: true})
	if err != nil || got.Bytes == 0 {
		t.Errorf("for a time: got %+v, error %v", got, err)
	}
	// The hosts' own addresses on the overlay, not the one they are known by.
	own := func(h *Host) netip.Addr { return h.Subnet.Masked().Addr() }
	if _, err := l.Hosts[0].TCP(patient(t), l.Hosts[1].Node, Flow{Bytes: 1 << 16, At: own(l.Hosts[1])}); err != nil {
		t.Error(err)
	}
}

func TestUDPCountsWhatArrives(t *testing.T) {
	l := newMesh(t, Config{Hosts: 2}, 1)
	a, b := l.Hosts[0].Containers[0], l.Hosts[1].Containers[0]
	got, err := a.UDP(patient(t), b.Node, Flow{Bytes: 100 * 1000, Size: 100})
	if err != nil {
		t.Fatal(err)
	}
	if got.Sent != 1000 || got.Received != 1000 || got.Bytes != 100*1000 || got.Doubled != 0 {
		t.Errorf("got %+v, want all of 1000", got)
	}
	unblock, err := l.Hosts[1].Block(Block{})
	if err != nil {
		t.Fatal(err)
	}
	defer unblock()
	got, err = a.UDP(patient(t), b.Node, Flow{Bytes: 1000, Size: 100})
	if err != nil || got.Sent != 10 || got.Received != 0 {
		t.Errorf("blocked: got %+v, error %v, want 10 sent and none received", got, err)
	}
}

func TestTallyTellsDoubledAndReordered(t *testing.T) {
	got := tally{next: make([]uint64, 1)}
	for _, seq := range []uint64{0, 1, 3, 2, 2, 200, 1} {
		got.count(binary.BigEndian.AppendUint64(nil, seq))
	}
	got.count([]byte("short"))
	got.count(bytes.Repeat([]byte{0xff}, 8)) // a stranger's
	want := Transfer{Bytes: 5 * 8, Received: 5, Doubled: 2, Reordered: 1}
	if got.Transfer != want {
		t.Errorf("got %+v, want %+v", got.Transfer, want)
	}
}

func TestTallyOfManyFlowsKnowsEachOnesOrder(t *testing.T) {
	got := tally{next: make([]uint64, 2)}
	for _, seq := range []uint64{1, 3, 0, 2, 7, 5, 4} { // 5 alone comes after a later one of its flow
		got.count(binary.BigEndian.AppendUint64(nil, seq))
	}
	want := Transfer{Bytes: 7 * 8, Received: 7, Reordered: 1}
	if got.Transfer != want {
		t.Errorf("got %+v, want %+v", got.Transfer, want)
	}
}

func TestSprayReachesAllTargetsInTurn(t *testing.T) {
	l := newMesh(t, Config{Hosts: 3}, 1)
	from, b, c := l.Hosts[0].Containers[0], l.Hosts[1].Containers[0], l.Hosts[2]
	to := []Target{{Node: b.Node}, {Node: c.Node, At: c.Subnet.Masked().Addr()}}
	f := Flow{Bytes: 640 * 64, Size: 64, Streams: 64}
	got, err := from.Spray(patient(t), to, f)
	if err != nil {
		t.Fatal(err)
	}
	got.Took = 0
	if want := (Transfer{Bytes: 640 * 64, Sent: 640, Received: 640}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	unblock, err := c.Block(Block{})
	if err != nil {
		t.Fatal(err)
	}
	defer unblock()
	if got, err := from.Spray(patient(t), to, f); err != nil || got.Received != 320 {
		t.Errorf("one of two targets blocked: got %+v, error %v, want half", got, err)
	}
	if _, err := from.Spray(patient(t), nil, f); err == nil {
		t.Error("no target was taken")
	}
}

func TestFlowsAreChecked(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	h := l.Hosts[0]
	for _, f := range []Flow{{}, {Bytes: 1, For: 1}, {Bytes: 1, Size: 7}, {Bytes: 1, Size: 65508}, {Bytes: 1, Streams: -1}} {
		if _, err := h.TCP(patient(t), h.Node, f); err == nil {
			t.Errorf("TCP took %+v", f)
		}
		if _, err := h.UDP(patient(t), h.Node, f); err == nil {
			t.Errorf("UDP took %+v", f)
		}
	}
}

func TestStreamVerdictFindsCorruption(t *testing.T) {
	for name, s := range map[string]*stream{
		"a byte short":   {sent: 2, received: 1},
		"another byte":   {sent: 1, received: 1, sentSum: sum("a"), gotSum: sum("b")},
		"all is well":    {sent: 1, received: 1, sentSum: sum("a"), gotSum: sum("a")},
		"without hashes": {sent: 1, received: 1},
	} {
		err := s.verdict()
		if bad := name == "a byte short" || name == "another byte"; errors.Is(err, ErrCorrupt) != bad {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// outer decodes what a raw socket on the underlay has captured with gopacket.
func outer(f Frame) (gopacket.Packet, *layers.VXLAN) {
	p := gopacket.NewPacket(f.Data, layers.LayerTypeEthernet, gopacket.Default)
	v, _ := p.Layer(layers.LayerTypeVXLAN).(*layers.VXLAN)
	return p, v
}

func TestWireSeesTheDatagramsAsTheyAre(t *testing.T) {
	l := newMesh(t, Config{Hosts: 2}, 1)
	a, b := l.Hosts[0].Containers[0], l.Hosts[1].Containers[0]
	wire, err := l.Hosts[1].Wire("eth0")
	if err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	if _, err := a.TCP(patient(t), b.Node, Flow{Bytes: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	// Offloads are off: each datagram fits the wire and its checksums are done.
	full := 1500 + layers14
	f, err := wire.Find(patient(t), func(f Frame) bool { return len(f.Data) >= full })
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Data) != full || f.Unfinished || f.Outgoing {
		t.Errorf("got %d bytes, unfinished %v, outgoing %v; want %d, no, no", len(f.Data), f.Unfinished, f.Outgoing, full)
	}
	p, v := outer(f)
	if v == nil || v.VNI != 1 {
		t.Fatalf("got no VXLAN of VNI 1: %v", p)
	}
	inner, ok := p.Layers()[len(p.Layers())-2].(*layers.TCP)
	if !ok {
		t.Fatalf("got no inner TCP: %v", p)
	}
	if got, want := netip.MustParseAddr(p.NetworkLayer().NetworkFlow().Dst().String()), l.Hosts[1].Addr; got != want {
		t.Errorf("got outer destination %v, want %v", got, want)
	}
	if err := checkTCP(p, inner); err != nil {
		t.Error(err)
	}
}

// layers14 is an Ethernet header's length.
const layers14 = 14

// checkTCP recomputes the checksum of the inner TCP segment.
func checkTCP(p gopacket.Packet, tcp *layers.TCP) error {
	var ip *layers.IPv4
	for _, layer := range p.Layers() {
		if found, ok := layer.(*layers.IPv4); ok {
			ip = found // the inner one comes last
		}
	}
	if err := tcp.SetNetworkLayerForChecksum(ip); err != nil {
		return err
	}
	again, err := tcp.ComputeChecksum()
	if err == nil && again != 0 && again != 0xffff { // over all with the checksum in it: zero
		err = errors.New("inner checksum is wrong")
	}
	return err
}

func TestOffloadsLeaveSuperframesOnTheWire(t *testing.T) {
	l := newMesh(t, Config{Hosts: 2, Underlay: VethGSO}, 1)
	wire, err := l.Hosts[1].Wire("eth0")
	if err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	a, b := l.Hosts[0].Containers[0], l.Hosts[1].Containers[0]
	if _, err := a.TCP(patient(t), b.Node, Flow{Bytes: 4 << 20}); err != nil {
		t.Fatal(err)
	}
	if _, err := wire.Find(patient(t), func(f Frame) bool { return len(f.Data) > 1500+layers14 && f.Unfinished }); err != nil {
		t.Error(err)
	}
}

func TestWireSendsAndKeepsTags(t *testing.T) {
	l := newLab(t, Config{Hosts: 2})
	from, err := l.Hosts[0].Wire("eth0")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	beside, err := l.Hosts[0].Wire("eth0")
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	to, err := l.Hosts[1].Wire("eth0")
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	frame := append(net.HardwareAddr{
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, // to all, from a stranger
		0x81, 0x00, 0x60, 0x07, // tag: priority 3, VLAN 7
		0x88, 0xb5, // local experimental
	}, bytes.Repeat([]byte{0xab}, 46)...)
	if err := from.Send(frame); err != nil {
		t.Fatal(err)
	}
	same := func(f Frame) bool { return bytes.Equal(f.Data, frame) }
	sent, err := beside.Find(patient(t), same)
	if err != nil || !sent.Outgoing {
		t.Errorf("beside the sender: got outgoing %v, error %v", sent.Outgoing, err)
	}
	got, err := to.Find(patient(t), same)
	if err != nil || got.Outgoing {
		t.Errorf("receiver: got outgoing %v, error %v", got.Outgoing, err)
	}
	if _, err := l.Hosts[0].Wire("nosuch0"); !errors.Is(err, ErrNoLink) {
		t.Errorf("no such device: got %v", err)
	}
	if err := from.Send([]byte{1, 2, 3}); err == nil {
		t.Error("three bytes were sent as a frame")
	}
}
