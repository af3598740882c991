package hostnet

import (
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/encap/ether"
)

// A receiver that is slower than the kernel loses announcements, and is told.
func TestWatchSaysWhenAnnouncementsWereLost(t *testing.T) {
	s := newSpace(t)
	s.tap("uvtep.1")
	sub, err := s.subscribe()
	s.check(err)
	defer sub.close()
	s.check(sub.conn.Control(func(fd uintptr) {
		s.check(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1))
	}))
	for n := range 100 {
		s.check(s.nl.LinkSetMTU(s.link("uvtep.1"), 1300+n))
	}
	overrun, err := sub.receive(func(syscall.NetlinkMessage) {})
	if err != nil || !overrun {
		t.Errorf("got %v, %v, want an overrun", overrun, err)
	}
}

// What EnsureLink did is no news, and hides nothing else.
func TestAttireIsNoNews(t *testing.T) {
	before := scene{name: "uvtep.1", index: 7, mac: vtep, mtu: 1410, addrs: "10.10.3.0/32"}
	after := scene{name: "uvtep.1", index: 7, mac: ether.Addr{2, 0, 0, 0, 0, 9}, mtu: 1450, up: true, bridge: "br0", addrs: "10.10.9.0/32"}
	all := attire{config: LinkConfig{MAC: after.mac, MTU: 1450, Up: true, Bridge: "br0"}, addrs: after.addrs}
	little := attire{addrs: after.addrs}
	harmed, anew := after, after
	harmed.up, harmed.addrs = false, ""
	anew.index = 8
	for _, c := range []struct {
		name    string
		a       attire
		was, is *scene
		want    []EventKind
	}{
		{"all that changed was our doing", all, &before, &after, nil},
		{"only the addresses were", little, &before, &after, []EventKind{TAPMAC, TAPMTU, TAPUp, TAPBridge}},
		{"and somebody changed it since", all, &before, &harmed, []EventKind{TAPDown, TAPAddr}},
		{"a TAP made anew and dressed", all, &before, &anew, nil},
		{"the first TAP, dressed", all, nil, &after, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []EventKind
			for _, e := range tapEvents(c.a.over(c.was, c.is), c.is) {
				got = append(got, e.Kind)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
	if got := little.over(&before, &after); got.mtu != before.mtu || got.mac != before.mac || got.up || got.bridge != "" {
		t.Errorf("got %+v: what EnsureLink was not asked for is as it was", got)
	}
	if before.addrs != "10.10.3.0/32" {
		t.Error("the scene that was is not ours to change")
	}
}

func TestEventsHaveNames(t *testing.T) {
	seen := map[string]EventKind{}
	for k := Resync; k <= UnderlayUp; k++ {
		if other, twice := seen[k.String()]; twice || k.String() == "" {
			t.Errorf("kinds %d and %d are both %q", other, k, k)
		}
		seen[k.String()] = k
	}
	if got, want := EventKind(200).String(), "event 200"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzAnnouncement(f *testing.F) {
	f.Add(uint16(unix.RTM_NEWLINK), []byte{})                                                                  // too short for any
	f.Add(uint16(unix.RTM_DELADDR), make([]byte, 8))                                                           // no attributes
	f.Add(uint16(unix.RTM_DELROUTE), []byte{2, 24, 0, 0, 254, 86, 0, 1, 0, 0, 0, 0, 8, 0, 1, 0, 10, 5, 10, 0}) // one of ours
	f.Add(uint16(unix.RTM_NEWROUTE), []byte{10, 200, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0, 5, 0, 1, 0, 10})          // lengths that cannot be
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		a := newAnnouncement(syscall.NetlinkMessage{Header: syscall.NlMsghdr{Type: kind}, Data: data})
		if a.about == aboutNothing && (a.index != 0 || a.lost) {
			t.Fatalf("%+v says something about nothing", a)
		}
	})
}
