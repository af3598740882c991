package main

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/etcdsync/embedded"
	"github.com/uvtep/uvtep/internal/admin"
	"github.com/uvtep/uvtep/internal/hostnet"
	"github.com/uvtep/uvtep/internal/state"
	vswitch "github.com/uvtep/uvtep/switch"
)

// logOutput is where the agent logs.
var logOutput = os.Stderr

const (
	// recvBuffer and sendBuffer are the socket buffers asked for, in bytes.
	recvBuffer = 4 << 20
	sendBuffer = 2 << 20
)

func newRun() *cobra.Command {
	r := new(runFlags)
	c := &cobra.Command{
		Use:   "run",
		Short: "The agent of one host: joins the network and switches frames",
		Long: "Joins the network described in etcd, leases a subnet, fills its tables from etcd and\n" +
			"switches frames between a TAP and VXLAN over UDP. Runs in the foreground, logs to\n" +
			"stderr. SIGTERM stops it; TAP, routes and leases stay, so that a restart finds them.\n\n" +
			"Every flag has an environment twin: UVTEP_ and its name in upper case with _ for -.",
		Example: "  uvtep run --embedded-etcd --embedded-etcd-listen http://192.0.2.1:2379 --network 10.10.0.0/16\n" +
			"  uvtep run --etcd-endpoints http://192.0.2.1:2379",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.validate(); err != nil {
				return usageError{err}
			}
			if r.embedded && !cmd.Flags().Changed("etcd-endpoints") {
				r.etcd.o.Endpoints = nil
			}
			a := &agent{runFlags: r, state: state.Dir(r.stateDir)}
			err := a.run(cmd.Context())
			if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
				return nil // asked to stop while it was starting
			}
			if errors.Is(err, etcdsync.ErrBadNetwork) || errors.Is(err, etcdsync.ErrBadClaim) || errors.Is(err, etcdsync.ErrBadOptions) {
				return usageError{err}
			}
			return err
		},
	}
	r.register(c.Flags())
	return c
}

// agent is one host's part in a network.
type agent struct {
	*runFlags
	state state.Dir
	node  string

	host    *hostnet.Host
	carrier hostnet.Underlay // the interface that carries the tunnel
	store   *etcdsync.Store
	network etcdsync.Network
	mac     ether.Addr
	sockets *underlay.Underlay
	reg     *etcdsync.Registration
	plane   *plane
}

// run joins the network and works until ctx ends.
func (a *agent) run(ctx context.Context) (err error) {
	a.log.Info().Str("version", version).Str("commit", commit).Msg("uvtep starts")
	if err := hostnet.Preflight(hostnet.TUNPath); err != nil {
		return err
	}
	if a.node, err = a.state.NodeID(); err != nil {
		return err
	}
	if a.host, err = hostnet.Open(hostnet.Config{Log: a.log}); err != nil {
		return err
	}
	defer a.host.Close()
	if a.carrier, err = a.host.FindUnderlay(a.underlay); err != nil {
		return err
	}
	server, err := a.startEtcd(ctx)
	if err != nil {
		return err
	}
	if server != nil {
		defer func() { err = errors.Join(err, server.Close()) }()
		a.watchServer(ctx, server)
	}
	return a.join(ctx)
}

// startEtcd runs the embedded etcd, if there is to be one.
func (a *agent) startEtcd(ctx context.Context) (*embedded.Server, error) {
	if !a.embedded {
		return nil, nil
	}
	if u, err := url.Parse(a.embeddedListen); err == nil && u.Scheme == "http" {
		if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !ip.IsLoopback() {
			a.log.Warn().Str("listen", a.embeddedListen).Msg("the embedded etcd serves plain HTTP beyond loopback: whoever reaches it rules the network")
		}
	}
	dir := a.embeddedDir
	if dir == "" {
		dir = filepath.Join(a.stateDir, "etcd")
	}
	server, err := embedded.Start(ctx, embedded.Config{Listen: a.embeddedListen, Dir: dir, Log: a.log})
	if err != nil {
		return nil, err
	}
	if len(a.etcd.o.Endpoints) == 0 {
		a.etcd.o.Endpoints = []string{server.Endpoint()}
	}
	a.log.Info().Str("listen", a.embeddedListen).Msg("embedded etcd serves")
	return server, nil
}

// watchServer reports when the embedded etcd stops by itself. Forwarding goes on.
func (a *agent) watchServer(ctx context.Context, s *embedded.Server) {
	go func() {
		select {
		case err := <-s.Err():
			a.log.Error().Err(err).Msg("the embedded etcd stopped; restart the agent to bring it back")
		case <-ctx.Done():
		}
	}()
}

// join connects with etcd, takes a place in the network and works.
func (a *agent) join(ctx context.Context) (err error) {
	a.etcd.o.Log = a.log
	if a.store, err = etcdsync.Dial(a.etcd.o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.store.Close()) }()
	if err := a.writeNetwork(ctx); err != nil {
		return err
	}
	if a.network, err = a.store.WaitNetwork(ctx); err != nil {
		return err
	}
	if err := a.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.sockets.Close()) }()
	if err := a.plane.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.plane.close()) }()
	server, err := admin.Listen(a.adminSocket, admin.Views{statsPath: a.plane.stats, linkPath: a.plane.view}, admin.Changes{
		offloadPath: admin.Decoded(a.plane.setOffload),
	})
	if err != nil {
		return err
	}
	if err := a.lease(ctx); err != nil {
		return errors.Join(err, server.Close())
	}
	a.log.Info().Msg("Running backend")
	return together(ctx, server.Run, a.work)
}

// writeNetwork writes the configuration that --network asks for, if there is
// none. It waits for etcd.
func (a *agent) writeNetwork(ctx context.Context) error {
	if a.runFlags.network.network == nil {
		return nil
	}
	said := false
	for {
		created, err := a.store.InitNetwork(ctx, *a.runFlags.network.network)
		if err == nil {
			if created {
				a.log.Info().Str("network", a.runFlags.network.cidr).Msg("network configuration written")
			}
			return nil
		}
		if errors.Is(err, etcdsync.ErrBadNetwork) {
			return err
		}
		if !said {
			a.log.Warn().Err(err).Strs("endpoints", a.etcd.o.Endpoints).Msg("waiting for etcd to write the network configuration")
			said = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// prepare settles what needs no lease: the MAC, the MTU, the sockets.
func (a *agent) prepare() (err error) {
	if a.mac = a.hwaddr; a.mac.IsZero() {
		if a.mac, err = a.state.MAC(a.network.VNI); err != nil {
			return err
		}
	}
	mtu, err := a.overlayMTU()
	if err != nil {
		return usageError{err}
	}
	a.log.Info().Msgf("MTU: %d", mtu)
	a.log.Info().Msgf("VXLan HardwareAddr: %s", a.mac)
	a.sockets, err = underlay.Open(underlay.Config{
		Addr4: a.carrier.Addr, Addr6: a.carrier.Addr6, Port: a.network.Port, Lanes: a.queues,
		SourcePorts: a.sourcePorts, SourceMin: a.sourceMin, SourceMax: a.sourceMax,
		TTL: a.ttl, NoChecksum: a.udpCsum == "off", RecvBuffer: recvBuffer, SendBuffer: sendBuffer,
		Degraded: func(feature string, why error) {
			a.log.Warn().Str("feature", feature).Err(why).Msg("kernel feature given up")
		},
	})
	if err != nil {
		return err
	}
	c := a.sockets.Capabilities()
	a.log.Info().Bool("udp_segment", c.UDPSegment).Bool("udp_gro", c.UDPGRO).Bool("mmsg", c.Mmsg).
		Int("recv_buffer", c.RecvBuffer).Int("send_buffer", c.SendBuffer).Interface("why_not", c.Reason).Msg("underlay opened")
	if n := len(a.sockets.SourcePorts(!a.carrier.Addr.IsValid())); n < a.sourcePorts {
		a.log.Warn().Int("ports", n).Int("wanted", a.sourcePorts).Msg("fewer source ports are free than asked for")
	}
	if a.bridge != "" && !a.noSubnet {
		a.log.Warn().Str("bridge", a.bridge).Msg("a bridge takes every frame from the TAP, so this host itself has no overlay address that works; --no-subnet says that it needs none")
	}
	a.plane = newPlane(a, mtu)
	return nil
}

// overlayMTU is the TAP's MTU: what was asked for, else what the tunnel leaves.
func (a *agent) overlayMTU() (int, error) {
	if a.mtu != 0 {
		return a.mtu, nil
	}
	return hostnet.MTU(a.carrier.MTU, a.network.MTU, !a.carrier.Addr.IsValid())
}

// lease registers the host in etcd and dresses the TAP as the lease says.
func (a *agent) lease(ctx context.Context) error {
	c := etcdsync.Claim{
		Network: a.network, NodeID: a.node, PublicIP: a.carrier.Public, PublicIPv6: a.carrier.Public6, MAC: a.mac,
		NoSubnet: a.noSubnet, Want: a.want, LeaseTTL: a.leaseTTL, LivenessTTL: a.livenessTTL,
		Resubnet: func(r *etcdsync.Registration) {
			if err := a.dress(r); err != nil {
				a.log.Error().Err(err).Msg("the new subnet could not be put in force")
			}
		},
	}
	c.Previous, c.Previous6 = a.previous()
	var err error
	if a.reg, err = a.store.Acquire(ctx, c); err != nil {
		return err
	}
	return a.dress(a.reg)
}

// previous is the subnets to ask for again: those of the last run, else those
// that flannel held here.
func (a *agent) previous() (v4, v6 netip.Prefix) {
	v4, v6, err := a.state.Subnet()
	if err != nil {
		a.log.Warn().Err(err).Msg("the subnet of the last run cannot be read; any free one will do")
	}
	if v4.IsValid() || v6.IsValid() {
		return v4, v6
	}
	if env, err := hostnet.ReadSubnetEnv(a.subnetFile); err == nil {
		return env.Subnet, env.IPv6Subnet
	}
	return netip.Prefix{}, netip.Prefix{}
}

// dress makes the host what the lease says: state, TAP, masquerade, and last
// the subnet file, which tells others that all is ready.
func (a *agent) dress(r *etcdsync.Registration) error {
	if a.noSubnet {
		return errors.Join(a.withdrawFile(), a.plane.dress(nil))
	}
	v4, v6 := r.Subnet(), r.Subnet6()
	errs := []error{a.state.SetSubnet(v4, v6), a.plane.dress(tapAddrs(v4, v6))}
	if a.ipMasq {
		errs = append(errs, a.host.EnsureMasquerade(hostnet.Masquerade{
			TAP: a.plane.name, Network: a.network.IPv4, IPv6Network: a.network.IPv6, Subnet: v4, IPv6Subnet: v6,
		}))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	env := hostnet.SubnetEnv{Network: a.network.IPv4, IPv6Network: a.network.IPv6, Subnet: v4, IPv6Subnet: v6, MTU: a.plane.mtu, IPMasq: a.ipMasq}
	if err := env.Write(a.subnetFile); err != nil {
		return err
	}
	a.log.Info().Str("file", a.subnetFile).Msg("subnet file written")
	return nil
}

// withdrawFile removes the subnet file that an earlier run with a lease wrote.
func (a *agent) withdrawFile() error {
	v4, v6, err := a.state.Subnet()
	if err != nil || !v4.IsValid() && !v6.IsValid() {
		return nil
	}
	if env, err := hostnet.ReadSubnetEnv(a.subnetFile); err != nil || env.Subnet.Masked() != v4 || env.IPv6Subnet.Masked() != v6 {
		return nil // none, or somebody else's
	}
	return os.Remove(a.subnetFile)
}

// tapAddrs are the addresses on the TAP: the first of each subnet, alone.
func tapAddrs(subnets ...netip.Prefix) []netip.Prefix {
	var out []netip.Prefix
	for _, p := range subnets {
		if p.IsValid() {
			out = append(out, netip.PrefixFrom(p.Addr(), p.Addr().BitLen()))
		}
	}
	return out
}

// work runs everything that runs for as long as the agent does; the first that
// fails ends the others.
func (a *agent) work(ctx context.Context) error {
	return together(ctx,
		a.plane.run,
		a.reg.Run,
		func(ctx context.Context) error {
			return a.store.Follow(ctx, etcdsync.FollowConfig{
				Network: a.network, NodeID: a.node, MAC: a.mac, Own: a.ownAddrs(),
				MassDeleteHold: hold(a.massDeleteHold), Publish: a.plane.publish,
			})
		},
	)
}

// hold turns the flag's "0: not at all" into Follow's negative.
func hold(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

func (a *agent) ownAddrs() []netip.Addr {
	var out []netip.Addr
	for _, ip := range []netip.Addr{a.carrier.Addr, a.carrier.Addr6, a.carrier.Public, a.carrier.Public6} {
		if ip.IsValid() {
			out = append(out, ip)
		}
	}
	return out
}

// together runs all of fs until ctx ends or one fails, waits for all, and
// returns what failed first.
func together(ctx context.Context, fs ...func(context.Context) error) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	done := make(chan error)
	for _, f := range fs {
		go func() {
			err := f(ctx)
			fail(err)
			done <- err
		}()
	}
	var first error
	for range fs {
		if err := <-done; err != nil && first == nil && !errors.Is(err, context.Canceled) {
			first = err
		}
	}
	return first
}

// policy is what the network's configuration leaves to choose, for the switch.
func policy(n etcdsync.Network) vswitch.Policy {
	return vswitch.Policy{
		Flood:             n.Flood,
		PassTags:          n.InnerVLAN == etcdsync.InnerVLANPass,
		StrictReserved:    n.StrictReserved,
		AcceptUnknownVTEP: n.UnknownVTEP == etcdsync.UnknownVTEPAccept,
	}
}

func tapName(name string, vni encap.VNI) string {
	if name != "" {
		return name
	}
	return "uvtep." + vni.String()
}
