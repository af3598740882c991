package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/hostnet"
	"github.com/uvtep/uvtep/internal/state"
	vswitch "github.com/uvtep/uvtep/switch"
)

// member is the host's part in one network.
type member struct {
	*agent
	name    string // "": the network is the only one, and its keys lie directly under the prefix
	log     zerolog.Logger
	state   state.Dir       // of the network; the host's own is the agent's
	store   *etcdsync.Store // at the network's keys
	envPath string          // of the subnet file

	network     etcdsync.Network // that the host works by
	kept        []byte           // the configuration on disk
	notKept     bool             // tables cannot be kept on disk, and that was said
	unsaved     io.WriterTo      // those tables
	live        etcdsync.Network // network with what of it has changed live
	heard       bool             // etcd was, and the tables are of this run
	unconfirmed bool             // network is that of the last run: etcd did not tell in time
	offered     bool             // etcd has the configuration of --network, or another
	ready       chan struct{}    // closed when the host has its place in the network
	mac         ether.Addr
	plane       *plane

	env subnetEnv
	own
	claims
}

func newMember(a *agent, name string) *member {
	m := &member{agent: a, name: name, log: a.log, state: a.state, envPath: a.subnetFile, own: a.owns[name]}
	if name != "" {
		m.log = a.log.With().Str("network", name).Logger()
		m.state, m.envPath = a.state.Of(name), envPath(a.subnetFile, name)
	}
	return m
}

// envPath is the subnet file of a network that has a name: beside that of one that
// has none, as flannel had it.
func envPath(subnetFile, name string) string {
	return filepath.Join(filepath.Dir(subnetFile), name+".env")
}

// joinAgain is how long a network that could not be joined is let be, while there
// are others.
const joinAgain = 5 * time.Second

// run joins the network, and another one when etcd turns out to have that, and
// works until ctx ends. What ends it is the end of the agent when there is no other
// network.
func (m *member) run(ctx context.Context) error {
	said := ""
	for {
		m.ready = make(chan struct{})
		err := m.join(ctx)
		if errors.Is(err, etcdsync.ErrOutdated) {
			m.log.Warn().Err(err).Msg("etcd has another network than in the last run; joining that one")
			m.unconfirmed, m.unsaved, m.heard = false, nil, false
			continue
		}
		if ctx.Err() != nil || len(m.members) == 1 || errors.As(err, new(fatal)) {
			return err
		}
		if text := err.Error(); text != said {
			said = text
			m.log.Error().Err(err).Dur("again_every", joinAgain).Msg("the network cannot be joined; this host's other networks go on")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(joinAgain):
		}
	}
}

// join takes a place in the network and works.
func (m *member) join(ctx context.Context) (err error) {
	if m.network, err = m.findNetwork(ctx); err != nil {
		return err
	}
	m.live = m.network
	if err := m.settle(); err != nil {
		return err
	}
	defer m.unsettle()
	defer m.trunk.forget(m)
	m.leaveFormer()
	if err := m.prepare(); err != nil {
		return err
	}
	if err := m.plane.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.plane.close()) }()
	defer m.left(m.plane)
	if err := m.joined(m.plane); err != nil {
		return err
	}
	return together(ctx, m.plane.run, m.enroll, m.follow, m.offerNetwork)
}

// prepare settles what needs no lease: the MAC, the MTU, the sockets.
func (m *member) prepare() (err error) {
	if m.mac = m.hwaddr; m.mac.IsZero() {
		if m.mac, err = m.state.MAC(m.node, m.network.VNI); m.mac.IsZero() {
			return err
		}
		if err != nil {
			m.log.Warn().Err(err).Msg("MAC address not kept; the next start derives the same one")
		}
	}
	m.trunk.lookAgain()
	mtu, err := m.overlayMTU(m.trunk.where())
	if err != nil {
		return usageError{err}
	}
	m.log.Info().Msgf("MTU: %d", mtu)
	m.log.Info().Msgf("VXLan HardwareAddr: %s", m.mac)
	if err := m.checkRivals(); err != nil {
		return err
	}
	if err := m.trunk.open(m); err != nil {
		return err
	}
	if m.bridge != "" && !m.noSubnet {
		m.log.Warn().Str("bridge", m.bridge).Msg("a bridge takes every frame from the TAP, so this host itself has no overlay address that works; --no-subnet says that it needs none")
	}
	m.plane = newPlane(m, mtu)
	return nil
}

// checkRivals looks for other tunnels' interfaces that are in the way. One that
// holds the port ends the start; routes of one are named.
func (m *member) checkRivals() error {
	rivals, err := m.host.Rivals(m.network.Port, m.network.IPv4, m.network.IPv6)
	if err != nil {
		return err
	}
	for _, r := range rivals {
		if r.HoldsPort {
			return m.trunk.shut(fmt.Errorf("UDP port %d is taken by %s; if flannel has been stopped for good on this host, remove it with `ip link delete %s`", m.network.Port, r, r.Name))
		}
		m.log.Warn().Str("interface", r.Name).Msgf("%s: what goes there does not come to uvtep; remove it with `ip link delete %s` if it is a leftover", r, r.Name)
	}
	return nil
}

// overlayMTU is the TAP's MTU: what was asked for, else what the tunnel leaves of
// the underlay's.
func (m *member) overlayMTU(u hostnet.Underlay) (int, error) {
	if m.mtu != 0 {
		return m.mtu, nil
	}
	return hostnet.MTU(u.MTU, m.network.MTU, !u.Addr.IsValid())
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
