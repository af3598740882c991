package bench

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/uvtep/uvtep/bench/lab"
)

func TestRenamedTAPIsMadeAnew(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[1]
	routes := routesOf(t, h)
	must(t, h.Do(func() error {
		link, err := netlink.LinkByName(h.TAP)
		if err != nil {
			return err
		}
		return netlink.LinkSetName(link, "renamed")
	}))
	back(ctx, t, h, routes)
	if _, err := h.Link("renamed"); err == nil {
		t.Error("the renamed TAP is there still, with the address and the MAC of the new one")
	}
	connected(ctx, t, l)
}

// back waits until a host's TAP is there, up and with its routes.
func back(ctx context.Context, t *testing.T, h *lab.Host, routes string) {
	t.Helper()
	eventually(ctx, t, "the TAP is back with its routes", func() (bool, string) {
		if i, err := h.Link(h.TAP); err != nil || !i.Up {
			return false, "not there"
		}
		return routesOf(t, h) == routes, routesOf(t, h)
	})
}

// While the agent is frozen the TAP gives way to another interface of its name.
// That one is not ours to dress, and the agent waits until the name is free.
func TestStrangerWithTheTAPsNameIsLeftAlone(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[1]
	routes := routesOf(t, h)
	theirs := net.HardwareAddr{2, 0, 0, 0, 9, 9}
	must(t, h.Agent.Signal(syscall.SIGSTOP), h.DeleteLink(h.TAP), h.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: h.TAP, HardwareAddr: theirs}, PeerName: "theirs"})
	}), h.Agent.Signal(syscall.SIGCONT))
	must(t, h.Agent.WaitOutput(ctx, "is no TAP of ours"))
	i, err := h.Link(h.TAP)
	must(t, err)
	if i.Type != "veth" || i.MAC.String() != theirs.String() || i.Up || len(i.Addrs) > 0 {
		t.Errorf("the stranger became %+v", i)
	}
	must(t, h.DeleteLink(h.TAP))
	back(ctx, t, h, routes)
	connected(ctx, t, l)
	must(t, h.Agent.Stop(ctx))
	if code := h.Agent.ExitCode(); code != 0 {
		t.Errorf("got exit status %d, want 0", code)
	}
}
