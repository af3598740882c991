package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// marked is the inner DSCP, with its place, and the inner ECN and TTL of what
// mark sends.
const markedDSCP, markedECN, markedTTL = 0xb8, 2, 7

// mark sends count datagrams to ip from one port of the host. Its socket is not
// connected, so it does not hear that nobody takes them.
func mark(ctx context.Context, t *testing.T, h *lab.Host, ip netip.Addr, count int) {
	t.Helper()
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		e := c.Control(func(fd uintptr) {
			err = errors.Join(
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, markedDSCP|markedECN),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TTL, markedTTL))
		})
		return errors.Join(e, err)
	}}
	must(t, h.Do(func() error {
		c, err := lc.ListenPacket(ctx, "udp4", "")
		if err != nil {
			return err
		}
		for range count {
			_, e := c.WriteTo([]byte("mark"), net.UDPAddrFromAddrPort(netip.AddrPortFrom(ip, 9)))
			err = errors.Join(err, e)
		}
		return errors.Join(err, c.Close())
	}))
}

// outerHeader is an outer header of either version.
type outerHeader struct {
	tos, ttl   uint8
	label      uint32
	source     uint16
	unchecked  bool
	innerMarks [2]uint8 // TOS and TTL
}

// outerOf waits for the next datagram of mark on a wire.
func outerOf(ctx context.Context, t *testing.T, w *lab.Wire, v6 bool) (o outerHeader) {
	t.Helper()
	_, err := w.Find(ctx, func(f lab.Frame) bool {
		var inner ether.Frame
		if v6 {
			ip, udp, ok := outer6(f)
			if !ok {
				return false
			}
			o = outerHeader{tos: ip.TrafficClass(), ttl: ip.HopLimit(), label: uint32(ip[1]&15)<<16 | uint32(ip[2])<<8 | uint32(ip[3]), source: udp.SrcPort(), unchecked: udp.Checksum() == 0}
			inner = ether.Frame(udp.Payload()[8:])
		} else {
			v, ok := parse(f, 4789)
			if !ok {
				return false
			}
			o = outerHeader{tos: v.outer.TOS(), ttl: v.outer.TTL(), source: v.udp.SrcPort(), unchecked: v.udp.Checksum() == 0}
			inner = v.inner
		}
		if inner.Type() != ether.TypeIPv4 || ether.IPv4(inner.Payload()).Protocol() != ether.ProtoUDP {
			return false
		}
		o.innerMarks = [2]uint8{ether.IPv4(inner.Payload()).TOS(), ether.IPv4(inner.Payload()).TTL()}
		return f.Outgoing
	})
	must(t, err)
	return o
}

// The outer header says what was asked for, the inner one what it said before.
func TestOuterHeadersOnTheWire(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("IPv6 %v", v6), func(t *testing.T) {
			c := lab.Config{Hosts: 2}
			if v6 {
				c.Without4 = []int{1, 2}
			}
			l, ctx := newFamilies(t, c, network4, "")
			for _, h := range l.Hosts {
				if v6 { // labels are for those sockets that ask for one
					must(t, h.Sysctl("net/ipv6/auto_flowlabels", "2"))
				}
			}
			must(t, l.Hosts[0].StartAgent(ctx, "--tos", "inherit", "--ttl", "inherit", "--udp-csum", "off"))
			must(t, l.Hosts[1].StartAgent(ctx, "--tos", "0x28", "--ttl", "9"))
			for i, h := range l.Hosts {
				want := outerHeader{tos: markedDSCP | markedECN, ttl: markedTTL, innerMarks: [2]uint8{markedDSCP | markedECN, markedTTL}, unchecked: !v6}
				if i == 1 {
					want.tos, want.ttl, want.unchecked = 0x28|markedECN, 9, false
				}
				checkOuter(ctx, t, h, l.Hosts[1-i], want, v6)
			}
		})
	}
}

// checkOuter sends flows from one host to another and looks at their headers.
// Over IPv6 a flow has one label, and not all have the same.
func checkOuter(ctx context.Context, t *testing.T, h, far *lab.Host, want outerHeader, v6 bool) {
	t.Helper()
	to := far.Subnet.Masked().Addr()
	eventually(ctx, t, h.Name+" reaches "+far.Name, func() (bool, string) { return done(h.Reach(ctx, to)) })
	w, err := h.Wire("eth0")
	must(t, err)
	defer func() { _ = w.Close() }()
	const flows, each = 16, 3
	labels := map[uint32]uint16{}
	for range flows {
		mark(ctx, t, h, to, each)
		var first outerHeader
		for i := range each {
			got := outerOf(ctx, t, w, v6)
			if i == 0 {
				first = got
			}
			if got != first {
				t.Errorf("%s: a flow has the headers %+v and %+v", h.Name, first, got)
			}
			labels[got.label] = got.source
			if v6 == (got.label == 0) {
				t.Errorf("%s: got label %#x", h.Name, got.label)
			}
			got.label, got.source = 0, 0
			if got != want {
				t.Errorf("%s: got %+v, want %+v", h.Name, got, want)
			}
		}
	}
	if v6 && len(labels) < 2 {
		t.Errorf("%s: %d flows have %d labels", h.Name, flows, len(labels))
	}
}

// A datagram over IPv6 whose checksum is zero, or wrong, does not reach the TAP.
func TestUncheckedDatagramsOverIPv6AreNotTaken(t *testing.T) {
	l, ctx := newFamilies(t, lab.Config{Hosts: 2, Without4: []int{1, 2}}, network4, "")
	populated(ctx, t, l)
	h, far := l.Hosts[0], l.Hosts[1]
	reaches(ctx, t, h, far) // so each knows the other, and the other's MAC
	inside, err := h.Wire(h.TAP)
	must(t, err)
	outside, err := far.Wire("eth0")
	must(t, err)
	tap, err := h.Link(h.TAP)
	must(t, err)
	near, err := h.Link("eth0")
	must(t, err)
	own, err := far.Link("eth0")
	must(t, err)
	zero := func(u ether.UDP) { u[6], u[7] = 0, 0 }
	wrong := func(u ether.UDP) { u[7] ^= 1 }
	for i, spoil := range []func(ether.UDP){zero, wrong, func(ether.UDP) {}} {
		inner := make(ether.Frame, 60)
		ether.PutHeader(inner, ether.Addr(tap.MAC), ether.Addr{2, 0, 0, 0, 0, 0x77}, 0x88b5)
		inner[20] = byte(i)
		f := datagram6(t, ether.Addr(own.MAC), ether.Addr(near.MAC), far.Addr6, h.Addr6, inner)
		spoil(ether.UDP(ether.IPv6(ether.Frame(f).Payload()).Payload()))
		must(t, outside.Send(f))
	}
	got, err := inside.Find(ctx, func(f lab.Frame) bool { return ether.Frame(f.Data).Type() == 0x88b5 })
	must(t, err)
	if n := got.Data[20]; n != 2 {
		t.Errorf("datagram %d reached the TAP, want only 2", n)
	}
}

// datagram6 is a frame with a VXLAN datagram over IPv6.
func datagram6(t *testing.T, src, dst ether.Addr, from, to netip.Addr, inner ether.Frame) []byte {
	t.Helper()
	ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: from.AsSlice(), DstIP: to.AsSlice()}
	udp := &layers.UDP{SrcPort: 50000, DstPort: 4789}
	must(t, udp.SetNetworkLayerForChecksum(ip))
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeIPv6}, ip, udp,
		gopacket.Payload(append([]byte{8, 0, 0, 0, 0, 0, 1, 0}, inner...))))
	return buf.Bytes()
}
