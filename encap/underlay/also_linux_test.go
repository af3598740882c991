package underlay

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/uvtep/uvtep/encap"
)

// freePorts returns n UDP ports of loopback that nothing receives on, in order.
func freePorts(t *testing.T, n int) (ports []uint16) {
	t.Helper()
	for len(ports) < n {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback.AsSlice()})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }() // not before there are all
		ports = append(ports, uint16(c.LocalAddr().(*net.UDPAddr).Port))
	}
	slices.Sort(ports)
	return ports
}

func TestFurtherPortsComeAndGo(t *testing.T) {
	ports := freePorts(t, 3)
	u := open(t, Config{Port: ports[0], Addr6: netip.IPv6Loopback(), Addr4: loopback, Lanes: 2})
	a, b := ports[1], ports[2]
	listens := func(want ...uint16) {
		t.Helper()
		if failed := u.Listen(want); len(failed) != 0 {
			t.Fatalf("%v: %v", want, failed)
		}
		slices.Sort(want)
		want = slices.DeleteFunc(slices.Compact(want), func(p uint16) bool { return p == ports[0] })
		if got := slices.Sorted(slices.Values(u.AlsoListens())); !slices.Equal(got, want) {
			t.Errorf("listens on %v, want %v", got, want)
		}
		for lane := range 2 {
			if got := len(u.Receivers(lane)); got != 2*(1+len(want)) {
				t.Errorf("lane %d has %d receivers, want 2 for each of %d ports", lane, got, 1+len(want))
			}
		}
	}
	listens()
	listens(a, a, ports[0])
	stays := u.Receivers(0)[2]
	listens(b, a)
	if u.Receivers(0)[2] != stays {
		t.Error("a port that stayed has other sockets")
	}
	goes := u.Receivers(0)[4]
	u.NewSender().Send([]encap.Datagram{numbered(netip.AddrPortFrom(loopback, b), 1, 1, 64, false), numbered(netip.AddrPortFrom(netip.IPv6Loopback(), a), 1, 1, 64, false)})
	got := 0
	for lane := range 2 {
		for _, r := range u.Receivers(lane) {
			if !empty(r) {
				got++
				receive(t, r, 1)
			}
		}
	}
	if got != 2 {
		t.Errorf("%d datagrams to further ports arrived, want 2", got)
	}
	listens(a)
	if _, err := goes.Recv([]encap.Message{{Data: make([]byte, 10)}}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a receiver of a port that went: got %v, want %v", err, os.ErrClosed)
	}
	if err := u.Listenable(b); err != nil {
		t.Errorf("a port that went: %v", err)
	}
	if err := u.Move(loopback, netip.IPv6Loopback()); err != nil || len(u.AlsoListens()) != 0 {
		t.Errorf("after a move there are %v, %v; want none", u.AlsoListens(), err)
	}
	listens(b)
}

// A port that is taken costs nothing else, and is there when it is free again.
func TestAFurtherPortThatIsTaken(t *testing.T) {
	ports := freePorts(t, 3)
	u := open(t, Config{Port: ports[0]})
	other, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback.AsSlice(), Port: int(ports[1])})
	if err != nil {
		t.Fatal(err)
	}
	failed := u.Listen(ports[1:])
	if len(failed) != 1 || !errors.Is(failed[ports[1]], ErrPortTaken) || !slices.Equal(u.AlsoListens(), ports[2:]) {
		t.Errorf("got %v, listens on %v; want %d to be taken and %d listened on", failed, u.AlsoListens(), ports[1], ports[2])
	}
	if !errors.Is(u.Listenable(ports[1]), ErrPortTaken) {
		t.Error("a port that is taken can be listened on")
	}
	_ = other.Close()
	if failed := u.Listen(ports[1:]); len(failed) != 0 || len(u.AlsoListens()) != 2 {
		t.Errorf("when it is free: got %v, listens on %v", failed, u.AlsoListens())
	}
	if _, err := Open(Config{Addr4: netip.MustParseAddr("127.0.0.3"), Port: ports[1]}); !errors.Is(err, ErrPortTaken) {
		t.Errorf("another agent on a further port: got %v, want %v", err, ErrPortTaken)
	}
}

func TestFurtherPortsAreBounded(t *testing.T) {
	ports := freePorts(t, maxAlso+3)
	u := open(t, Config{Port: ports[0]})
	if failed := u.Listen(ports[1:]); len(failed) != 2 || len(u.AlsoListens()) != maxAlso {
		t.Errorf("%d refused, %d listened on; want 2, %d", len(failed), len(u.AlsoListens()), maxAlso)
	}
}
