package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// The checklist of docs/conformance.md, from outside: crafted datagrams on the
// wire and crafted frames on the TAP. "Nothing" is proven by a sentinel, a good
// frame sent after what is to vanish. The same cases run against the kernel's
// vxlan device, so that the cases themselves are right; where that differs, the
// case says so.

// dut is a VTEP under test, on the first host, and a VTEP that the test plays, on
// the second, whose MAC address is behind 192.0.2.2.
type dut struct {
	*testing.T
	ctx       context.Context
	h, far    *lab.Host
	kernel    bool
	dev       string
	own       ether.Addr
	tap, wire *lab.Wire
	sock      *net.UDPConn // to the VTEP, from a port of any kind
	n         byte         // sentinels so far
}

var (
	farMAC  = ether.Addr{2, 0, 0, 0, 0, 0x77}
	nearIP  = netip.MustParseAddr("10.10.1.9")
	farIP   = netip.MustParseAddr("10.10.77.9")
	leaseIP = netip.MustParseAddr("10.10.77.0")
	freeIP  = netip.MustParseAddr("10.10.99.9")
)

func newDUT(t *testing.T, kernel bool) *dut {
	t.Helper()
	l, ctx := newLab(t, lab.Config{Hosts: 2})
	d := &dut{T: t, ctx: ctx, h: l.Hosts[0], far: l.Hosts[1], kernel: kernel}
	if kernel {
		k, err := d.h.AddKernelPeer(lab.KernelConfig{Subnet: netip.MustParsePrefix("10.10.1.0/24"), UDPCSum: true})
		must(t, err, k.Add(lab.Remote{Subnet: netip.MustParsePrefix("10.10.77.0/24"), VTEP: d.far.Addr, MAC: farMAC[:]}))
		d.dev = k.Name
	} else {
		startAgents(ctx, t, l.Hosts[:1], "--queues", "1", "--source-ports", "1")
		putLease(ctx, t, l, "10.10.77.0/24", d.far.Addr, farMAC)
		eventually(ctx, t, "the tables are in force", func() (bool, string) { // the routes come after them
			return strings.Contains(routesOf(t, d.h), "10.10.77.0/24"), routesOf(t, d.h)
		})
		d.dev = d.h.TAP
		must(t, d.h.AddNeighbour(d.dev, leaseIP, farMAC[:])) // the host's kernel asks nothing of itself
	}
	link, err := d.h.Link(d.dev)
	must(t, err)
	d.own = ether.Addr(link.MAC)
	d.tap, err = d.h.Wire(d.dev)
	must(t, err)
	d.wire, err = d.far.Wire("eth0")
	must(t, err)
	must(t, d.far.Do(func() (err error) {
		// Where the VTEP's answers go: nobody answers that the port is closed.
		if _, err = net.ListenPacket("udp4", "192.0.2.2:4789"); err != nil {
			return err
		}
		d.sock, err = net.DialUDP("udp4", &net.UDPAddr{IP: net.IP{192, 0, 2, 2}, Port: 50000}, &net.UDPAddr{IP: net.IP{192, 0, 2, 1}, Port: 4789})
		return err
	}))
	t.Cleanup(func() { _ = d.sock.Close(); _ = d.tap.Close(); _ = d.wire.Close() })
	return d
}

// vx is a datagram's payload: a VXLAN header and a frame.
func vx(flags byte, vni uint32, f []byte) []byte {
	b := []byte{flags, 0, 0, 0, byte(vni >> 16), byte(vni >> 8), byte(vni), 0}
	return append(b, f...)
}

// local is a frame between stations, of a type that no kernel answers.
func local(dst, src ether.Addr, payload ...byte) ether.Frame {
	f := make(ether.Frame, ether.HeaderLen, 64)
	ether.PutHeader(f, dst, src, 0x88b5) // IEEE 802 local experimental
	f = append(f, payload...)
	return append(f, make([]byte, max(0, 60-len(f)))...)
}

// in sends a datagram to the VTEP under test and returns what comes out of its
// tunnel before a sentinel does.
func (d *dut) in(tos uint8, payload []byte) [][]byte {
	d.Helper()
	raw, err := d.sock.SyscallConn()
	must(d, err)
	must(d, raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, int(tos)) }), err)
	_, err = d.sock.Write(payload)
	must(d, err)
	must(d, raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_TOS, 0) }), err)
	return d.untilSentinel(func(sentinel []byte) error {
		_, err := d.sock.Write(vx(8, 1, sentinel))
		return err
	})
}

// untilSentinel sends a good frame and returns what came into the TAP before it.
func (d *dut) untilSentinel(send func(sentinel []byte) error) (out [][]byte) {
	d.Helper()
	d.n++
	sentinel := local(d.own, farMAC, 's', 'e', 'n', 't', d.n)
	must(d, send(sentinel))
	for {
		f, err := d.tap.Next(d.ctx)
		must(d, err)
		switch {
		case bytes.Equal(f.Data, sentinel):
			return out
		case !f.Outgoing && !d.noise(f.Data):
			out = append(out, f.Data)
		}
	}
}

// noise is what the hosts' kernels send of themselves, and the announcement of
// the lease into the TAP, which comes when it comes.
func (d *dut) noise(f ether.Frame) bool {
	announced := f.Type() == ether.TypeARP && f.Src() == farMAC && bytes.Equal(f.Payload()[14:18], leaseIP.AsSlice()) && bytes.Equal(f.Payload()[24:28], leaseIP.AsSlice())
	return announced || f.Type() == ether.TypeIPv6 && f.Dst().IsMulticast() && f.Src() == d.own
}

// out sends frames into the tunnel as the host does, and returns what leaves on
// the wire and what comes back into the TAP, before sentinels do.
func (d *dut) out(frames ...ether.Frame) (wire []vxlan, back [][]byte) {
	d.Helper()
	d.n++
	sentinel := local(farMAC, d.own, 's', 'e', 'n', 't', d.n)
	for _, f := range append(frames, sentinel) {
		must(d, d.tap.Send(f))
	}
	for seen := 0; ; {
		f, err := d.wire.Next(d.ctx)
		must(d, err)
		v, ok := parse(f, 4789)
		switch {
		case !ok || f.Outgoing || d.noise(v.inner):
		case bytes.Equal(v.inner, sentinel) && seen == 0:
			// Answers are written after what was read with them has left: a second
			// sentinel leaves when they are in the TAP.
			seen++
			must(d, d.tap.Send(sentinel))
		case bytes.Equal(v.inner, sentinel):
			return wire, d.untilSentinel(func(s []byte) error { _, err := d.sock.Write(vx(8, 1, s)); return err })
		default:
			wire = append(wire, v)
		}
	}
}

// both runs a test against uvtep and against the kernel's device.
func both(t *testing.T, f func(d *dut)) {
	for _, kernel := range []bool{false, true} {
		t.Run(map[bool]string{false: "uvtep", true: "kernel"}[kernel], func(t *testing.T) { f(newDUT(t, kernel)) })
	}
}

// wireCase is a datagram and what it becomes.
type wireCase struct {
	name    string // begins with the number in the checklist
	payload []byte
	want    []byte // the frame in the TAP; nil: nothing
	kernel  string // "" as uvtep, else how the kernel's device differs: delivers or drops
}

func TestConformanceOfWhatArrives(t *testing.T) {
	both(t, func(d *dut) {
		good := local(d.own, farMAC, 1, 2, 3)
		cases := []wireCase{
			{"2 no I flag", vx(0, 1, good), nil, ""},
			{"2 every flag but I", vx(0xf7, 1, good), nil, ""},
			{"6 a frame", vx(8, 1, good), good, ""},
			{"6 a long frame with trailing bytes", vx(8, 1, append(bytes.Clone(good), bytes.Repeat([]byte{0xee}, 900)...)), append(bytes.Clone(good), bytes.Repeat([]byte{0xee}, 900)...), ""},
			{"31 tagged", vx(8, 1, tag(good, 0x8100, 7)), nil, "delivers"},
			{"31 priority tagged", vx(8, 1, tag(good, 0x8100, 0)), nil, "delivers"},
			{"31 tagged by a provider", vx(8, 1, tag(good, 0x88a8, 7)), nil, "delivers"},
			{"32 from a group", vx(8, 1, local(d.own, ether.Addr{1, 0, 0x5e, 0, 0, 9}, 1)), nil, "delivers"},
			{"32 from everybody", vx(8, 1, local(d.own, ether.Broadcast, 1)), nil, "delivers"},
			{"32 from nobody", vx(8, 1, local(d.own, ether.Addr{}, 1)), nil, "delivers"},
			{"32 from ourselves", vx(8, 1, local(d.own, d.own, 1)), nil, ""},
			{"60 from a station that is elsewhere", vx(8, 1, local(ether.Broadcast, d.own, 1)), nil, ""},
		}
		for bit := range 64 { // all but the I flag and the VNI
			if b := bit / 8; bit == 4 || b >= 4 && b < 7 {
				continue
			}
			p := vx(8, 1, good)
			p[bit/8] |= 0x80 >> (bit % 8)
			cases = append(cases, wireCase{fmt.Sprintf("3 reserved bit %d", bit), p, good, "drops"})
		}
		for _, vni := range []uint32{0, 2, 0xffffff, 0x800001, 0x010000, 0x100} {
			cases = append(cases, wireCase{fmt.Sprintf("4 VNI %#x", vni), vx(8, vni, good), nil, ""})
		}
		for n := range 8 {
			cases = append(cases, wireCase{fmt.Sprintf("5 %d bytes", n), vx(8, 1, nil)[:n], nil, ""})
		}
		for n := range ether.HeaderLen {
			cases = append(cases, wireCase{fmt.Sprintf("5 %d bytes of a frame", n), vx(8, 1, good[:n]), nil, ""})
		}
		for i := range 16 {
			f := local(ether.Addr{1, 0x80, 0xc2, 0, 0, byte(i)}, farMAC, 1)
			cases = append(cases, wireCase{fmt.Sprintf("33 link control %x", i), vx(8, 1, f), nil, "delivers"})
		}
		for _, typ := range []uint16{0x0026, 0x8847, 0x9000, 0xffff} { // LLC, MPLS, unknown
			f := bytes.Clone(good)
			binary.BigEndian.PutUint16(f[12:], typ)
			cases = append(cases, wireCase{fmt.Sprintf("6 type %#04x", typ), vx(8, 1, f), f, ""})
		}
		for _, c := range cases {
			want := c.want
			switch {
			case d.kernel && c.kernel == "drops":
				want = nil
			case d.kernel && c.kernel == "delivers":
				want = c.payload[8:]
			}
			got := d.in(0, c.payload)
			if want == nil && len(got) != 0 || want != nil && (len(got) != 1 || !bytes.Equal(got[0], want)) {
				d.Errorf("%s: got %x, want %x", c.name, got, want)
			}
		}
	})
}

// tag returns a frame with an IEEE 802.1Q tag.
func tag(f ether.Frame, tpid, tci uint16) ether.Frame {
	out := bytes.Clone(f[:12])
	out = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(out, tpid), tci)
	return append(out, f[12:]...)
}

// ipFrame is a frame of IPv4 or IPv6 with a traffic class, of a protocol that no
// host answers.
func ipFrame(dst, src ether.Addr, six bool, tos uint8) ether.Frame {
	f := local(dst, src, make([]byte, 60)...)
	if !six {
		binary.BigEndian.PutUint16(f[12:], uint16(ether.TypeIPv4))
		p := ether.IPv4(f.Payload())
		p[0] = 0x46 // with options, which are no-operations
		copy(p[20:24], []byte{1, 1, 1, 1})
		p.SetTOS(tos)
		p.SetTotalLen(len(p))
		p.SetTTL(1)
		p.SetProtocol(253) // for experiments (RFC 3692)
		p.SetSrc(farIP)
		p.SetDst(nearIP)
		p.Finish()
		return f
	}
	binary.BigEndian.PutUint16(f[12:], uint16(ether.TypeIPv6))
	p := ether.IPv6(f.Payload())
	p.SetVersion()
	p.SetTrafficClass(tos)
	p.SetPayloadLen(len(p) - ether.IPv6HeaderLen)
	p.SetNextHeader(253)
	p.SetHopLimit(255)
	p.SetSrc(netip.MustParseAddr("fd00:77::9"))
	p.SetDst(netip.MustParseAddr("fd00:1::9"))
	return f
}

// class is the traffic class of a frame's packet.
func class(f ether.Frame) uint8 {
	if f.Type() == ether.TypeIPv4 {
		return ether.IPv4(f.Payload()).TOS()
	}
	return ether.IPv6(f.Payload()).TrafficClass()
}

// 22: RFC 6040 §4.2, figure 4, in all combinations, with a DSCP on both sides.
func TestConformanceOfCongestionMarksThatArrive(t *testing.T) {
	const notECT, ect1, ect0, ce, drop = 0, 1, 2, 3, 0xff
	figure4 := [4][4]uint8{ // inner, outer
		notECT: {notECT, notECT, notECT, drop},
		ect1:   {ect1, ect1, ect1, ce},
		ect0:   {ect0, ect1, ect0, ce},
		ce:     {ce, ce, ce, ce},
	}
	both(t, func(d *dut) {
		const innerDSCP, outerDSCP = 0x2e << 2, 0x0a << 2
		for _, six := range []bool{false, true} {
			for inner := range uint8(4) {
				for outer := range uint8(4) {
					f := ipFrame(d.own, farMAC, six, innerDSCP|inner)
					got := d.in(outerDSCP|outer, vx(8, 1, f))
					want := figure4[inner][outer]
					name := fmt.Sprintf("22 IPv6 %t, inner %d, outer %d", six, inner, outer)
					switch {
					case want == drop && len(got) != 0, want != drop && len(got) != 1:
						d.Errorf("%s: got %x", name, got)
					case want == drop:
					case class(got[0]) != innerDSCP|want:
						d.Errorf("%s: got class %#x, want %#x", name, class(got[0]), innerDSCP|want)
					case !six && !ether.IPv4(got[0][ether.HeaderLen:]).HeaderValid():
						d.Errorf("%s: the header's checksum is wrong", name)
					}
				}
			}
		}
		arp := local(d.own, farMAC, 1)
		if got := d.in(ce, vx(8, 1, arp)); len(got) != 1 || !bytes.Equal(got[0], arp) {
			d.Errorf("22 no IP, outer CE: got %x, want it unchanged", got)
		}
		cut := ipFrame(d.own, farMAC, false, ect0)[:ether.HeaderLen+10]
		_ = d.in(ce, vx(8, 1, cut)) // no crash
	})
}

// 12, 13, 16, 17: what the outer UDP header may say.
func TestConformanceOfOuterUDP(t *testing.T) {
	both(t, func(d *dut) {
		good := local(d.own, farMAC, 1, 2, 3)
		near, err := d.h.Link("eth0")
		must(d, err)
		far, err := d.far.Link("eth0")
		must(d, err)
		raw := func(change func(ip ether.IPv4, u ether.UDP)) [][]byte {
			d.Helper()
			payload := vx(8, 1, good)
			f := make(ether.Frame, ether.HeaderLen+ether.IPv4HeaderLen+ether.UDPHeaderLen+len(payload))
			ether.PutHeader(f, ether.Addr(near.MAC), ether.Addr(far.MAC), ether.TypeIPv4)
			ip := ether.IPv4(f.Payload())
			ip[0] = 0x45
			ip.SetTotalLen(len(ip))
			ip.SetTTL(1)
			ip.SetProtocol(ether.ProtoUDP)
			ip.SetSrc(d.far.Addr)
			ip.SetDst(d.h.Addr)
			u := ether.UDP(ip.Payload())
			u.SetSrcPort(50001)
			u.SetDstPort(4789)
			u.SetLen(len(u))
			copy(u[ether.UDPHeaderLen:], payload)
			u.SetChecksum(^ether.Fold(ether.Sum(u, ether.PseudoSum4(ip, ether.ProtoUDP, len(u)))))
			change(ip, u)
			ip.SetChecksum(0)
			ip.Finish()
			must(d, d.wire.Send(f))
			return d.untilSentinel(func(s []byte) error { _, err := d.sock.Write(vx(8, 1, s)); return err })
		}
		sum := func(ip ether.IPv4, u ether.UDP) {
			u.SetChecksum(0)
			u.SetChecksum(^ether.Fold(ether.Sum(u, ether.PseudoSum4(ip, ether.ProtoUDP, len(u)))))
		}
		for _, c := range []struct {
			name   string
			want   bool
			change func(ip ether.IPv4, u ether.UDP)
		}{
			{"12 a good checksum, 19 TTL 1", true, func(ether.IPv4, ether.UDP) {}},
			{"12 no checksum", true, func(_ ether.IPv4, u ether.UDP) { u.SetChecksum(0) }},
			{"12 a wrong checksum", false, func(_ ether.IPv4, u ether.UDP) { u.SetChecksum(u.Checksum() + 1) }},
			{"13 a sum of zero, sent as 0xffff", true, func(ip ether.IPv4, u ether.UDP) {
				sum(ip, u)
				at := u[len(u)-2:]
				binary.BigEndian.PutUint16(at, ether.Fold(uint32(binary.BigEndian.Uint16(at))+uint32(u.Checksum())))
				copy(good[len(good)-2:], at)
				u.SetChecksum(0xffff)
			}},
			{"16 a length of zero", false, func(_ ether.IPv4, u ether.UDP) { u.SetLen(0); u.SetChecksum(0) }},
			{"16 a length of seven", false, func(_ ether.IPv4, u ether.UDP) { u.SetLen(7); u.SetChecksum(0) }},
			{"16 a length beyond the packet", false, func(_ ether.IPv4, u ether.UDP) { u.SetLen(len(u) + 9); u.SetChecksum(0) }},
			{"16 another protocol", false, func(ip ether.IPv4, _ ether.UDP) { ip.SetProtocol(136) }},
			{"17 from port 53", true, func(ip ether.IPv4, u ether.UDP) { u.SetSrcPort(53); sum(ip, u) }},
			{"17 from port 4789", true, func(ip ether.IPv4, u ether.UDP) { u.SetSrcPort(4789); sum(ip, u) }},
			{"17 from port 65535", true, func(ip ether.IPv4, u ether.UDP) { u.SetSrcPort(65535); sum(ip, u) }},
			{"17 from port 0", true, func(ip ether.IPv4, u ether.UDP) { u.SetSrcPort(0); sum(ip, u) }},
			{"8 to port 8472", false, func(ip ether.IPv4, u ether.UDP) { u.SetDstPort(8472); sum(ip, u) }},
		} {
			got := raw(c.change)
			if c.want && (len(got) != 1 || !bytes.Equal(got[0], good)) || !c.want && len(got) != 0 {
				d.Errorf("%s: got %x, delivered: want %t", c.name, got, c.want)
			}
		}
		// 7: what lies behind the UDP length is no part of the frame. 15, 64: a
		// sender that is no VTEP.
		got := raw(func(ip ether.IPv4, u ether.UDP) { u.SetLen(len(u) - 5); u.SetChecksum(0) })
		if len(got) != 1 || !bytes.Equal(got[0], good[:len(good)-5]) {
			d.Errorf("7 bytes behind the UDP length: got %x", got)
		}
		got = raw(func(ip ether.IPv4, u ether.UDP) { ip.SetSrc(netip.MustParseAddr("192.0.2.66")); sum(ip, u) })
		if delivered := len(got) != 0; delivered != d.kernel { // the kernel takes from anybody
			d.Errorf("64 from a stranger: got %x", got)
		}
	})
}

// 1, 6, 19, 20, 21, 31, 33, 34, 37: what leaves.
func TestConformanceOfWhatLeaves(t *testing.T) {
	both(t, func(d *dut) {
		one := func(f ether.Frame) vxlan {
			d.Helper()
			wire, back := d.out(f)
			if len(wire) != 1 || len(back) != 0 {
				d.Fatalf("%x: got %d datagrams and %x back, want one", f, len(wire), back)
			}
			return wire[0]
		}
		for _, six := range []bool{false, true} {
			for ecn := range uint8(4) {
				f := ipFrame(farMAC, d.own, six, 0x2e<<2|ecn)
				v := one(f)
				want := ecn
				if d.kernel && ecn == 3 {
					want = 2 // as RFC 3168 §9.1.1 has it
				}
				if v.outer.TOS() != want || !bytes.Equal(v.inner, f) || v.outer.TTL() != 64 && !d.kernel {
					d.Errorf("20, 21 IPv6 %t, ECN %d: outer %#x, TTL %d, inner unchanged: %t", six, ecn, v.outer.TOS(), v.outer.TTL(), bytes.Equal(v.inner, f))
				}
				if !v.reservedZero || v.vni != 1 {
					d.Errorf("1: reserved bits clear: %t, VNI %d", v.reservedZero, v.vni)
				}
				if v.outer.Fragment()&ether.IPv4DontFragment == 0 && !d.kernel {
					d.Error("29: DF is not set")
				}
			}
		}
		f := local(farMAC, d.own, 7)
		want := tag(f, 0x8100, 5)
		if !d.kernel {
			want = f // tags are stripped (RFC 7348 §6.1)
		}
		if v := one(tag(f, 0x8100, 5)); !bytes.Equal(v.inner, want) || v.outer.TOS() != 0 {
			d.Errorf("31 tagged: left as %x, want %x", v.inner, want)
		}
		for name, f := range map[string]ether.Frame{
			"34 to ourselves":               local(d.own, d.own, 1),
			"37 to somebody unknown":        local(ether.Addr{2, 9, 9, 9, 9, 9}, d.own, 1),
			"36 to everybody":               local(ether.Broadcast, d.own, 1),
			"36 to a group":                 local(ether.Addr{1, 0, 0x5e, 0, 0, 9}, d.own, 1),
			"32 from a group":               local(farMAC, ether.Addr{1, 0, 0x5e, 0, 0, 9}, 1),
			"32 from nobody":                local(farMAC, ether.Addr{}, 1),
			"33 to the nearest bridge":      local(ether.Addr{1, 0x80, 0xc2, 0, 0, 0}, d.own, 1),
			"33 to a link's end, with LLDP": local(ether.Addr{1, 0x80, 0xc2, 0, 0, 14}, d.own, 1),
		} {
			wire, back := d.out(f)
			leaves := d.kernel && strings.HasPrefix(name, "32") // nolearning: the kernel looks at no source
			if len(back) != 0 || len(wire) != map[bool]int{true: 1}[leaves] {
				d.Errorf("%s: got %d datagrams and %x back", name, len(wire), back)
			}
		}
	})
}

// 40 to 50: ARP, from the TAP. The kernel's device here has no proxy, as
// flannel's has none: the rules are RFC 9161's and RFC 5227's.
func TestConformanceOfARP(t *testing.T) {
	d := newDUT(t, false)
	arp := func(dst ether.Addr, op uint16, sha ether.Addr, spa netip.Addr, tpa netip.Addr) ether.Frame {
		f := make(ether.Frame, 60)
		ether.PutHeader(f, dst, d.own, ether.TypeARP)
		b := f.Payload()
		copy(b, []byte{0, 1, 8, 0, 6, 4, byte(op >> 8), byte(op)})
		s, t := spa.As4(), tpa.As4()
		copy(b[8:], sha[:])
		copy(b[14:], s[:])
		copy(b[24:], t[:])
		return f
	}
	ownIP, zero := netip.MustParseAddr("10.10.1.0"), netip.IPv4Unspecified()
	request := func(spa, tpa netip.Addr) ether.Frame { return arp(ether.Broadcast, 1, d.own, spa, tpa) }
	malformed := func(at int, v byte) ether.Frame {
		f := request(ownIP, leaseIP)
		f[ether.HeaderLen+at] = v
		return f
	}
	for _, c := range []struct {
		name    string
		f       ether.Frame
		answers bool
		leaves  bool
	}{
		{"40 a request for a lease's address", request(ownIP, leaseIP), true, false},
		{"41 another hardware type", malformed(1, 6), false, false},
		{"41 another protocol type", malformed(2, 9), false, false},
		{"41 another hardware length", malformed(4, 8), false, false},
		{"41 another protocol length", malformed(5, 16), false, false},
		{"41 operation 0", malformed(7, 0), false, false},
		{"41 operation 3", malformed(7, 3), false, false},
		{"41 cut off", request(ownIP, leaseIP)[:ether.HeaderLen+27], false, false},
		{"42 a request for an unknown address", request(ownIP, freeIP), false, false},
		{"43 a probe for a lease's address", request(zero, leaseIP), true, false},
		{"43 a probe for a free address", request(zero, freeIP), false, false},
		{"43 a probe for the host's own address", request(zero, ownIP), false, false},
		{"44 an announcement", request(ownIP, ownIP), false, false},
		{"44 an announcement as an answer", arp(ether.Broadcast, 2, d.own, ownIP, ownIP), false, false},
		{"45 an announcement of another's address", request(leaseIP, leaseIP), false, false},
		{"46 a request to the owner of a lease alone", arp(farMAC, 1, d.own, ownIP, leaseIP), true, false},
		{"47 an answer to another host", arp(farMAC, 2, d.own, ownIP, leaseIP), false, true},
		{"48 a request for 0.0.0.0", request(ownIP, zero), false, false},
		{"48 a request for loopback", request(ownIP, netip.MustParseAddr("127.0.0.1")), false, false},
		{"48 a request for a group", request(ownIP, netip.MustParseAddr("224.0.0.1")), false, false},
		{"48 a request for everybody", request(ownIP, netip.MustParseAddr("255.255.255.255")), false, false},
		{"48 a sender that is not the frame's", arp(ether.Broadcast, 1, ether.Addr{2, 1, 1, 1, 1, 1}, ownIP, leaseIP), false, false},
	} {
		wire, back := d.out(c.f)
		if len(back) != map[bool]int{true: 1}[c.answers] || len(wire) != map[bool]int{true: 1}[c.leaves] {
			t.Errorf("%s: got %x back and %d datagrams", c.name, back, len(wire))
			continue
		}
		if !c.answers {
			continue
		}
		f, b := ether.Frame(back[0]), back[0][ether.HeaderLen:]
		spa := ether.Frame(c.f).Payload()[14:18]
		want := slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, 2}, farMAC[:], leaseIP.AsSlice(), d.own[:], spa)
		if f.Src() != farMAC || f.Dst() != d.own || !bytes.Equal(b[:28], want) {
			t.Errorf("%s: answered with %x", c.name, f)
		}
	}
	// 50, 35: what comes from the wire is delivered and never answered there.
	question := arp(ether.Broadcast, 1, farMAC, farIP, ownIP)
	question.SetSrc(farMAC)
	if got := d.in(0, vx(8, 1, question)); len(got) != 1 || !bytes.Equal(got[0], question) {
		t.Errorf("50 a question from the wire: got %x", got)
	}
}
