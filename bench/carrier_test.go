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

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
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

// An address that is taken and given again, with another on the interface, and a
// link that flaps, with another default route: nobody hears of the others.
func TestWhatComesBackAtOnceIsNotLeft(t *testing.T) {
	l, ctx, _ := withEtcd(t, lab.Config{Hosts: 2}, 1)
	h := l.Hosts[1]
	own, other := h.Addr, netip.MustParseAddr("192.0.2.150")
	must(t, h.AddAddr("eth0", netip.PrefixFrom(other, 32)), h.AddNIC(ctx, "eth1", netip.MustParseAddr("192.0.2.151")), h.AddWorseDefault("eth1"))
	must(t, h.Readdress(ctx, own)) // taken and given again
	must(t, h.LinkDown(), h.LinkUp(ctx))
	connected(ctx, t, l)
	// Then it changes for good.
	must(t, h.DeleteAddr("eth0", netip.PrefixFrom(other, 32)), h.Readdress(ctx, netip.MustParseAddr("192.0.2.22")))
	must(t, l.Hosts[0].Agent.WaitOutput(ctx, "PublicIP: 192.0.2.22 "))
	connected(ctx, t, l)
	history, err := l.History(ctx)
	must(t, err)
	for _, e := range history {
		for _, wrong := range []string{other.String(), "192.0.2.151"} {
			if strings.Contains(e.Value, `"PublicIP":"`+wrong+`"`) {
				t.Errorf("the host went to %s: %s = %s", wrong, e.Key, e.Value)
			}
		}
	}
	if n := strings.Count(h.Agent.Output(), "Using interface with name"); n != 2 {
		t.Errorf("told %d times which interface is used, want at the start and when it moved", n)
	}
}

// A move while etcd is away leaves the tables and the live configuration as they
// are, also where nothing can be kept on disk.
func TestAMoveWithoutEtcdKeepsWhatIsInForce(t *testing.T) {
	l, ctx, es := withEtcd(t, lab.Config{Hosts: 2}, 1)
	h := l.Hosts[1]
	keptTables(ctx, t, h, "subnets/10.10.1.0-24")
	must(t, unix.Mount(h.StateDir, h.StateDir, "", unix.MS_BIND, ""), unix.Mount("", h.StateDir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	defer func() { _ = unix.Unmount(h.StateDir, unix.MNT_DETACH) }()
	must(t, l.Put(ctx, prefix+"/config", `{"Network":"10.10.0.0/16","Backend":{"Type":"vxlan","VNI":1,"Port":4789,"Flood":true}}`))
	putLease(ctx, t, l, "10.10.77.0/24", netip.MustParseAddr("192.0.2.60"), ether.Addr{2, 0, 0, 0, 0, 0x77})
	must(t, h.Agent.WaitOutput(ctx, "tables not kept"))
	eventually(ctx, t, "the route is there", func() (bool, string) {
		return strings.Contains(routesOf(t, h), "10.10.77.0/24"), routesOf(t, h)
	})
	revision := readStats(ctx, t, h).Revision
	es[0].Kill()
	must(t, h.Readdress(ctx, netip.MustParseAddr("192.0.2.22")))
	must(t, h.Agent.WaitOutput(ctx, "the underlay is another now"))
	must(t, h.Agent.WaitOutput(ctx, "no answer")) // etcd is asked after the tables are in force
	if now := readStats(ctx, t, h).Revision; now < revision || !strings.Contains(routesOf(t, h), "10.10.77.0/24") {
		t.Errorf("revision %d, was %d; routes %s", now, revision, routesOf(t, h))
	}
	if _, said := runOn(ctx, t, h, "link", "-j", "--admin-socket", h.AdminSocket); !strings.Contains(said, `"flood": true`) {
		t.Errorf("flooding is off again:\n%s", said)
	}
	if strings.Contains(h.Agent.Output(), "tables of the last run until etcd answers") {
		t.Error("the tables are told of as those of the last run")
	}
}

// An underlay too small for IPv6 inside the tunnel costs IPv6, and gives it back.
func TestAnUnderlayTooSmallForIPv6CostsIPv6Alone(t *testing.T) {
	l, ctx := newFamilies(t, lab.Config{Hosts: 2, Without6: []int{1, 2}}, network4, network6)
	populated(ctx, t, l)
	allReach(ctx, t, l)
	h, from, to := l.Hosts[0], l.Hosts[0].Containers[0], l.Hosts[1].Containers[0]
	must(t, h.SetMTU("eth0", 1320))
	must(t, h.Agent.WaitOutput(ctx, "less than the 1280 that IPv6 needs"))
	must(t, from.Reach(ctx, to.Addr))
	must(t, h.SetMAC(h.TAP, []byte{2, 0, 0, 9, 9, 9})) // the TAP is still looked after
	eventually(ctx, t, "the MAC is put back", func() (bool, string) {
		i, err := h.Link(h.TAP)
		must(t, err)
		return i.MAC.String() != "02:00:00:09:09:09" && i.MTU == 1270, i.MAC.String()
	})
	must(t, h.SetMTU("eth0", 1500))
	eventually(ctx, t, "the TAP is as large as before", func() (bool, string) {
		i, err := h.Link(h.TAP)
		must(t, err)
		return i.MTU == 1450, strconv.Itoa(i.MTU)
	})
	allReach(ctx, t, l)
}

// A TAP that could not be put right once is still ours to look after.
func TestATAPThatCouldNotBePutRightIsTriedAgain(t *testing.T) {
	l, ctx := newFamilies(t, lab.Config{Hosts: 2}, network4, network6)
	populated(ctx, t, l)
	allReach(ctx, t, l)
	h := l.Hosts[0]
	must(t, h.Sysctl("net/ipv6/conf/"+h.TAP+"/disable_ipv6", "1"))
	must(t, h.Agent.WaitOutput(ctx, "TAP could not be put right"))
	must(t, h.Sysctl("net/ipv6/conf/"+h.TAP+"/disable_ipv6", "0"))
	must(t, h.SetMAC(h.TAP, []byte{2, 0, 0, 9, 9, 9}))
	eventually(ctx, t, "the MAC is put back", func() (bool, string) {
		i, err := h.Link(h.TAP)
		must(t, err)
		return i.MAC.String() != "02:00:00:09:09:09", i.MAC.String()
	})
	allReach(ctx, t, l)
}
