package main

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/doctor"
	"github.com/uvtep/uvtep/internal/hostnet"
	"github.com/uvtep/uvtep/internal/state"
	vswitch "github.com/uvtep/uvtep/switch"
)

// maxWays is how many hosts the ways to are looked at.
const maxWays = 300

// examiner gathers the facts about this host.
type examiner struct {
	local *localFlags
	host  *hostnet.Host
	self  *selfView // nil: the agent did not tell
	f     doctor.Facts
}

// gather looks at everything that it can look at.
func (e *examiner) gather(ctx context.Context) (*doctor.Facts, error) {
	e.f.Root, e.f.Now, e.f.Sysctls = os.Geteuid() == 0, time.Now(), map[string]int{}
	if err := e.askAgent(ctx); err != nil {
		return nil, err
	}
	o := e.local.etcd.o
	if e.self != nil && !e.local.etcdGiven {
		o = e.self.Etcd.options()
	}
	o.DialTimeout = sidePatience
	e.f.Etcd.Guessed = !e.local.etcdGiven && (e.f.Agent.State == doctor.Denied || e.f.Agent.State == doctor.Silent)
	e.f.Etcd.Members = etcdsync.Examine(ctx, o)
	e.readNetwork(ctx, o)
	e.readRecords(ctx, o)
	e.lookAtHost()
	e.lookAtPeers(ctx)
	e.askForEchoes(ctx)
	e.lookAtPrograms()
	return &e.f, nil
}

// askAgent asks the agent what it knows of the network that is meant. That it has
// several, and none was named, is an error.
func (e *examiner) askAgent(ctx context.Context) error {
	a := &e.f.Agent
	a.Socket, a.NodeID = e.local.socket, e.local.knownNode()
	a.RanBefore = state.Dir(e.local.stateDir).Known()
	name := e.local.etcd.name
	self, err := askFor(ctx, e.local.socket, selfPath, name, func(v *selfView) string { return v.Name })
	var link *linkView
	if err == nil {
		link, err = askFor(ctx, e.local.socket, linkPath, name, func(v *linkView) string { return v.Network })
	}
	var stats *statsView
	if err == nil {
		stats, err = askFor(ctx, e.local.socket, statsPath, name, func(v *statsView) string { return v.Network })
	}
	switch {
	case err == nil && self.elsewhere() != nil:
		return self.elsewhere()
	case err == nil:
		a.State, e.self = doctor.Answers, self
		e.takeViews(link, stats)
	case errors.Is(err, errWhich), errors.Is(err, errNoName):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		a.State = doctor.NoAgent
	case errors.Is(err, fs.ErrPermission):
		a.State = doctor.Denied
	default:
		a.State, a.Err = doctor.Silent, err
	}
	return nil
}

// askFor asks an agent for what it tells of one network.
func askFor[T any](ctx context.Context, socket, path, network string, name func(*T) string) (*T, error) {
	var all each[T]
	if err := askAgent(ctx, socket, path, &all); err != nil {
		return nil, err
	}
	return pick(all, name, network)
}

// takeViews takes in what the agent told.
func (e *examiner) takeViews(link *linkView, stats *statsView) {
	a, self := &e.f.Agent, e.self
	a.NodeID, a.Revision, a.Stale, a.NoSubnet = self.NodeID, self.Revision, self.Stale, self.NoSubnet
	a.Public = slices.DeleteFunc([]netip.Addr{self.Public, self.Public6}, func(x netip.Addr) bool { return !x.IsValid() })
	a.Offload, a.Features = link.Offload.Wish, map[string]doctor.Feature{}
	for name, x := range link.Features {
		a.Features[name] = doctor.Feature(x)
	}
	a.Receive, a.Send = doctor.Buffer(link.RecvBuffer), doctor.Buffer(link.SendBuffer)
	frames := func(v vswitch.Verdict) uint64 { return stats.Verdicts[v.String()].Frames }
	a.Delivered, a.Unknown, a.Spoofed = frames(vswitch.Deliver), frames(vswitch.DropUnknownVTEP), frames(vswitch.DropSpoofed)
	a.Overrun, a.Conflicts = stats.Underlay.Overrun, stats.Conflicts
	e.f.TAP.Name, e.f.TAP.MTU, e.f.TAP.Bridge = self.TAP, self.MTU, self.Bridge
	e.f.Underlay = hostnet.Underlay{
		Name: self.Underlay, MTU: self.UnderlayMTU, Addr: self.Local, Addr6: self.Local6, Public: self.Public, Public6: self.Public6,
	}
}

// readNetwork finds the network: the agent's, etcd's, that of the last run, else
// the usual one.
func (e *examiner) readNetwork(ctx context.Context, o etcdsync.Options) {
	n, known := e.findNetwork(ctx, o)
	x := &e.f.Network
	if x.Known, x.VNI, x.Port = known, n.VNI, n.Port; !known {
		x.VNI, x.Port = 1, encap.Port
	}
	for _, p := range []netip.Prefix{n.IPv4, n.IPv6} {
		if p.IsValid() {
			x.Overlay = append(x.Overlay, p)
		}
	}
	if e.f.TAP.Name == "" {
		e.f.TAP.Name = tapName(e.local.tap, x.VNI)
	}
}

func (e *examiner) findNetwork(ctx context.Context, o etcdsync.Options) (etcdsync.Network, bool) {
	if e.self != nil {
		n, _, err := etcdsync.ParseNetwork(e.self.Network)
		return n, err == nil
	}
	if e.etcdServes() {
		if s, err := etcdsync.Dial(o); err == nil {
			defer func() { _ = s.Close() }()
			if n, err := s.Network(ctx); err == nil {
				return n, true
			}
		}
	}
	text, err := state.Dir(e.local.stateDir).Network(o.KeyPrefix())
	if err != nil || text == nil {
		return etcdsync.Network{}, false
	}
	n, _, err := etcdsync.ParseNetwork(text)
	return n, err == nil
}

// etcdServes reports whether an endpoint gave an answer.
func (e *examiner) etcdServes() bool {
	return slices.ContainsFunc(e.f.Etcd.Members, func(m etcdsync.Member) bool {
		return m.Err == nil || errors.Is(m.Err, etcdsync.ErrNoNetwork) || errors.Is(m.Err, etcdsync.ErrBadNetwork)
	})
}

var errNoMember = errors.New("no endpoint serves")

// readRecords lists who holds which subnet, and finds our own.
func (e *examiner) readRecords(ctx context.Context, o etcdsync.Options) {
	x := &e.f.Etcd
	if x.Err = errNoMember; e.etcdServes() {
		var s *etcdsync.Store
		if s, x.Err = etcdsync.Dial(o); x.Err == nil {
			ctx, cancel := context.WithTimeout(ctx, etcdPatience)
			defer cancel()
			x.Records, x.Err = s.Holders(ctx)
			_ = s.Close()
		}
	}
	own := &e.f.Network.Own
	add := func(ps ...netip.Prefix) {
		for _, p := range ps {
			if p.IsValid() && !slices.Contains(*own, p) {
				*own = append(*own, p)
			}
		}
	}
	if e.self != nil {
		add(e.self.Subnet, e.self.Subnet6)
		return
	}
	for i := range x.Records {
		if r := &x.Records[i]; r.NodeID != "" && r.NodeID == e.f.Agent.NodeID {
			add(r.Subnet, r.Subnet6)
		}
	}
	if len(*own) == 0 {
		v4, v6, _ := state.Dir(e.local.stateDir).Subnet()
		add(v4, v6)
	}
}

// lookAtHost looks at the kernel's side.
func (e *examiner) lookAtHost() {
	f, h := &e.f, e.host
	f.TUN, f.NetAdmin = preflight(f.Agent.State == doctor.Answers)
	if e.self == nil {
		f.Underlay, f.UnderlayErr = h.FindUnderlay(hostnet.UnderlayOptions{})
	}
	if l, err := h.FindLink(f.TAP.Name); err == nil {
		f.TAP.Link = &l
	}
	f.Agent.Holders = h.TAPHolders(f.TAP.Name)
	f.Links, _ = h.Links() // what cannot be listed is not found fault with
	f.Routes, _ = h.RoutesInto(f.TAP.Name, f.Network.Overlay...)
	f.Rivals, _ = h.Rivals(f.Network.Port, f.Network.Overlay...)
	f.Sockets, _ = h.UDPSockets(f.Network.Port)
	f.Firewall, f.FirewallErr = h.Ruleset()
	f.Checksums, f.ChecksumsOK = h.ChecksumsOut(f.Underlay.Name)
	for _, name := range []string{
		"net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding", "net/core/rmem_max", "net/core/wmem_max",
		"net/bridge/bridge-nf-call-iptables", "net/bridge/bridge-nf-call-ip6tables",
		"net/netfilter/nf_conntrack_count", "net/netfilter/nf_conntrack_max",
		"net/ipv4/conf/all/rp_filter", "net/ipv4/conf/" + f.Underlay.Name + "/rp_filter", "net/ipv4/conf/" + f.TAP.Name + "/rp_filter",
	} {
		if v, known := h.Sysctl(name); known {
			f.Sysctls[name] = v
		}
	}
	file := "/run/flannel/subnet.env"
	if e.self != nil {
		file = e.self.SubnetFile
	}
	f.SubnetFile, f.SubnetFileErr = hostnet.ReadSubnetEnv(file)
}

// preflight tells the two faults of hostnet.Preflight apart. Where the driver can
// be opened and no agent has a TAP already, one is tried.
func preflight(running bool) (tun, admin error) {
	err := hostnet.Preflight("")
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range all.Unwrap() {
			if errors.Is(one, hostnet.ErrNoTUN) {
				tun = one
			} else {
				admin = one
			}
		}
	}
	if tun == nil && admin == nil && !running {
		tun = hostnet.TryTAP()
	}
	return tun, admin
}

// lookAtPeers looks at the ways to other hosts.
func (e *examiner) lookAtPeers(ctx context.Context) {
	for i := range e.f.Etcd.Records {
		r := &e.f.Etcd.Records[i]
		if r.Fault != "" || r.BackendType != "vxlan" || r.NodeID != "" && r.NodeID == e.f.Agent.NodeID {
			continue
		}
		p := doctor.Peer{Name: r.Holder(), Life: r.Life}
		for _, s := range []netip.Prefix{r.Subnet, r.Subnet6} {
			if s.IsValid() {
				p.Subnets = append(p.Subnets, s)
			}
		}
		to := r.PublicIP
		if !to.IsValid() || r.PublicIPv6.IsValid() && !e.f.Underlay.Addr.IsValid() {
			to = r.PublicIPv6
		}
		port := r.Port
		if port == 0 {
			port = e.f.Network.Port
		}
		p.VTEP = netip.AddrPortFrom(to, port)
		e.f.Peers = append(e.f.Peers, p)
	}
	if len(e.f.Peers) == 0 && e.self != nil {
		e.peersOfAgent(ctx)
	}
	for i := range e.f.Peers {
		if p := &e.f.Peers[i]; i < maxWays {
			p.Way = e.host.WayTo(p.VTEP.Addr())
			if e.self != nil && !e.self.NoSubnet && len(p.Subnets) > 0 && p.Subnets[0].Addr().Is4() {
				p.InnerDev = e.host.WayTo(p.Subnets[0].Addr()).Dev
			}
		}
	}
}

// peersOfAgent takes the other hosts from the agent's tables, when etcd is away.
func (e *examiner) peersOfAgent(ctx context.Context) {
	v, err := askFor(ctx, e.local.socket, heldPath, e.local.etcd.name, func(v *heldView) string { return v.Name })
	if err != nil {
		return
	}
	for _, text := range v.VTEPs {
		if at, err := netip.ParseAddrPort(text); err == nil {
			e.f.Peers = append(e.f.Peers, doctor.Peer{Name: "VTEP " + text, VTEP: at})
		}
	}
}

// lookAtPrograms finds the programs that manage interfaces, and their files.
func (e *examiner) lookAtPrograms() {
	e.f.Programs = e.host.Processes(doctor.Managers()...)
	for _, pattern := range doctor.ManagerFiles() {
		paths, _ := filepath.Glob(pattern)
		for _, p := range paths {
			if b, err := os.ReadFile(p); err == nil {
				e.f.Files = append(e.f.Files, doctor.File{Path: p, Text: string(b)})
			}
		}
	}
}
