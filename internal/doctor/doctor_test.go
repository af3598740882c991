package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/firewall"
	"github.com/uvtep/uvtep/internal/hostnet"
)

func addr(s string) netip.Addr     { return netip.MustParseAddr(s) }
func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

var now = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

// healthy are the facts of a host on which all is well: 192.0.2.1, with one other.
func healthy() *Facts {
	agent := hostnet.Process{PID: 100, Name: "uvtep"}
	link := func(name, kind string, mtu int, as ...string) hostnet.SeenLink {
		l := hostnet.SeenLink{Name: name, Kind: kind, MTU: mtu, Up: true}
		for _, a := range as {
			l.Addrs = append(l.Addrs, prefix(a))
		}
		return l
	}
	return &Facts{
		Root: true, Now: now,
		Agent: Agent{
			State: Answers, Socket: "/run/uvtep/uvtep.sock", RanBefore: true, Holders: []hostnet.Process{agent}, NodeID: strings.Repeat("a", 32),
			Revision: 42, Public: []netip.Addr{addr("192.0.2.1")}, Offload: "auto", Features: map[string]Feature{"tso": {Active: true}, "udp_gro": {Active: true}},
			Receive: Buffer{Asked: 4 << 20, Granted: 4 << 20}, Send: Buffer{Asked: 2 << 20, Granted: 2 << 20}, Delivered: 100000,
		},
		Network: Network{Known: true, VNI: 1, Port: 4789, Overlay: []netip.Prefix{prefix("10.10.0.0/16")}, Own: []netip.Prefix{prefix("10.10.1.0/24")}},
		TAP: TAP{
			Name: "uvtep.1", MTU: 1450,
			Link: &hostnet.Link{Name: "uvtep.1", MAC: ether.Addr{2, 0, 0, 0, 0, 1}, MTU: 1450, Up: true, Ours: true, Addrs: []netip.Prefix{prefix("10.10.1.0/32")}},
		},
		Underlay: hostnet.Underlay{Name: "eth0", MTU: 1500, Addr: addr("192.0.2.1"), Public: addr("192.0.2.1")}, Checksums: true, ChecksumsOK: true,
		Links: []hostnet.SeenLink{
			link("eth0", "device", 1500, "192.0.2.1/24"), link("uvtep.1", "tuntap", 1450, "10.10.1.0/32"), link("docker0", "bridge", 1450, "10.10.1.1/24"),
		},
		Routes: []hostnet.SeenRoute{
			{Route: hostnet.Route{Dst: prefix("10.10.2.0/24"), Via: addr("10.10.2.0")}, Dev: "uvtep.1", Protocol: hostnet.RouteProtocol, Ours: true},
			{Route: hostnet.Route{Dst: prefix("10.10.1.0/24")}, Dev: "docker0", Protocol: 2},
		},
		Sockets:  []hostnet.UDPSocket{{Local: netip.MustParseAddrPort("192.0.2.1:4789"), Held: []hostnet.Process{agent}}},
		Firewall: &firewall.Ruleset{},
		Sysctls: map[string]int{
			"net/ipv4/ip_forward": 1, "net/core/rmem_max": 212992, "net/core/wmem_max": 212992,
			"net/netfilter/nf_conntrack_count": 10, "net/netfilter/nf_conntrack_max": 65536, "net/ipv4/conf/all/rp_filter": 0,
		},
		SubnetFile: hostnet.SubnetEnv{Subnet: prefix("10.10.1.0/24"), MTU: 1450},
		Peers: []Peer{{
			Name: "node b at 192.0.2.2", VTEP: netip.MustParseAddrPort("192.0.2.2:4789"), Subnets: []netip.Prefix{prefix("10.10.2.0/24")},
			Way: hostnet.Way{Dev: "eth0", MTU: 1500, Next: addr("192.0.2.2")}, InnerDev: "uvtep.1", Life: etcdsync.Alive,
		}},
		Echoes: []Echo{{Peer: "10.10.2.0/24 at 192.0.2.2:4789", By: "192.0.2.2"}},
		Etcd: Etcd{
			Members: []etcdsync.Member{{Endpoint: "http://192.0.2.9:2379", Took: time.Millisecond, Cluster: 7, ClockKnown: true}},
			Records: []etcdsync.SubnetRecord{{Key: "10.10.1.0-24", Subnet: prefix("10.10.1.0/24"), PublicIP: addr("192.0.2.1"), NodeID: strings.Repeat("a", 32), Revision: 9}},
		},
	}
}

func TestAHealthyHostHasNothingButOKs(t *testing.T) {
	fs := Examine(healthy())
	said := map[string]bool{}
	for _, f := range fs {
		said[f.Check] = true
		if f.Severity != OK || f.Fix != "" {
			t.Errorf("got %+v", f)
		}
	}
	for _, id := range IDs() {
		if !said[id] && id != "bridge-nf" && id != "tap-manager" { // which have nothing to look at
			t.Errorf("%s says nothing", id)
		}
	}
	if Worst(fs) != OK {
		t.Errorf("worst: got %s", Worst(fs))
	}
}

// dropping is a firewall with one base chain that drops all, but for exceptions
// by interface.
func dropping(family nftables.TableFamily, name string, hook uint32, exceptIn ...string) *firewall.Ruleset {
	c := firewall.Chain{Family: family, Table: "filter", Name: name, Base: true, Hook: hook, Drop: true}
	for i, dev := range exceptIn {
		b := make([]byte, 16)
		copy(b, dev)
		c.Rules = append(c.Rules, firewall.Rule{Handle: uint64(i), Exprs: []expr.Any{
			&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: b}, &expr.Verdict{Kind: expr.VerdictAccept},
		}})
	}
	return &firewall.Ruleset{Chains: []firewall.Chain{c}}
}

// noAgent takes away what only an agent can tell.
func (f *Facts) noAgent() {
	a := f.Agent
	f.Agent = Agent{Socket: a.Socket, RanBefore: true, NodeID: a.NodeID}
	f.Sockets, f.TAP.MTU = nil, 0
}

// morePeers adds hosts like the first, at 192.0.2.10 and after.
func (f *Facts) morePeers(n int) {
	for i := range n {
		p := f.Peers[0]
		p.VTEP = netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(10 + i)}), 4789)
		f.Peers = append(f.Peers, p)
	}
}

// program is a program of some name with arguments.
func program(args ...string) hostnet.Running {
	name := args[0][strings.LastIndexByte(args[0], '/')+1:]
	return hostnet.Running{Process: hostnet.Process{PID: 9, Name: name[:min(15, len(name))]}, Args: args}
}

func TestEachFaultIsFound(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*Facts)
		want  string // "severity check" of each finding that is no ok
		text  string // within the first one
		fix   string
	}{
		{"an agent that ended", (*Facts).noAgent, "error agent", "no agent runs here, and one did", "systemctl start uvtep"},
		{"an agent that never was", func(f *Facts) { f.noAgent(); f.Agent.RanBefore = false }, "note agent", "none ever did", "uvtep run"},
		{"an agent that may not be asked", func(f *Facts) { f.Agent.State = Denied }, "warning agent", "not allowed to ask", "root"},
		{"an agent that is stopped", func(f *Facts) { f.Agent.State, f.Agent.Err = Silent, errors.New("no answer") }, "error agent", "does not answer: no answer", "kill -CONT 100"},
		{"an agent with another socket", func(f *Facts) { f.Agent.State = NoAgent }, "warning agent", "uvtep (process 100) has the TAP open", "--admin-socket"},

		{"no TUN driver", func(f *Facts) { f.noAgent(); f.TUN = hostnet.ErrNoTUN }, "error agent; error tun", "", ""},
		{"no TUN driver, and what to do is known", func(f *Facts) { f.TUN = &hostnet.Fault{Err: hostnet.ErrNoTUN, Do: "hand it in"} },
			"note tun", "no TAP can be made: no TUN/TAP driver", "hand it in"},
		{"no TUN driver for who asks", func(f *Facts) { f.TUN = hostnet.ErrNoTUN }, "note tun", "no TAP can be made", "modprobe tun"},
		{"not root", func(f *Facts) { f.Root = false }, "note permission", "not run as root", "sudo"},
		{"root without its rights, and what to do is known", func(f *Facts) { f.NetAdmin = &hostnet.Fault{Err: hostnet.ErrNoNetAdmin, Do: "give it back"} }, "error permission", "CAP_NET_ADMIN", "give it back"},
		{"root without its rights", func(f *Facts) { f.NetAdmin = hostnet.ErrNoNetAdmin }, "error permission", "CAP_NET_ADMIN", "--cap-add=NET_ADMIN"},

		{"the port held by another program", func(f *Facts) { f.Sockets[0].Held = []hostnet.Process{{PID: 7, Name: "nc"}} }, "error port", "held by nc (process 7)", "kill 7"},
		{"the port held by the kernel's vxlan", func(f *Facts) { f.Rivals = []hostnet.Rival{{Name: "flannel.1", VNI: 1, Port: 4789, HoldsPort: true}} }, "error port", "taken by flannel.1", "ip link delete flannel.1"},
		{"nobody on the port", func(f *Facts) { f.Sockets = nil }, "error port", "nobody listens", "restart"},
		{"the port held by somebody unseen", func(f *Facts) {
			s := f.Sockets
			f.noAgent()
			f.Sockets, s[0].Held = s, nil
		}, "error agent; error port", "", ""},

		{"no underlay", func(f *Facts) { f.UnderlayErr = errors.New("no default route") }, "error underlay", "no default route", "--iface"},
		{"the underlay gone", func(f *Facts) { f.Links = f.Links[1:] }, "error underlay", "eth0 is gone", "bring it back"},
		{"the underlay down", func(f *Facts) { f.Links[0].Up = false }, "error underlay", "eth0 is down", "ip link set eth0 up"},
		{"the underlay's address gone", func(f *Facts) { f.Links[0].Addrs = nil }, "error underlay", "192.0.2.1, which the tunnel starts from", "ip address add 192.0.2.1"},
		{"another address in etcd", func(f *Facts) { f.Etcd.Records[0].PublicIP = addr("192.0.2.8") }, "error registration", "etcd sends others to 192.0.2.8, but this host's public address is 192.0.2.1 (key 10.10.1.0-24, revision 9)", "restart"},
		{"not in etcd", func(f *Facts) { f.Etcd.Records = nil }, "error registration", "etcd has no subnet of this host", "log"},
		{"an old address in etcd and no agent", func(f *Facts) { f.noAgent(); f.Etcd.Records[0].PublicIP = addr("192.0.2.8") }, "error agent; note registration", "", ""},

		{"a firewall that is closed inwards", func(f *Facts) { f.Firewall = dropping(nftables.TableFamilyINet, "input", firewall.Input, "lo") }, "error firewall", "drops what comes from 192.0.2.2 on UDP 4789: nftables inet filter, chain input, hook input: policy drop", "nft insert rule inet filter input udp dport 4789 accept"},
		{"a firewall that is closed outwards", func(f *Facts) { f.Firewall = dropping(nftables.TableFamilyIPv4, "OUTPUT", firewall.Output) }, "error firewall", "drops what is sent to 192.0.2.2", "iptables -I OUTPUT -p udp --dport 4789 -j ACCEPT"},
		{"a firewall for the other family", func(f *Facts) { f.Firewall = dropping(nftables.TableFamilyIPv6, "INPUT", firewall.Input) }, "", "", ""},
		{"a firewall that lets the underlay in", func(f *Facts) { f.Firewall = dropping(nftables.TableFamilyINet, "input", firewall.Input, "eth0") }, "", "", ""},
		{"a firewall that is closed before routing, and no peer known", func(f *Facts) {
			f.Peers, f.Firewall = nil, dropping(nftables.TableFamilyINet, "early", firewall.Prerouting)
		}, "error firewall", "comes from other hosts", ""},
		{"a firewall that cannot be read", func(f *Facts) { f.Firewall, f.FirewallErr = nil, errors.New("not permitted") }, "note firewall", "not permitted", "root"},
		{"legacy rules", func(f *Facts) { f.Firewall.Legacy = []string{"filter"} }, "note firewall", "legacy iptables", "iptables-legacy -S"},
		{"a policy to pass nothing on", func(f *Facts) {
			f.Firewall = dropping(nftables.TableFamilyIPv4, "FORWARD", firewall.Forward, "docker0")
		}, "error forward-policy", "comes from the overlay for containers: nftables ip filter, chain FORWARD", "iptables -I FORWARD -i uvtep.1 -j ACCEPT"},
		{"a policy to pass nothing on from containers", func(f *Facts) {
			f.Firewall = dropping(nftables.TableFamilyINet, "forward", firewall.Forward, "uvtep.1")
		}, "error forward-policy", "goes to the overlay from containers", `nft insert rule inet filter forward oifname "uvtep.1" accept`},

		{"strict on the underlay, another way back", func(f *Facts) { f.Peers[0].Way.Dev = "eth1"; f.Sysctls["net/ipv4/conf/eth0/rp_filter"] = 1 }, "error rp-filter", "leads through eth1", "sysctl -w net.ipv4.conf.eth0.rp_filter=2"},
		{"strict on all, another way back inside", func(f *Facts) { f.Peers[0].InnerDev = "eth1"; f.Sysctls["net/ipv4/conf/all/rp_filter"] = 1 }, "error rp-filter", "strict on uvtep.1", "sysctl -w net.ipv4.conf.uvtep.1.rp_filter=2"},
		{"loose, another way back", func(f *Facts) { f.Peers[0].InnerDev = "eth1"; f.Sysctls["net/ipv4/conf/uvtep.1/rp_filter"] = 2 }, "", "", ""},

		{"a TAP too wide", func(f *Facts) { f.TAP.Link.MTU = 1500 }, "warning mtu; warning mtu", "somebody set the MTU of uvtep.1 to 1500; the agent chose 1450", "ip link set uvtep.1 mtu 1450"},
		{"a TAP too narrow", func(f *Facts) { f.TAP.Link.MTU = 1400 }, "warning mtu", "somebody set the MTU of uvtep.1 to 1400; the agent chose 1450", "ip link set uvtep.1 mtu 1450"},
		{"an underlay too narrow", func(f *Facts) { f.Underlay.MTU, f.Peers[0].Way.MTU = 1400, 1400 }, "warning mtu", "the underlay eth0 takes 1400 bytes, and full frames of uvtep.1 (MTU 1450) make 1500", "ip link set uvtep.1 mtu 1350"},
		{"a route too narrow", func(f *Facts) { f.Peers[0].Way.MTU = 1400 }, "warning mtu", "the route to 192.0.2.2 takes 1400", ""},
		{"a subnet file too wide", func(f *Facts) { f.SubnetFile.MTU = 1500 }, "warning mtu", "the subnet file tells docker", "restart"},
		{"a bridge too wide", func(f *Facts) { f.Links[2].MTU = 1500 }, "warning mtu", "docker0 has an MTU of 1500", "ip link set docker0 mtu 1450"},

		{"a route that leads elsewhere", func(f *Facts) {
			f.Routes = append(f.Routes, hostnet.SeenRoute{Route: hostnet.Route{Dst: prefix("10.10.7.0/24"), Via: addr("192.0.2.254")}, Dev: "eth0", Protocol: 4})
		}, "warning routes", "10.10.7.0/24 via 192.0.2.254 dev eth0", "ip route delete 10.10.7.0/24 via 192.0.2.254 dev eth0 proto 4"},
		{"another tunnel's routes", func(f *Facts) {
			f.Rivals = []hostnet.Rival{{Name: "flannel0", Routes: []netip.Prefix{prefix("10.10.7.0/24")}}}
		}, "warning routes", "flannel0, has the route to 10.10.7.0/24", "ip link delete flannel0"},

		{"no forwarding", func(f *Facts) { f.Sysctls["net/ipv4/ip_forward"] = 0 }, "error forwarding", "containers reach nobody", "sysctl -w net.ipv4.ip_forward=1"},
		{"no forwarding, and no containers", func(f *Facts) { f.Sysctls["net/ipv4/ip_forward"], f.Links = 0, f.Links[:2] }, "note forwarding", "once there are some", "sysctl"},
		{"no forwarding, and none wanted", func(f *Facts) { f.Sysctls["net/ipv4/ip_forward"], f.Agent.NoSubnet = 0, true }, "", "", ""},
		{"a bridge that is filtered", func(f *Facts) {
			f.TAP.Bridge, f.TAP.Link.Bridge, f.Sysctls["net/bridge/bridge-nf-call-iptables"] = "br0", "br0", 1
		}, "warning bridge-nf", "bridge-nf-call-iptables is on", "sysctl -w net.bridge.bridge-nf-call-iptables=0"},
		{"no subnet file", func(f *Facts) { f.SubnetFileErr = os.ErrNotExist }, "warning docker", "find no subnet file", "restart"},
		{"docker by itself", func(f *Facts) { f.Links[2].Addrs = []netip.Prefix{prefix("172.17.0.1/16")} }, "note docker", "docker0 has 172.17.0.1/16", "dockerd $(uvtep docker-opts)"},

		{"no TAP", func(f *Facts) { f.TAP.Link = nil }, "error tap", "there is no uvtep.1", "log"},
		{"a TAP that is down", func(f *Facts) { f.TAP.Link.Up = false }, "error tap", "uvtep.1 is down", "ip link set uvtep.1 up"},
		{"a TAP not in its bridge", func(f *Facts) { f.TAP.Bridge = "br0" }, "error tap", "not in the bridge br0", "ip link set uvtep.1 master br0"},
		{"a TAP of two programs", func(f *Facts) { f.Agent.Holders = append(f.Agent.Holders, hostnet.Process{PID: 8, Name: "qemu"}) }, "warning tap", "open in 2 programs: uvtep (process 100), qemu (process 8)", "stop"},
		{"a TAP of another name", func(f *Facts) { f.TAP.Link.Ours = false }, "note tap", "alias", "ip link set uvtep.1 alias uvtep"},

		{"NetworkManager", func(f *Facts) { f.Programs = []hostnet.Running{program("/usr/sbin/NetworkManager")} }, "warning tap-manager", "NetworkManager runs", "nmcli general reload"},
		{"NetworkManager, told", func(f *Facts) {
			f.Programs = []hostnet.Running{program("/usr/sbin/NetworkManager")}
			f.Files = []File{{"/etc/NetworkManager/conf.d/x.conf", "[keyfile]\nunmanaged-devices = mac:00:11:22:33:44:55, interface-name:uvtep*\n"}}
		}, "", "", ""},
		{"systemd-networkd", func(f *Facts) {
			f.Programs = []hostnet.Running{program("/lib/systemd/systemd-networkd")}
			f.Files = []File{{"/etc/systemd/network/50-all.network", "[Match]\nName=eth* uvtep*\n[Network]\nDHCP=yes\n"}}
		}, "warning tap-manager", "/etc/systemd/network/50-all.network matches it", "Unmanaged=yes"},
		{"systemd-networkd, told", func(f *Facts) {
			f.Programs = []hostnet.Running{program("/lib/systemd/systemd-networkd")}
			f.Files = []File{{"/etc/systemd/network/50-all.network", "[Match]\nName=*\n"}, {"/run/systemd/network/00-uvtep.network", "[Match]\nName=uvtep*\n[Link]\nUnmanaged=yes\n"}}
		}, "", "", ""},
		{"dhclient on the TAP", func(f *Facts) { f.Programs = []hostnet.Running{program("/sbin/dhclient", "-4", "uvtep.1")} }, "warning tap-manager", "dhclient (process 9) asks for an address on uvtep.1", "kill 9"},
		{"dhclient elsewhere", func(f *Facts) { f.Programs = []hostnet.Running{program("/sbin/dhclient", "eth0")} }, "", "", ""},
		{"dhcpcd on all", func(f *Facts) { f.Programs = []hostnet.Running{program("/sbin/dhcpcd", "-b")} }, "warning tap-manager", "dhcpcd", ""},

		{"a feature refused", func(f *Facts) { f.Agent.Features["udp_gro"] = Feature{Reason: "the kernel is too old"} }, "note offload", "udp_gro is not in use, which costs speed: the kernel is too old", ""},
		{"a feature that is not needed now", func(f *Facts) { f.Agent.Features["real_time"] = Feature{} }, "", "", ""},
		{"superframes off", func(f *Facts) { f.Agent.Offload, f.Agent.Features["tso"] = "off", Feature{Reason: "switched off"} }, "note offload", "switched off", "uvtep link set offload auto"},
		{"no checksums, and UDP segmentation all the same", func(f *Facts) {
			f.Checksums, f.Agent.Features = false, map[string]Feature{"udp_segment": {Active: true}}
		}, "", "", ""},
		{"no checksums", func(f *Facts) { f.Checksums, f.Agent.Features = false, nil }, "note checksum", "eth0 does not complete checksums", "ethtool -K eth0 tx on"},
		{"flannel beside it", func(f *Facts) {
			f.Links = append(f.Links, hostnet.SeenLink{Name: "flannel.1", Kind: "vxlan", Up: true})
		}, "note checksum", "flannel.1 is a vxlan device", "ethtool -K flannel.1 tx-checksum-ip-generic off"},
		{"small buffers", func(f *Facts) { f.Agent.Receive.Granted, f.Agent.Receive.Reason = 212992, "not permitted" }, "warning buffers", "the receive buffers have 212992 bytes", "sysctl -w net.core.rmem_max=4194304"},
		{"small buffers to come", func(f *Facts) { f.noAgent(); f.NetAdmin, f.Root = hostnet.ErrNoNetAdmin, false }, "error agent; note permission; note buffers", "", ""},
		{"a few drops", func(f *Facts) { f.Sockets[0].Drops = 3 }, "note drops", "dropped 3 datagrams", "rmem_max"},
		{"many drops", func(f *Facts) { f.Agent.Overrun = 1000 }, "warning drops", "dropped 1000 datagrams", ""},
		{"conntrack full", func(f *Facts) { f.Sysctls["net/netfilter/nf_conntrack_count"] = 65000 }, "warning conntrack", "holds 65000 of 65536", "nf_conntrack_max=131072"},

		{"no way to a host", func(f *Facts) { f.Peers[0].Way = hostnet.Way{Err: errors.New("unreachable")} }, "error peers", "no way to 192.0.2.2 (node b at 192.0.2.2): unreachable", "route"},
		{"a silent host", func(f *Facts) { f.Peers[0].Way.Silent = true }, "warning peers", "does not answer on eth0", "ping 192.0.2.2"},
		{"a silent router", func(f *Facts) { f.Peers[0].Way.Silent, f.Peers[0].Way.Next = true, addr("192.0.2.254") }, "warning peers", "the router 192.0.2.254", "ping 192.0.2.254"},
		{"a host that is gone", func(f *Facts) { f.Peers[0].Life = etcdsync.Gone }, "note peers", "has no host record any more", "uvtep subnets release 10.10.2.0/24"},
		{"a host that VXLAN does not get through to", func(f *Facts) { f.Echoes[0].Fault = "VXLAN is dropped on the way" }, "warning echo", "10.10.2.0/24 at 192.0.2.2:4789: VXLAN is dropped on the way", "uvtep probe 192.0.2.2"},
		{"strangers", func(f *Facts) { f.Agent.Unknown = 1000 }, "note peers", "1000 datagrams came from senders that are no VTEPs", "tcpdump -ni eth0 udp port 4789"},
		{"few strangers", func(f *Facts) { f.Agent.Unknown, f.Agent.Spoofed, f.Agent.Delivered = 9, 9, 0 }, "", "", ""},
		{"borrowed MAC addresses", func(f *Facts) { f.Agent.Spoofed = 1000 }, "note peers", "1000 frames bore the MAC address of another host", ""},

		{"no etcd", func(f *Facts) {
			f.Etcd = Etcd{Members: []etcdsync.Member{{Endpoint: "http://x", Err: errors.New("no answer; is etcd up?")}}, Err: errors.New("none")}
		}, "error etcd", "etcd at http://x does not serve: no answer", "is etcd up?"},
		{"no etcd where nobody said that it is", func(f *Facts) {
			f.Etcd = Etcd{Guessed: true, Members: []etcdsync.Member{{Endpoint: "http://x", Err: errors.New("no answer; is etcd up?")}}, Err: errors.New("none")}
		}, "note etcd", "etcd at http://x does not serve: no answer", "--etcd-endpoints"},
		{"one member gone", func(f *Facts) {
			f.Etcd.Members = append(f.Etcd.Members, etcdsync.Member{Endpoint: "http://x", Err: errors.New("no answer")})
		}, "warning etcd", "http://x", ""},
		{"no network", func(f *Facts) { f.Etcd.Members[0].Err = fmt.Errorf("x: %w", etcdsync.ErrNoNetwork) }, "error etcd", "no network configuration", "uvtep network init"},
		{"a bad network", func(f *Facts) { f.Etcd.Members[0].Err = fmt.Errorf("x: %w", etcdsync.ErrBadNetwork) }, "error etcd", "bad network", "etcdctl put"},
		{"a slow member", func(f *Facts) { f.Etcd.Members[0].Took = 2 * time.Second }, "note etcd", "took 2s", "disk"},
		{"two clusters", func(f *Facts) {
			f.Etcd.Members = append(f.Etcd.Members, etcdsync.Member{Endpoint: "http://x", Cluster: 8})
		}, "error etcd", "2 clusters", ""},
		{"etcd's certificate ends soon", func(f *Facts) { f.Etcd.Members[0].Ends = now.Add(time.Hour) }, "warning etcd", "runs out at 2026-01-31T13:00:00Z", "renew"},
		{"our certificate ended, towards two members", func(f *Facts) {
			f.Etcd.Members[0].Clients = now.Add(-time.Hour)
			f.Etcd.Members = append(f.Etcd.Members, f.Etcd.Members[0])
		}, "error etcd", "the client certificate ran out", "renew"},
		{"our certificate ended", func(f *Facts) { f.Etcd.Members[0].Clients = now.Add(-time.Hour) }, "error etcd", "the client certificate ran out", "renew"},
		{"a key that cannot be used", func(f *Facts) {
			f.Etcd.Records = append(f.Etcd.Records, etcdsync.SubnetRecord{Key: "10.10.9.0-24", Fault: "no JSON"})
		}, "warning etcd", "10.10.9.0-24 cannot be used: no JSON", ""},
		{"clocks that differ", func(f *Facts) { f.Etcd.Members[0].Ahead = -time.Hour }, "warning clock", "differ by 1h0m0s", "timedatectl"},

		{"several hosts kept off", func(f *Facts) {
			f.morePeers(4)
			f.Firewall = dropping(nftables.TableFamilyINet, "input", firewall.Input)
		}, "error firewall", "comes from 192.0.2.2 and 4 other hosts on", ""},
		{"three hosts kept off", func(f *Facts) {
			f.morePeers(2)
			f.Firewall = dropping(nftables.TableFamilyINet, "input", firewall.Input)
		}, "error firewall", "comes from 192.0.2.2, 192.0.2.10, 192.0.2.11 on", ""},
		{"a firewall behind routing", func(f *Facts) { f.Firewall = dropping(nftables.TableFamilyINet, "late", firewall.Postrouting) }, "error firewall", "drops what is sent to 192.0.2.2", ""},
		{"strict on the underlay, a host over IPv6", func(f *Facts) {
			f.Peers[0].VTEP, f.Peers[0].Way.Dev, f.Sysctls["net/ipv4/conf/eth0/rp_filter"] = netip.MustParseAddrPort("[2001:db8::2]:4789"), "eth1", 1
		}, "", "", ""},
		{"strict on a TAP in a bridge", func(f *Facts) {
			f.Peers[0].InnerDev, f.Sysctls["net/ipv4/conf/uvtep.1/rp_filter"], f.TAP.Bridge, f.TAP.Link.Bridge = "br0", 1, "br0", "br0"
		}, "", "", ""},
		{"a narrow route over IPv6 beside IPv4", func(f *Facts) {
			f.Peers[0].VTEP, f.Peers[0].Way.MTU = netip.MustParseAddrPort("[2001:db8::2]:4789"), 1400
		}, "", "", ""},
		{"an underlay of IPv6 alone, too narrow by its header", func(f *Facts) {
			f.Underlay.Addr, f.Underlay.Addr6 = netip.Addr{}, addr("2001:db8::1")
			f.Links[0].Addrs = append(f.Links[0].Addrs, prefix("2001:db8::1/64"))
		}, "warning mtu", "make 1520", "ip link set uvtep.1 mtu 1430"},
		{"the underlay's IPv6 address gone", func(f *Facts) { f.Underlay.Addr6 = addr("2001:db8::1") }, "error underlay", "2001:db8::1, which the tunnel starts from", "dev eth0"},
		{"another IPv6 address in etcd", func(f *Facts) { f.Etcd.Records[0].PublicIPv6 = addr("2001:db8::8") }, "error registration", "sends others to 2001:db8::8", ""},
		{"another host's record", func(f *Facts) {
			f.Etcd.Records = append(f.Etcd.Records, etcdsync.SubnetRecord{Key: "10.10.2.0-24", PublicIP: addr("192.0.2.2"), NodeID: strings.Repeat("b", 32)})
		}, "", "", ""},
		{"a host without a subnet, and without a record", func(f *Facts) { f.Etcd.Records, f.Agent.NoSubnet = nil, true }, "", "", ""},
		{"a route of another uvtep", func(f *Facts) {
			f.Routes = append(f.Routes, hostnet.SeenRoute{Route: hostnet.Route{Dst: prefix("10.10.7.0/24")}, Dev: "uvtep.2", Protocol: hostnet.RouteProtocol})
		}, "", "", ""},
		{"no IPv6 forwarding", func(f *Facts) {
			f.Network.Own = append(f.Network.Own, prefix("fd00:1::/64"))
			f.Sysctls["net/ipv6/conf/all/forwarding"] = 0
		}, "error forwarding", "net.ipv6.conf.all.forwarding is off", "sysctl -w net.ipv6.conf.all.forwarding=1"},
		{"no IPv6 forwarding, and no IPv6", func(f *Facts) { f.Sysctls["net/ipv6/conf/all/forwarding"] = 0 }, "", "", ""},
		{"a bridge that is filtered for IPv6", func(f *Facts) {
			f.TAP.Bridge, f.TAP.Link.Bridge, f.Sysctls["net/bridge/bridge-nf-call-ip6tables"] = "br0", "br0", 1
		}, "warning bridge-nf", "bridge-nf-call-ip6tables is on", ""},
		{"flannel beside it, down", func(f *Facts) {
			f.Links = append(f.Links, hostnet.SeenLink{Name: "flannel.1", Kind: "vxlan"})
		}, "", "", ""},
		{"a small send buffer", func(f *Facts) { f.Agent.Send.Granted = 1 }, "warning buffers", "the send buffers have 1 bytes and not the 2097152", "sysctl -w net.core.wmem_max=2097152"},
		{"large buffers to come", func(f *Facts) {
			f.noAgent()
			f.NetAdmin, f.Root, f.Sysctls["net/core/rmem_max"] = hostnet.ErrNoNetAdmin, false, enough
		}, "error agent; note permission", "", ""},
		{"drops told by the sockets and the agent", func(f *Facts) { f.Agent.Overrun, f.Sockets[0].Drops = 60, 50 }, "note drops", "dropped 60 datagrams", ""},
		{"one drop", func(f *Facts) { f.Sockets[0].Drops = 1 }, "note drops", "dropped 1 datagram since", ""},
		{"etcd answers, its keys do not", func(f *Facts) { f.Etcd.Err, f.Etcd.Records = errors.New("permission denied"), nil }, "warning etcd", "permission denied", "docs/etcd.md"},

		{"no tables", func(f *Facts) { f.Agent.Revision = 0 }, "error tables", "no tables", ""},
		{"stale tables", func(f *Facts) { f.Agent.Stale = "2026-01-31T11:00:00Z" }, "warning tables", "since 2026-01-31T11:00:00Z: it forwards by its tables of revision 42", "etcd"},
		{"a conflict", func(f *Facts) {
			c := etcdsync.Conflict{Kind: etcdsync.SameMAC, What: "02:00:00:00:00:07", Hosts: []string{"a", "b"}, Advice: "stop one"}
			f.Agent.Conflicts = []etcdsync.Conflict{c, c}
		}, "error conflicts", "two hosts have one MAC address: 02:00:00:00:00:07: a; b", "stop one"},
		{"a conflict, and no agent", func(f *Facts) {
			f.noAgent()
			f.Etcd.Records[0].Conflicts = []etcdsync.Conflict{{Kind: etcdsync.SameAddress, What: "192.0.2.1:4789"}}
		}, "error agent; error conflicts", "", ""},
	} {
		f := healthy()
		c.spoil(f)
		bad := slices.DeleteFunc(Examine(f), func(x Finding) bool { return x.Severity == OK })
		var got []string
		for _, x := range bad {
			got = append(got, x.Severity.String()+" "+x.Check)
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("%s: got %q, want %q: %+v", c.name, strings.Join(got, "; "), c.want, bad)
			continue
		}
		if len(bad) > 0 && (!strings.Contains(bad[0].Text, c.text) || !strings.Contains(bad[0].Fix, c.fix)) {
			t.Errorf("%s: got %+v, want %q, and the fix %q", c.name, bad[0], c.text, c.fix)
		}
	}
}

// Neither the agent nor etcd can say which hosts there are: that is not none.
func TestHostsThatNobodyTellsOfAreNotCounted(t *testing.T) {
	f := healthy()
	f.noAgent()
	f.Peers, f.Echoes, f.Etcd = nil, nil, Etcd{Err: errors.New("none")}
	for _, x := range Examine(f) {
		if x.Check == "peers" || x.Check == "echo" {
			t.Errorf("got %+v", x)
		}
	}
}

func TestEveryCheckIsExplained(t *testing.T) {
	page, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range IDs() {
		if !strings.Contains(string(page), "\n### "+id+"\n") {
			t.Errorf("docs/doctor.md has no part about %s", id)
		}
	}
}
