package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/bench/lab"
)

// harm are the counters of a kernel that must not move where nothing is lost:
// what it could not read, got out of order, twice, or had to send again.
var harm = []string{
	"IpInHdrErrors", "IpInDiscards", "IpReasmFails", "Ip6InHdrErrors", "Ip6InDiscards", "Ip6ReasmFails",
	"TcpInErrs", "TcpInCsumErrors", "TcpRetransSegs", "TcpExtTCPOFOQueue", "TcpExtTCPOFODrop", "TcpExtTCPSACKReorder",
	"TcpExtTCPTSReorder", "TcpExtTCPDSACKRecv", "TcpExtTCPDSACKOldSent", "TcpExtTCPRcvQDrop", "TcpExtTCPBacklogDrop",
	"UdpInErrors", "UdpInCsumErrors", "UdpRcvbufErrors", "UdpSndbufErrors", "UdpMemErrors",
	"Udp6InErrors", "Udp6InCsumErrors", "Udp6RcvbufErrors", "Udp6SndbufErrors", "Udp6MemErrors",
}

// end is where segments are sent from and to: a host, known to the overlay by its
// device and the addresses there, or a container on it.
type end struct {
	*lab.Node
	host *lab.Host
	dev  string
	at   [2]netip.Addr // IPv4, IPv6
}

// join makes ends of two hosts whose overlay works over IPv4. Nothing waits for an
// answer to ARP, or is lost while it waits.
func join(t *testing.T, hosts [2]*lab.Host, devs [2]string) (ends [2]end) {
	t.Helper()
	for i, h := range hosts {
		ends[i] = end{h.Node, h, devs[i], [2]netip.Addr{h.Subnet.Masked().Addr()}}
		calm(t, h.Node)
	}
	know(t, ends, 0)
	return ends
}

// join6 is join with IPv6 too: with the addresses and neighbours that a dual-stack
// network would bring.
func join6(t *testing.T, hosts [2]*lab.Host, devs [2]string) [2]end {
	t.Helper()
	ends := join(t, hosts, devs)
	for i := range ends {
		e := &ends[i]
		e.at[1] = netip.MustParseAddr(fmt.Sprintf("fd00:10::%d", e.host.ID))
		must(t, e.AddAddr(e.dev, netip.PrefixFrom(e.at[1], 64)))
		owns(t, e.Node, e.at[1])
	}
	know(t, ends, 1)
	return ends
}

// owns waits until an IPv6 address is a node's own, which the kernel makes it in the
// background; what is for it before is dropped.
func owns(t *testing.T, n *lab.Node, a netip.Addr) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	eventually(ctx, t, "the address is the node's own", func() (bool, string) {
		_, err := n.Ping(ctx, a, lab.Pings{Count: 1, Timeout: 100 * time.Millisecond})
		return err == nil, fmt.Sprint(err)
	})
}

// know makes two ends neighbours for good.
func know(t *testing.T, ends [2]end, family int) {
	t.Helper()
	for i, e := range ends {
		far, err := ends[1-i].Link(ends[1-i].dev)
		must(t, err, e.AddNeighbour(e.dev, ends[1-i].at[family], far.MAC))
	}
}

// calm keeps the kernel from sending again what only comes late, as on a busy
// machine, and windows smaller than the queues on the way.
func calm(t *testing.T, n *lab.Node) {
	t.Helper()
	must(t, n.Sysctl("net/ipv4/tcp_early_retrans", "0"), n.Sysctl("net/ipv4/tcp_rmem", "4096 131072 262144"))
	_ = n.Sysctl("net/ipv4/tcp_rto_min_us", "10000000") // from Linux 6.11 on
}

// behind makes ends of containers behind the hosts of others. The devices that
// lead to them have no offloads: a host's kernel cuts what the agent merged, and
// finishes its checksums, so that the container's sees every segment as it is.
// Otherwise it would take an unfinished checksum for right.
func behind(ctx context.Context, t *testing.T, hosts [2]end) (ends [2]end) {
	t.Helper()
	for i, e := range hosts {
		h := e.host
		net6 := func(n, host int) netip.Prefix {
			return netip.MustParsePrefix(fmt.Sprintf("fd00:10:%d::%d/64", n, host))
		}
		must(t, h.AddContainers(ctx, 1), h.OffloadsOff("c1"))
		c, far := h.Containers[0], hosts[1-i]
		must(t, h.AddAddr("docker0", net6(h.ID, 1)), h.AddRoute(e.dev, net6(far.host.ID, 0).Masked(), far.at[1]))
		must(t, c.AddAddr("eth0", net6(h.ID, 2)), c.AddRoute("eth0", netip.MustParsePrefix("fd00:10::/32"), net6(h.ID, 1).Addr()))
		owns(t, h.Node, net6(h.ID, 1).Addr())
		owns(t, c.Node, net6(h.ID, 2).Addr())
		own, err := c.Link("eth0")
		must(t, err, h.AddNeighbour("docker0", net6(h.ID, 2).Addr(), own.MAC)) // a router asks from a link-local address, which a lab has not
		calm(t, c.Node)
		ends[i] = end{c.Node, h, "eth0", [2]netip.Addr{c.Addr, net6(h.ID, 2).Addr()}}
	}
	return ends
}

// exchange sends TCP and UDP, as datagrams and as superframes, both ways over
// IPv4 and IPv6. All must arrive as it was sent, in order, and the kernels must
// have no harm to tell of.
func exchange(ctx context.Context, t *testing.T, ends [2]end) {
	t.Helper()
	for family := range 2 {
		before := [2]lab.Counters{countersOf(t, ends[0].Node), countersOf(t, ends[1].Node)}
		for i, e := range ends {
			far := ends[1-i]
			if _, err := e.TCP(ctx, far.Node, lab.Flow{Bytes: 8 << 20, At: far.at[family]}); err != nil {
				t.Error(err)
			}
		}
		for _, v := range []lab.Volley{
			{Flows: 8, Size: 1201, Rounds: 20},
			{Flows: 8, Size: 1201, Rounds: 20, Burst: 30, Segment: true},
			{Flows: 8, Size: 61, Rounds: 20, Burst: 60, Segment: true},
		} {
			v.At = [2]netip.Addr{ends[0].at[family], ends[1].at[family]}
			out, err := ends[0].Volley(ctx, ends[1].Node, v)
			if err := errors.Join(err, whole(out)); err != nil {
				t.Errorf("%v, segments %v of %d: %v", v.At, v.Segment, v.Size, err)
			}
		}
		for i, e := range ends {
			got := countersOf(t, e.Node).Since(before[i]).Only(harm...)
			if diff := cmp.Diff(lab.Counters{}, got); diff != "" {
				t.Errorf("%s over %v: what its kernel complains of (-want +got):\n%s", e.Name, e.at[family], diff)
			}
		}
	}
}

// whole reports what of a volley is missing or out of order.
func whole(out [2]lab.Volleyed) error {
	var errs []error
	for i, v := range out {
		if v.Sent == 0 || v.Received != v.Sent || v.Doubled+v.Reordered+v.Overrun > 0 {
			errs = append(errs, fmt.Errorf("direction %d: %+v", i, v))
		}
	}
	return errors.Join(errs...)
}

func countersOf(t *testing.T, n *lab.Node) lab.Counters {
	t.Helper()
	c, err := n.Counters()
	must(t, err)
	return c
}

// watch looks at all frames on a device. What it returns ends that and says how
// many bytes of IP the longest had.
func watch(ctx context.Context, t *testing.T, n *lab.Node, dev string) (longest func() int) {
	t.Helper()
	w, err := n.Wire(dev)
	must(t, err)
	ctx, stop := context.WithCancel(ctx)
	found := make(chan int)
	go func() {
		most := 0
		for {
			f, err := w.Next(ctx)
			if err != nil {
				found <- most
				return
			}
			most = max(most, len(f.Data)-14)
		}
	}()
	return func() int {
		stop()
		n := <-found
		must(t, w.Close())
		return n
	}
}

// conditions are those under which segments are exchanged.
type conditions struct {
	name     string
	offloads bool     // of the underlay's veths, as they are by default
	args     []string // of the agents
}

// veths is an underlay whose veths are as they are by default, or a bare wire.
func veths(offloads bool) lab.Condition {
	if offloads {
		return lab.VethGSO
	}
	return lab.Bare
}

// super says whether superframes are on the TAP.
func (c conditions) super() bool { return len(c.args) == 0 }

// check exchanges segments, and then looks at TAP and wire of the first end while
// a little more is sent. Not before: the kernel's vxlan device hands on a frame
// that somebody looks at by another way than others, past those.
func (c conditions) check(ctx context.Context, t *testing.T, ends [2]end) {
	t.Helper()
	exchange(ctx, t, ends)
	exchange(ctx, t, behind(ctx, t, ends))
	tap, wire := watch(ctx, t, ends[0].Node, ends[0].dev), watch(ctx, t, ends[0].Node, "eth0")
	for i, e := range ends {
		if _, err := e.TCP(ctx, ends[1-i].Node, lab.Flow{Bytes: 4 << 20, At: ends[1-i].at[0]}); err != nil {
			t.Error(err)
		}
	}
	v := lab.Volley{At: [2]netip.Addr{ends[0].at[0], ends[1].at[0]}, Flows: 8, Rounds: 5, Burst: 30, Size: ends[0].host.MTU - 28, Segment: true}
	if _, err := ends[0].Volley(ctx, ends[1].Node, v); err != nil {
		t.Error(err)
	}
	mtu := ends[0].host.MTU
	if n := tap(); n > mtu != c.super() {
		t.Errorf("the longest frame on the TAP has %d bytes at an MTU of %d; superframes: want %v", n, mtu, c.super())
	}
	if n := wire(); n > 1500 != c.offloads {
		t.Errorf("the longest frame on the underlay has %d bytes at an MTU of 1500; superframes: want %v", n, c.offloads)
	}
}

func TestKernelAcceptsEverySegmentBetweenAgents(t *testing.T) {
	for _, c := range []conditions{
		{"on a wire", false, nil},
		{"across veths as they are", true, nil},
		{"on a wire, with plain TAPs", false, []string{"--offload", "off"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, ctx := newLab(t, lab.Config{Hosts: 2, Underlay: veths(c.offloads), UnderlaySteered: true})
			startAgents(ctx, t, l.Hosts, c.args...)
			hosts := [2]*lab.Host(l.Hosts)
			for _, h := range hosts {
				eventually(ctx, t, "there is a route to the other", func() (bool, string) {
					return strings.Contains(routesOf(t, h), "via"), routesOf(t, h)
				})
			}
			c.check(ctx, t, join6(t, hosts, [2]string{hosts[0].TAP, hosts[1].TAP}))
			for _, h := range hosts {
				s := readStats(ctx, t, h)
				if split, merged := s.Counts["SplitSuperframes"] > 0, s.Counts["Records"] < s.Counts["Written"]; split != c.super() || merged != c.super() {
					t.Errorf("%s: superframes are split: %v, and merged: %v; want %v", h.Name, split, merged, c.super())
				}
			}
		})
	}
}

// A kernel peer's datagrams hold what its veth and vxlan device leave to others.
func TestKernelPeerAndAgentAcceptEachOthersSegments(t *testing.T) {
	plain := []string{"--offload", "off"}
	for _, c := range []struct {
		conditions
		csum bool // outer checksums; flannel's devices send none
	}{
		{conditions{"on a wire", false, nil}, true},
		{conditions{"across veths as they are", true, nil}, true},
		{conditions{"across veths as they are, flannel's", true, nil}, false},
		{conditions{"across veths as they are, with a plain TAP", true, plain}, true},
		{conditions{"across veths as they are, flannel's, with a plain TAP", true, plain}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, ctx := newLab(t, lab.Config{Hosts: 2, Underlay: veths(c.offloads), UnderlaySteered: true})
			h := l.Hosts[0]
			startAgents(ctx, t, l.Hosts[:1], c.args...)
			peer, err := l.Hosts[1].AddKernelPeer(lab.KernelConfig{UDPCSum: c.csum, Subnet: netip.MustParsePrefix("10.10.200.0/24")})
			must(t, err)
			tap, err := h.Link(h.TAP)
			must(t, err, peer.Add(lab.Remote{Subnet: h.Subnet.Masked(), VTEP: h.Addr, MAC: tap.MAC}))
			key, value := peer.Lease()
			must(t, l.Put(ctx, prefix+"/"+key, value))
			eventually(ctx, t, "there is a route to the kernel peer", func() (bool, string) {
				return strings.Contains(routesOf(t, h), "10.10.200.0/24"), routesOf(t, h)
			})
			c.check(ctx, t, join6(t, [2]*lab.Host(l.Hosts), [2]string{h.TAP, peer.Name}))
		})
	}
}
