package bench

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
)

// leaseOf is what etcd holds of a host's subnet.
func leaseOf(ctx context.Context, t testing.TB, l *lab.Lab, h *lab.Host) string {
	t.Helper()
	keys, err := l.List(ctx, prefix+"/subnets/")
	must(t, err)
	return keys[prefix+"/subnets/"+strings.Replace(h.Subnet.Masked().String(), "/", "-", 1)]
}

// steady fails unless the hosts' agents are those that were started first.
func steady(t testing.TB, l *lab.Lab) {
	t.Helper()
	for _, h := range l.Hosts {
		if h.Agent.Ended() {
			t.Errorf("the agent of %s ended:\n%s", h.Name, h.Agent.Tail(20))
		}
	}
}

func TestAPublicAddressThatChangesIsFollowed(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{})
	connected(ctx, t, l)
	h := l.Hosts[1]
	var open int
	for i, address := range []string{"192.0.2.22", "192.0.2.23", "192.0.2.22", "192.0.2.2"} {
		to := netip.MustParseAddr(address)
		before := leaseOf(ctx, t, l, h)
		must(t, h.Readdress(ctx, to))
		eventually(ctx, t, "etcd has "+address, func() (bool, string) {
			v := leaseOf(ctx, t, l, h)
			return strings.Contains(v, `"PublicIP":"`+address+`"`), v
		})
		if after := leaseOf(ctx, t, l, h); vtepMAC(after) != vtepMAC(before) {
			t.Errorf("the MAC address changed: %s, was %s", after, before)
		}
		for _, other := range []*lab.Host{l.Hosts[0], l.Hosts[2]} {
			must(t, other.Agent.WaitOutput(ctx, "adding subnet: "+h.Subnet.Masked().String()+" PublicIP: "+address))
		}
		connected(ctx, t, l)
		if i == 0 {
			open = descriptors(t, h)
		}
	}
	eventually(ctx, t, fmt.Sprintf("the agent holds the %d descriptors that it held after the first move", open), func() (bool, string) {
		n := descriptors(t, h)
		return n <= open, strconv.Itoa(n)
	})
	steady(t, l)
}

// descriptors is how many files and sockets an agent has open.
func descriptors(t testing.TB, h *lab.Host) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", h.Agent.PID))
	must(t, err)
	return len(open)
}

// vtepMAC is the MAC address in a lease's value.
func vtepMAC(value string) string {
	_, rest, _ := strings.Cut(value, `"VtepMAC":"`)
	mac, _, _ := strings.Cut(rest, `"`)
	return mac
}

func TestAnUnderlayThatFlapsOrIsReplacedIsFollowed(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{})
	connected(ctx, t, l)
	h := l.Hosts[1]
	must(t, h.LinkDown())
	must(t, h.Agent.WaitOutput(ctx, "the underlay cannot be used now"))
	must(t, h.LinkUp(ctx))
	connected(ctx, t, l)

	// Another card takes over, under another name and with another address.
	next := netip.MustParseAddr("192.0.2.122")
	must(t, h.AddNIC(ctx, "eth1", next), h.DeleteLink("eth0"), h.AddDefault("eth1"))
	must(t, l.Hosts[0].Agent.WaitOutput(ctx, "adding subnet: "+h.Subnet.Masked().String()+" PublicIP: 192.0.2.122"))
	connected(ctx, t, l)

	// It is the one that is watched now.
	must(t, h.SetMTU("eth1", 1400))
	must(t, h.Agent.WaitOutput(ctx, "MTU: 1350"))
	steady(t, l)
}

func TestTheUnderlaysMTUIsFollowed(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[0]
	mtuIs := func(want int) {
		t.Helper()
		eventually(ctx, t, "the TAP and the subnet file say so", func() (bool, string) {
			i, err := h.Link(h.TAP)
			must(t, err)
			b, err := os.ReadFile(h.SubnetFile)
			must(t, err)
			return i.MTU == want && bytes.Contains(b, []byte("FLANNEL_MTU="+strconv.Itoa(want)+"\n")), strconv.Itoa(i.MTU) + "\n" + string(b)
		})
	}
	mtuIs(1450)
	must(t, h.SetMTU("eth0", 1400))
	mtuIs(1350)
	connected(ctx, t, l)
	must(t, h.SetMTU("eth0", 1500))
	mtuIs(1450)

	// One that somebody chose stays; containers are told what fits.
	must(t, h.SetMTU(h.TAP, 1300))
	must(t, h.Agent.WaitOutput(ctx, "left as it is"))
	must(t, h.SetMTU("eth0", 1400))
	must(t, h.Agent.WaitOutput(ctx, "somebody chose the TAP's MTU"))
	if i, err := h.Link(h.TAP); err != nil || i.MTU != 1300 {
		t.Errorf("got MTU %d, %v; want the 1300 that somebody chose", i.MTU, err)
	}
	connected(ctx, t, l)
	steady(t, l)
}
