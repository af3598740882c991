package bench

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/bench/lab"
)

// wide gives a host's containers, its bridge and its TAP an MTU larger than the
// tunnel takes, so that too large packets come into the TAP.
func wide(t testing.TB, h *lab.Host, mtu int) {
	t.Helper()
	must(t, h.SetMTU(h.TAP, mtu), h.SetMTU("docker0", mtu))
	for i, c := range h.Containers {
		must(t, h.SetMTU(fmt.Sprintf("c%d", i+1), mtu), c.SetMTU("eth0", mtu))
	}
}

// sender is a UDP socket in a node that never fragments.
type sender struct {
	net.Conn
	six bool
}

func newSender(t testing.TB, from *lab.Node, to netip.Addr) *sender {
	t.Helper()
	s := &sender{six: to.Is6()}
	must(t, from.Do(func() (err error) {
		s.Conn, err = net.Dial("udp", netip.AddrPortFrom(to, 9).String())
		return err
	}))
	t.Cleanup(func() { _ = s.Close() })
	s.option(t, func(fd int) error {
		if s.six {
			return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
		}
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
	})
	return s
}

func (s *sender) option(t testing.TB, f func(fd int) error) {
	t.Helper()
	raw, err := s.Conn.(*net.UDPConn).SyscallConn()
	must(t, err)
	must(t, raw.Control(func(fd uintptr) { err = f(int(fd)) }), err)
}

// pathMTU is what the socket's kernel believes of the path, in bytes of IP.
func (s *sender) pathMTU(t testing.TB) (mtu int) {
	t.Helper()
	s.option(t, func(fd int) (err error) {
		level, name := unix.IPPROTO_IP, unix.IP_MTU
		if s.six {
			level, name = unix.IPPROTO_IPV6, unix.IPV6_MTU
		}
		mtu, err = unix.GetsockoptInt(fd, level, name)
		return err
	})
	return mtu
}

// learns sends packets of a size until the sender knows what fits instead.
func learns(ctx context.Context, t testing.TB, from *lab.Node, to netip.Addr, size, want int) {
	t.Helper()
	s := newSender(t, from, to)
	header := 28
	if to.Is6() {
		header = 48
	}
	eventually(ctx, t, fmt.Sprintf("%s knows that %d bytes fit to %s", from.Name, want, to), func() (bool, string) {
		_, _ = s.Write(make([]byte, size-header)) // EMSGSIZE once it is known
		mtu := s.pathMTU(t)
		return mtu == want, fmt.Sprint(mtu)
	})
}

func TestASenderOfTooLargePacketsIsToldWhatFits(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{})
	h, to := l.Hosts[0], l.Hosts[1].Containers[0]
	wide(t, h, 1500)
	before := readStats(ctx, t, h)
	learns(ctx, t, h.Containers[0].Node, to.Addr, 1500, 1450)
	now := readStats(ctx, t, h)
	if now.Verdicts["DropTooBig"].Frames == before.Verdicts["DropTooBig"].Frames || now.Counts["ToldFit"] == before.Counts["ToldFit"] {
		t.Errorf("nothing was counted: %+v", now.Counts)
	}
	// What fits goes, and TCP finds its way.
	connected(ctx, t, l)
}

func TestANarrowPathIsLearnedForItsVTEPAlone(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{})
	h, near, far := l.Hosts[0], l.Hosts[1], l.Hosts[2]
	from := h.Containers[0].Node
	must(t, h.AddNarrowRoute("eth0", netip.PrefixFrom(near.Addr, 32), 1400))
	learns(ctx, t, from, near.Containers[0].Addr, 1450, 1350)
	if _, said := runOn(ctx, t, h, "link", "--admin-socket", h.AdminSocket); !strings.Contains(said, "192.0.2.2: 1400 bytes") {
		t.Errorf("uvtep link does not show it:\n%s", said)
	}

	// A router of the underlay that says so with ICMP, for another VTEP.
	wire, err := far.Wire("eth0")
	must(t, err)
	defer func() { _ = wire.Close() }()
	s := newSender(t, from, far.Containers[0].Addr)
	_, err = s.Write(make([]byte, 1422))
	must(t, err)
	caught, err := wire.Find(ctx, func(f lab.Frame) bool { _, ok := parse(f, 4789); return ok && len(f.Data) > 1400 })
	must(t, err)
	must(t, wire.Send(routerSays(t, caught.Data, 1300)))
	learns(ctx, t, from, far.Containers[0].Addr, 1450, 1250)
	learns(ctx, t, from, near.Containers[0].Addr, 1450, 1350)
	connected(ctx, t, l)
}

// routerSays is the ICMP error of a router that cannot pass a frame on.
func routerSays(t testing.TB, f []byte, mtu uint16) []byte {
	t.Helper()
	e := gopacket.NewPacket(f, layers.LayerTypeEthernet, gopacket.Default)
	eth, ip := e.Layer(layers.LayerTypeEthernet).(*layers.Ethernet), e.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	buf := gopacket.NewSerializeBuffer()
	must(t, gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: eth.DstMAC, DstMAC: eth.SrcMAC, EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: net.IP{192, 0, 2, 254}, DstIP: ip.SrcIP},
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: mtu},
		gopacket.Payload(f[14:14+20+8])))
	return buf.Bytes()
}
