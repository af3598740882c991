package hostnet

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestTheHostIsSeenAsItIs(t *testing.T) {
	s := newSpace(t)
	s.cable("eth0", 1500, "192.0.2.1/24", "2001:db8::1/64")
	s.check(s.nl.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0", MTU: 1400}}))
	ls, err := s.Links()
	s.check(err)
	seen := map[string]SeenLink{}
	for _, l := range ls {
		seen[l.Name] = l
	}
	if l := seen["eth0"]; l.Kind != "veth" || l.MTU != 1500 || !l.Up || len(l.Addrs) != 2 {
		t.Errorf("eth0: got %+v", l)
	}
	if l := seen["br0"]; l.Kind != "bridge" || l.MTU != 1400 || l.Up || len(l.Addrs) != 0 {
		t.Errorf("br0: got %+v", l)
	}
	s.route("eth0", "198.51.100.0/24", "192.0.2.9", func(r *netlink.Route) { r.MTU = 1300 })
	for _, c := range []struct {
		to   string
		want Way
	}{
		{"192.0.2.7", Way{Dev: "eth0", MTU: 1500, Next: netip.MustParseAddr("192.0.2.7")}},
		{"198.51.100.7", Way{Dev: "eth0", MTU: 1300, Next: netip.MustParseAddr("192.0.2.9")}},
		{"2001:db8::7", Way{Dev: "eth0", MTU: 1500, Next: netip.MustParseAddr("2001:db8::7")}},
	} {
		if got := s.WayTo(netip.MustParseAddr(c.to)); got != c.want {
			t.Errorf("to %s: got %+v, want %+v", c.to, got, c.want)
		}
	}
	if w := s.WayTo(netip.MustParseAddr("203.0.113.1")); w.Err == nil {
		t.Errorf("nowhere: got %+v", w)
	}
	s.check(s.nl.NeighSet(&netlink.Neigh{LinkIndex: s.link("eth0").Attrs().Index, State: unix.NUD_FAILED, IP: net.IPv4(192, 0, 2, 9)}))
	if w := s.WayTo(netip.MustParseAddr("198.51.100.7")); !w.Silent {
		t.Errorf("a silent router: got %+v", w)
	}
	if v, ok := s.Sysctl("net/ipv4/conf/eth0/mtu"); ok {
		t.Errorf("a setting that there is none of: got %d", v)
	}
	s.check(s.inside(func() error { return os.WriteFile("/proc/sys/net/ipv4/conf/eth0/rp_filter", []byte("2"), 0o644) }))
	if v, ok := s.Sysctl("net/ipv4/conf/eth0/rp_filter"); !ok || v != 2 {
		t.Errorf("rp_filter: got %d, %v", v, ok)
	}
	if on, ok := s.ChecksumsOut("eth0"); !on || !ok {
		t.Errorf("checksums of a veth: got %v, %v", on, ok)
	}
	if _, ok := s.ChecksumsOut("none"); ok {
		t.Error("checksums of no interface are known")
	}
}

func TestSocketsOfAPortAreFoundWithTheirDrops(t *testing.T) {
	s := newSpace(t)
	s.cable("eth0", 1500, "192.0.2.1/24", "2001:db8::1/64")
	var open []net.PacketConn
	s.do(func() error {
		for _, at := range []string{"192.0.2.1:4789", "[2001:db8::1]:4789", "192.0.2.1:4790"} {
			c, err := net.ListenPacket("udp", at)
			if err != nil {
				return err
			}
			open = append(open, c)
		}
		return nil
	})
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	us, err := s.UDPSockets(4789)
	s.check(err)
	var got []string
	for _, u := range us {
		got = append(got, u.Local.String())
	}
	if len(got) != 2 || got[0] != "192.0.2.1:4789" || got[1] != "[2001:db8::1]:4789" {
		t.Errorf("got %v", got)
	}
	const line = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n" +
		" 2390: 010200C0:12B5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 4711 2 0000000000000000 17\n"
	if us := parseSockets(line, 4789); len(us) != 1 || us[0].Drops != 17 || us[0].inode != "4711" || us[0].Local.String() != "192.0.2.1:4789" {
		t.Errorf("got %+v", us)
	}
	if h := us[0].Held; len(h) != 1 || h[0].PID != os.Getpid() || h[0].Name == "" {
		t.Errorf("held by %v, want this process", h)
	}
}

func TestATAPCanBeTried(t *testing.T) {
	s := newSpace(t)
	s.do(TryTAP)
	ls, err := s.Links()
	s.check(err)
	for _, l := range ls {
		if l.Kind == "tuntap" {
			t.Errorf("%s is left", l.Name)
		}
	}
}
