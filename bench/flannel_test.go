package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
)

// flannelPeer is the program of the flannel peer.
func flannelPeer(ctx context.Context, t testing.TB) string {
	t.Helper()
	bin, err := lab.BuildFlannel(ctx, "flannel")
	must(t, err)
	return bin
}

// mixed is a network of real flannel hosts, the first ones, and uvtep hosts, in
// an etcd of its own, with a container on each.
type mixed struct {
	*lab.Lab
	flannels, uvteps []*lab.Host
	bin              string
}

// newMixed makes a network of which config is the configuration.
func newMixed(t testing.TB, c lab.Config, flannels int, config string) (*mixed, context.Context) {
	t.Helper()
	l, ctx := newLab(t, c)
	etcd, err := lab.BuildEtcd(ctx)
	must(t, err)
	_, err = l.StartEtcd(ctx, etcd, 1)
	must(t, err, l.Put(ctx, prefix+"/config", config))
	m := &mixed{Lab: l, flannels: l.Hosts[:flannels], uvteps: l.Hosts[flannels:], bin: flannelPeer(ctx, t)}
	for _, h := range m.flannels {
		must(t, h.StartFlannel(ctx, m.bin))
	}
	for _, h := range m.uvteps {
		must(t, h.StartAgent(ctx))
	}
	must(t, l.AddContainers(ctx, 1))
	return m, ctx
}

// meet waits until every host has a route to every other, and sends between all
// containers, both ways.
func (m *mixed) meet(ctx context.Context, t testing.TB) {
	t.Helper()
	for _, h := range m.Hosts {
		for _, other := range m.Hosts {
			if h == other || !other.Subnet.IsValid() {
				continue
			}
			eventually(ctx, t, h.Name+" routes to "+other.Name, func() (bool, string) {
				rs, err := h.Routes(m.device(h))
				must(t, err)
				return strings.Contains(fmt.Sprint(rs), other.Subnet.Masked().String()), fmt.Sprint(rs)
			})
		}
	}
	connected(ctx, t, m.Lab)
}

// device is the host's end of the tunnel.
func (m *mixed) device(h *lab.Host) string {
	if strings.Contains(h.Agent.Output(), "flannel: running") {
		return "flannel.1"
	}
	return h.TAP
}

// forgotten waits until a host knows nothing of a subnet any more.
func (m *mixed) forgotten(ctx context.Context, t testing.TB, h *lab.Host, subnet netip.Prefix) {
	t.Helper()
	eventually(ctx, t, h.Name+" has no route to "+subnet.String(), func() (bool, string) {
		rs, err := h.Routes(m.device(h))
		must(t, err)
		return !strings.Contains(fmt.Sprint(rs), subnet.Masked().String()), fmt.Sprint(rs)
	})
}

const flannelConfig = `{"Network":"10.10.0.0/16","Backend":{"Type":"vxlan","Port":4789}}`

// A network of flannel hosts and uvtep hosts, through the life of a host on both
// sides: it joins late, is restarted, gets another address, and leaves.
func TestFlannelHostsAndUvtepHostsAreOneNetwork(t *testing.T) {
	m, ctx := newMixed(t, lab.Config{Hosts: 3}, 1, flannelConfig)
	flannel, first, second := m.flannels[0], m.uvteps[0], m.uvteps[1]
	m.meet(ctx, t)

	// Restarted, each side keeps its subnet and goes on.
	for _, h := range []*lab.Host{flannel, first} {
		before := h.Subnet
		must(t, h.Agent.Stop(ctx))
		if h == flannel {
			must(t, h.StartFlannel(ctx, m.bin))
		} else {
			must(t, h.StartAgent(ctx))
		}
		if h.Subnet != before {
			t.Errorf("%s has %s after a restart, had %s", h.Name, h.Subnet, before)
		}
		m.meet(ctx, t)
	}

	// Another address: uvtep follows by itself, flannel is restarted.
	must(t, first.Readdress(ctx, netip.MustParseAddr("192.0.2.42")))
	must(t, second.Agent.WaitOutput(ctx, "adding subnet: "+first.Subnet.Masked().String()+" PublicIP: 192.0.2.42"))
	m.meet(ctx, t)
	must(t, flannel.Agent.Stop(ctx), flannel.Readdress(ctx, netip.MustParseAddr("192.0.2.41")))
	was := flannel.Subnet
	must(t, m.Delete(ctx, leasePath(was))) // flannel would take another subnet otherwise: its identity is the address
	m.forgotten(ctx, t, first, was)
	must(t, flannel.StartFlannel(ctx, m.bin))
	if flannel.Subnet != was {
		t.Errorf("flannel took %s, want %s of its subnet file", flannel.Subnet, was)
	}
	m.meet(ctx, t)

	// A third flannel host joins late.
	late, err := m.AddHost(ctx)
	must(t, err, late.StartFlannel(ctx, m.bin), late.AddContainers(ctx, 1))
	m.meet(ctx, t)

	// Hosts that leave: their keys are deleted.
	must(t, late.Agent.Stop(ctx), m.Delete(ctx, leasePath(late.Subnet)))
	for _, h := range []*lab.Host{flannel, first, second} {
		m.forgotten(ctx, t, h, late.Subnet)
	}
	must(t, second.Agent.Stop(ctx), m.Delete(ctx, leasePath(second.Subnet)))
	for _, h := range []*lab.Host{flannel, first} {
		m.forgotten(ctx, t, h, second.Subnet)
	}
	_, err = flannel.Containers[0].Ping(ctx, first.Containers[0].Addr, lab.Pings{})
	must(t, err)
}

// leasePath is the key of an IPv4 subnet.
func leasePath(subnet netip.Prefix) string {
	return prefix + "/subnets/" + strings.Replace(subnet.Masked().String(), "/", "-", 1)
}

// flannel's own port, and an underlay that carries superframes with unfinished
// checksums, as between machines on one host.
func TestFlannelsOwnPortAndOffloads(t *testing.T) {
	m, ctx := newMixed(t, lab.Config{Hosts: 2, Underlay: lab.VethGSO}, 1, `{"Network":"10.10.0.0/16","Backend":{"Type":"vxlan"}}`)
	u := m.uvteps[0]
	// The file is without a port: 4789 here, 8472 for flannel on Linux.
	if !strings.Contains(u.Agent.Output(), "8472") {
		t.Errorf("no word of flannel's port:\n%s", u.Agent.Tail(20))
	}
	must(t, m.Put(ctx, prefix+"/config", `{"Network":"10.10.0.0/16","Backend":{"Type":"vxlan","Port":8472}}`))
	must(t, u.Agent.WaitOutput(ctx, "needs a restart"))
	must(t, u.Agent.Stop(ctx), u.StartAgent(ctx))
	m.meet(ctx, t)
}

// Dual stack: flannel has a device for each family, with a MAC address of its own.
func TestFlannelDualStack(t *testing.T) {
	m, ctx := newMixed(t, lab.Config{Hosts: 3, IPv6: true}, 1,
		`{"Network":"10.10.0.0/16","EnableIPv6":true,"IPv6Network":"fd00:10::/48","Backend":{"Type":"vxlan","Port":4789}}`)
	m.meet(ctx, t)
	for _, from := range m.Containers() {
		for _, to := range m.Containers() {
			if from.Host == to.Host {
				continue
			}
			if err := from.Reach(ctx, to.Addr6); err != nil {
				t.Fatalf("%s to %s: %v", from.Name, to.Addr6, err)
			}
		}
	}
}

// leaseNode is the node id in a subnet's lease, "" for flannel's.
func leaseNode(ctx context.Context, t testing.TB, m *mixed, h *lab.Host) string {
	t.Helper()
	var v struct {
		BackendType string
		BackendData struct{ NodeID string }
	}
	text := leaseOf(ctx, t, m.Lab, h)
	must(t, json.Unmarshal([]byte(text), &v))
	if v.BackendType != "vxlan" {
		t.Errorf("lease is %s", text)
	}
	return v.BackendData.NodeID
}

// A host that ran flannel keeps its subnet with uvtep, and goes back with it. What
// flannel leaves behind when it stops is named, not touched.
func TestUvtepTakesFlannelsPlaceAndBack(t *testing.T) {
	m, ctx := newMixed(t, lab.Config{Hosts: 2}, 2, flannelConfig)
	h, other := m.flannels[0], m.flannels[1]
	subnet := h.Subnet
	m.meet(ctx, t)

	must(t, h.Agent.Stop(ctx))
	code, said := runOn(ctx, t, h, h.AgentArgs()...)
	for _, want := range []string{"flannel.1, the kernel's vxlan device with VNI 1 and UDP port 4789", "ip link delete flannel.1"} {
		if code != 1 || !strings.Contains(said, want) {
			t.Errorf("with flannel's device in the way: got %d, %s; want %q", code, said, want)
		}
	}
	if leaseNode(ctx, t, m, h) != "" {
		t.Error("the lease was taken before flannel's device was gone")
	}
	must(t, h.DeleteLink("flannel.1"), h.StartAgent(ctx))
	if h.Subnet != subnet || leaseNode(ctx, t, m, h) == "" {
		t.Errorf("uvtep has %s of node %q, flannel had %s", h.Subnet, leaseNode(ctx, t, m, h), subnet)
	}
	m.meet(ctx, t)

	must(t, h.Agent.Stop(ctx))
	if code, said := runOn(ctx, t, h, downArgs(m.Lab, h, "--keep-lease")...); code != 0 {
		t.Fatalf("uvtep down: %d, %s", code, said)
	}
	must(t, h.StartFlannel(ctx, m.bin))
	if h.Subnet != subnet || leaseNode(ctx, t, m, h) != "" {
		t.Errorf("flannel has %s of node %q, had %s", h.Subnet, leaseNode(ctx, t, m, h), subnet)
	}
	m.meet(ctx, t)
	if hosts, err := m.List(ctx, prefix+"/uvtep/hosts/"); err != nil || len(hosts) != 0 {
		t.Errorf("host records left: %v, %v", hosts, err)
	}
	if other.Agent.Ended() {
		t.Error("the other host's flannel ended")
	}
}

// The same for flannel's udp backend, whose leases are no peers of ours, and for a
// host whose lease is gone but whose subnet file is there.
func TestTheSubnetOfAnOldFlannelIsTakenOver(t *testing.T) {
	l, ctx := newLab(t, lab.Config{Hosts: 2})
	startAgents(ctx, t, l.Hosts[:1])
	h := l.Hosts[1]
	must(t, l.Put(ctx, prefix+"/subnets/10.10.66.0-24", `{"PublicIP":"192.0.2.2","BackendType":"udp"}`))
	must(t, h.StartAgent(ctx))
	if h.Subnet.String() != "10.10.66.1/24" || !strings.Contains(leaseOf(ctx, t, l, h), `"BackendType":"vxlan"`) {
		t.Errorf("got %s, %s", h.Subnet, leaseOf(ctx, t, l, h))
	}
	late, err := l.AddHost(ctx)
	must(t, err)
	must(t, os.WriteFile(late.SubnetFile, []byte("FLANNEL_NETWORK=10.10.0.0/16\nFLANNEL_SUBNET=10.10.55.1/24\nFLANNEL_MTU=1472\nFLANNEL_IPMASQ=false\n"), 0o644))
	must(t, late.StartAgent(ctx))
	if late.Subnet.String() != "10.10.55.1/24" {
		t.Errorf("got %s, want the subnet of the file", late.Subnet)
	}
}
