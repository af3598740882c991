package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/etcdsync"
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
			a := &agent{runFlags: r, state: state.Dir(r.stateDir), ready: make(chan struct{})}
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

	host        *hostnet.Host
	carrier     hostnet.Underlay // the interface that carries the tunnel; see base
	store       *etcdsync.Store
	network     etcdsync.Network // that the agent runs with
	kept        []byte           // the configuration on disk
	notKept     bool             // tables cannot be kept on disk, and that was said
	unsaved     []byte           // those tables
	live        etcdsync.Network // network with what of it has changed live
	unconfirmed bool             // network is that of the last run: etcd did not tell in time
	offered     bool             // etcd has the configuration of --network, or another
	ready       chan struct{}    // closed when the host has its place in the network
	mac         ether.Addr
	sockets     *underlay.Underlay
	plane       *plane

	fileMu  sync.Mutex
	written hostnet.SubnetEnv // what the subnet file says; guarded by fileMu
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
	if a.carrier, err = a.host.AwaitUnderlay(ctx, a.underlay); err != nil {
		return err
	}
	if err := a.state.Tidy(); err != nil {
		a.log.Warn().Err(err).Msg("the state directory cannot be tidied")
	}
	return a.withEtcd(ctx, a.joinAny)
}

// joinAny joins the network, and another one when etcd turns out to have that.
func (a *agent) joinAny(ctx context.Context) error {
	for {
		err := a.join(ctx)
		if !errors.Is(err, etcdsync.ErrOutdated) {
			return err
		}
		a.log.Warn().Err(err).Msg("etcd has another network than in the last run; joining that one")
		a.ready, a.unconfirmed, a.unsaved = make(chan struct{}), false, nil
	}
}

// join connects with etcd, takes a place in the network and works.
func (a *agent) join(ctx context.Context) (err error) {
	a.etcd.o.Log = a.log
	if a.store, err = etcdsync.Dial(a.etcd.o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.store.Close()) }()
	if a.network, err = a.findNetwork(ctx); err != nil {
		return err
	}
	a.live = a.network
	a.lookAgain()
	if err := a.prepare(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.sockets.Close()) }()
	if err := a.plane.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.plane.close()) }()
	server, err := a.listen()
	if err != nil {
		return err
	}
	return together(ctx, server.Run, a.plane.run, a.enroll, a.follow, a.offerNetwork)
}

// lookAgain looks at the underlay once more: the wait for a network may have been
// a long one. What cannot be found now is as it was.
func (a *agent) lookAgain() {
	o := a.underlay
	o.Was = a.carrier
	u, err := a.host.FindUnderlay(o)
	if err != nil {
		a.log.Warn().Err(err).Msg("the underlay cannot be used now")
		return
	}
	a.carrier = u
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
	if err := a.checkRivals(); err != nil {
		return err
	}
	a.sockets, err = underlay.Open(underlay.Config{
		Addr4: a.carrier.Addr, Addr6: a.carrier.Addr6, Port: a.network.Port, Lanes: a.queues,
		SourcePorts: a.sourcePorts, SourceMin: a.sourceMin, SourceMax: a.sourceMax,
		TTL: a.outerTTL, NoChecksum: a.udpCsum == "off", RecvBuffer: recvBuffer, SendBuffer: sendBuffer,
		Degraded: func(feature string, why error) {
			a.log.Warn().Str("feature", feature).Err(why).Msg("kernel feature given up")
		},
		TooBig: func(vtep netip.Addr) { a.plane.doubted(vtep) },
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

// checkRivals looks for other tunnels' interfaces that are in the way. One that
// holds the port ends the start; routes of one are named.
func (a *agent) checkRivals() error {
	rivals, err := a.host.Rivals(a.network.Port, a.network.IPv4, a.network.IPv6)
	if err != nil {
		return err
	}
	for _, r := range rivals {
		if r.HoldsPort {
			return fmt.Errorf("UDP port %d is taken by %s; if flannel has been stopped for good on this host, remove it with `ip link delete %s`", a.network.Port, r, r.Name)
		}
		a.log.Warn().Str("interface", r.Name).Msgf("%s: what goes there does not come to uvtep; remove it with `ip link delete %s` if it is a leftover", r, r.Name)
	}
	return nil
}

// overlayMTU is the TAP's MTU: what was asked for, else what the tunnel leaves.
func (a *agent) overlayMTU() (int, error) {
	if a.mtu != 0 {
		return a.mtu, nil
	}
	return hostnet.MTU(a.carrier.MTU, a.network.MTU, !a.carrier.Addr.IsValid())
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
