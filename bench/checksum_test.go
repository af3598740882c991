package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
)

// train is five frames of one flow that follow one another, the third with a
// byte wrong.
type train struct {
	name    string
	udp, v6 bool
	src     netip.Addr
	dst     netip.Addr
	counted []string // where the receiver counts the wrong one
}

const trainPort, wagon, wrongWagon = 4242, 400, 2

// frames makes the frames from one MAC to another.
func (tr train) frames(t *testing.T, src, dst ether.Addr) (out [][]byte) {
	t.Helper()
	for i := range 5 {
		eth := &layers.Ethernet{SrcMAC: src[:], DstMAC: dst[:], EthernetType: layers.EthernetTypeIPv4}
		proto := layers.IPProtocolTCP
		if tr.udp {
			proto = layers.IPProtocolUDP
		}
		var ip gopacket.NetworkLayer
		ip4 := &layers.IPv4{Version: 4, TTL: 64, Id: uint16(i), Flags: layers.IPv4DontFragment, Protocol: proto, SrcIP: tr.src.AsSlice(), DstIP: tr.dst.AsSlice()}
		ip = ip4
		if tr.v6 {
			eth.EthernetType = layers.EthernetTypeIPv6
			ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: proto, SrcIP: tr.src.AsSlice(), DstIP: tr.dst.AsSlice()}
		}
		var transport gopacket.SerializableLayer
		if tr.udp {
			u := &layers.UDP{SrcPort: trainPort, DstPort: trainPort}
			must(t, u.SetNetworkLayerForChecksum(ip))
			transport = u
		} else {
			c := &layers.TCP{SrcPort: trainPort, DstPort: trainPort, Seq: uint32(i * wagon), Ack: 1, ACK: true, Window: 100}
			must(t, c.SetNetworkLayerForChecksum(ip))
			transport = c
		}
		buf := gopacket.NewSerializeBuffer()
		must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
			eth, ip.(gopacket.SerializableLayer), transport, gopacket.Payload(bytes.Repeat([]byte{byte(i + 1)}, wagon))))
		f := bytes.Clone(buf.Bytes())
		if i == wrongWagon {
			f[len(f)-1] ^= 0x20
		}
		out = append(out, f)
	}
	return out
}

// A checksum that is wrong on the wire is wrong on the TAP, and the kernel says
// so: merged it would be right for ever.
func TestWrongChecksumStaysWrong(t *testing.T) {
	at4, at6 := netip.MustParseAddr("10.10.1.0"), netip.MustParseAddr("fd00:10::1")
	from4, from6 := netip.MustParseAddr("10.10.77.5"), netip.MustParseAddr("fd00:10::77")
	trains := []train{
		{"TCP over IPv4", false, false, from4, at4, []string{"TcpInCsumErrors", "TcpInErrs"}},
		{"TCP over IPv6", false, true, from6, at6, []string{"TcpInCsumErrors", "TcpInErrs"}},
		{"UDP over IPv4", true, false, from4, at4, []string{"UdpInCsumErrors", "UdpInErrors"}},
		{"UDP over IPv6", true, true, from6, at6, []string{"Udp6InCsumErrors", "Udp6InErrors"}},
	}
	for _, offload := range []string{"auto", "off"} {
		l, ctx := newLab(t, lab.Config{Hosts: 2, Underlay: lab.VethGSO})
		h, outside := l.Hosts[0], l.Hosts[1]
		startAgents(ctx, t, l.Hosts[:1], "--offload", offload)
		mac := ether.Addr{2, 0, 0, 0, 0, 0x77}
		putLease(ctx, t, l, "10.10.77.0/24", outside.Addr, mac)
		eventually(ctx, t, "the tables with the VTEP are in force", func() (bool, string) {
			return strings.Contains(routesOf(t, h), "10.10.77.0/24"), routesOf(t, h)
		})
		must(t, h.AddAddr(h.TAP, netip.PrefixFrom(at6, 64)))
		owns(t, h.Node, at6)
		tap, err := h.Link(h.TAP)
		must(t, err)
		inside, err := h.Wire(h.TAP)
		must(t, err)
		conn, err := outside.Dial(ctx, "udp4", net.JoinHostPort(h.Addr.String(), "4789"))
		must(t, err)
		for _, tr := range trains {
			t.Run(tr.name+", offload "+offload, func(t *testing.T) {
				before := countersOf(t, h.Node)
				sent := tr.frames(t, mac, ether.Addr(tap.MAC))
				sendRun(t, conn.(*net.UDPConn), sent)
				checkTrain(ctx, t, inside, sent, offload == "auto")
				eventually(ctx, t, "the wrong one is counted, and no other", func() (bool, string) {
					got := countersOf(t, h.Node).Since(before).Only(csumErrors...)
					return maps.Equal(got, tr.harm()), fmt.Sprint(got)
				})
			})
		}
		_, _ = inside.Close(), conn.Close()
	}
}

// harm is by how much the receiver's counters grow.
func (tr train) harm() lab.Counters {
	c := lab.Counters{}
	for _, name := range tr.counted {
		c[name] = 1
	}
	return c
}

var csumErrors = []string{"TcpInCsumErrors", "TcpInErrs", "UdpInCsumErrors", "UdpInErrors", "Udp6InCsumErrors", "Udp6InErrors"}

// sendRun sends frames in VXLAN with one call, so that they arrive in one message.
func sendRun(t *testing.T, c *net.UDPConn, frames [][]byte) {
	t.Helper()
	var run []byte
	for _, f := range frames {
		run = append(binary.BigEndian.AppendUint32(append(run, 8, 0, 0, 0), 1<<8), f...)
	}
	raw, err := c.SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT, 8+len(frames[0]))
	}), err)
	_, err = c.Write(run)
	must(t, err)
}

// checkTrain compares what reaches the TAP: the good frames around the wrong one
// as a superframe each, or all as they were.
func checkTrain(ctx context.Context, t *testing.T, w *lab.Wire, sent [][]byte, super bool) {
	t.Helper()
	want := sent
	if super {
		head := len(sent[0]) - wagon
		join := func(a, b []byte) []byte { return append(bytes.Clone(a), b[head:]...) }
		want = [][]byte{join(sent[0], sent[1]), sent[2], join(sent[3], sent[4])}
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // only where one is missing
	defer cancel()
	for i, f := range want {
		got, err := w.Find(ctx, func(f lab.Frame) bool { return !f.Outgoing && ether.Frame(f.Data).Type() != ether.TypeARP })
		must(t, err)
		head := len(sent[0]) - wagon
		if len(f) == len(sent[0]) {
			head = 0 // it is the same to the last byte
		}
		if got.Unfinished != (head > 0) || !bytes.Equal(got.Data[head:], f[head:]) {
			t.Errorf("frame %d on the TAP: got %d bytes, unfinished %v: % x; want %d: % x", i, len(got.Data), got.Unfinished, got.Data, len(f), f)
		}
	}
}
