package underlay

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/encap"
)

// plainSocket is a socket that tells the TTL or hop limit of what it receives.
func plainSocket(t *testing.T, a netip.Addr) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: a.AsSlice()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	level, option := unix.IPPROTO_IP, unix.IP_RECVTTL
	if a.Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT
	}
	if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, option, 1) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
	return c
}

// receivedTTL receives one datagram, and returns its number and its TTL.
func receivedTTL(t *testing.T, c *net.UDPConn) (number uint32, ttl uint8) {
	t.Helper()
	b, oob := make([]byte, 2048), make([]byte, 256)
	n, oobn, _, _, err := c.ReadMsgUDP(b, oob)
	if err != nil || n < 8 {
		t.Fatalf("got %d bytes, %v", n, err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(messages) != 1 {
		t.Fatalf("got %d control messages, %v", len(messages), err)
	}
	return binary.BigEndian.Uint32(b[4:]), uint8(binary.NativeEndian.Uint32(messages[0].Data))
}

// Datagrams of different TTLs, and of none of their own, are not made one run.
func TestTTLTravelsAndSplitsRuns(t *testing.T) {
	for _, a := range []netip.Addr{loopback, netip.IPv6Loopback()} {
		for _, segmented := range []bool{true, false} {
			c := Config{Addr4: a, TTL: 33}
			if a.Is6() {
				c = Config{Addr6: a, TTL: 33, Port: freePort(t)}
			}
			u := open(t, c)
			u.noSegment.Store(!segmented)
			conn := plainSocket(t, a)
			to := conn.LocalAddr().(*net.UDPAddr).AddrPort()
			given, want := []uint8{0, 0, 1, 1, 255, 0}, []uint8{33, 33, 1, 1, 255, 33}
			var ds []encap.Datagram
			for i, ttl := range given {
				d := numbered(to, 7, uint32(i), 64, false)
				d.TTL, d.TOS = ttl, 0xb9
				ds = append(ds, d)
			}
			if sent := u.NewSender().Send(ds); sent != len(ds) {
				t.Fatalf("%s: sent %d of %d: %+v", a, sent, len(ds), u.Stats())
			}
			for i := range given {
				if n, ttl := receivedTTL(t, conn); n != uint32(i) || ttl != want[i] {
					t.Errorf("%s, segmented %v: datagram %d: got number %d with TTL %d, want TTL %d", a, segmented, i, n, ttl, want[i])
				}
			}
			if got := u.Stats().Messages; segmented && got != 4 {
				t.Errorf("%s: %d messages, want 4", a, got)
			}
		}
	}
}

// A run that the kernel refuses is sent one by one with the same TTL and TOS.
func TestARefusedRunKeepsItsOuterHeader(t *testing.T) {
	u := open(t, Config{SourcePorts: 1})
	conn := plainSocket(t, loopback)
	to := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	fd := u.sources[0][0].fd // segmentation without checksums is refused: EINVAL
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_NO_CHECK, 1); err != nil {
		t.Fatal(err)
	}
	var ds []encap.Datagram
	for i := range uint32(3) {
		d := numbered(to, 7, i, 64, true)
		d.TTL = 9
		ds = append(ds, d)
	}
	if sent := u.NewSender().Send(ds); sent != len(ds) || u.Capabilities().UDPSegment {
		t.Fatalf("sent %d of %d, segmentation in use: %v", sent, len(ds), u.Capabilities().UDPSegment)
	}
	for i := range uint32(3) {
		if n, ttl := receivedTTL(t, conn); n != i || ttl != 9 {
			t.Errorf("datagram %d: got number %d with TTL %d, want TTL 9", i, n, ttl)
		}
	}
}

// A datagram without a checksum is taken over IPv4 (RFC 7348 §5) and not over
// IPv6 (RFC 6935 §5), where a broken address would go unseen.
func TestZeroChecksumIsTakenOverIPv4Alone(t *testing.T) {
	for _, c := range []struct {
		at            netip.Addr
		level, option int
		want          []uint32
	}{
		{loopback, unix.SOL_SOCKET, unix.SO_NO_CHECK, []uint32{0, 1}},
		{netip.IPv6Loopback(), unix.IPPROTO_UDP, unix.UDP_NO_CHECK6_TX, []uint32{1}},
	} {
		conf := Config{Addr4: c.at, NoChecksum: true}
		if c.at.Is6() {
			conf = Config{Addr6: c.at, NoChecksum: true}
		}
		u := open(t, conf)
		conn := plainSocket(t, c.at)
		raw, err := conn.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		for i := range uint32(2) { // without a checksum, then with one
			if e := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), c.level, c.option, 1-int(i)) }); e != nil || err != nil {
				t.Fatal(e, err)
			}
			b := numbered(netip.AddrPort{}, 0, i, 64, false).Data[0]
			if _, err := conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(c.at, u.conf.Port)); err != nil {
				t.Fatal(err)
			}
		}
		datagrams, _, _ := receive(t, u.Receivers(0)[0], len(c.want))
		var got []uint32
		for _, b := range datagrams {
			got = append(got, binary.BigEndian.Uint32(b[4:]))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got datagrams %d, want %d", c.at, got, c.want)
		}
	}
}
