package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/netip"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/hostnet"
)

const (
	// configGrace is how long a host that was in the network before waits for
	// etcd to say what the network is, subnetGrace how long to confirm its
	// subnet, which it forwards without meanwhile.
	configGrace = 500 * time.Millisecond
	subnetGrace = time.Second
)

// findNetwork returns the network's configuration: etcd's, if that answers in
// time and has one that can be used, else the last good one. A host that never
// had one waits.
func (m *member) findNetwork(ctx context.Context) (etcdsync.Network, error) {
	last, known := m.lastNetwork()
	if !known {
		if err := m.writeNetwork(ctx); err != nil {
			return etcdsync.Network{}, err
		}
		n, err := m.store.WaitNetwork(ctx)
		if err == nil {
			m.keepNetwork(n)
		}
		return n, err
	}
	trial, cancel := context.WithTimeout(ctx, configGrace)
	defer cancel()
	n, err := m.store.Network(trial)
	switch {
	case err == nil:
		m.keepNetwork(n)
		return n, nil
	case ctx.Err() != nil:
		return n, ctx.Err()
	case errors.Is(err, etcdsync.ErrNoNetwork), errors.Is(err, etcdsync.ErrBadNetwork):
		m.log.Error().Err(err).Msg("going on with the last good network configuration")
	default:
		m.log.Warn().Err(err).Strs("endpoints", m.etcd.o.Endpoints).Msg("etcd does not answer; starting with the network configuration of the last run")
		m.unconfirmed = true
	}
	return last, nil
}

// keyPrefix is what the network's keys begin with.
func (m *member) keyPrefix() string {
	if m.name == "" {
		return m.etcd.o.KeyPrefix()
	}
	return m.etcd.o.KeyPrefix() + "/" + m.name
}

// lastNetwork is the configuration that was kept, if there is one that can be
// used.
func (m *member) lastNetwork() (n etcdsync.Network, known bool) {
	text, err := m.state.Network(m.keyPrefix())
	if err == nil && text == nil {
		return n, false
	}
	if err == nil {
		n, _, err = etcdsync.ParseNetwork(text)
	}
	if err != nil {
		m.log.Warn().Err(err).Msg("the network configuration of the last run cannot be used; waiting for etcd")
		return n, false
	}
	m.kept = text
	return n, true
}

// keepNetwork keeps a configuration for the next start, if it is another one.
func (m *member) keepNetwork(n etcdsync.Network) {
	text, err := n.MarshalJSON()
	if err == nil && bytes.Equal(text, m.kept) {
		return
	}
	m.kept = text // or not: then it is said once
	if err == nil {
		err = m.state.SetNetwork(m.keyPrefix(), text)
	}
	if err != nil {
		m.log.Warn().Err(err).Msg("network configuration not kept for the next start")
	}
}

// offerNetwork writes the configuration that --network asks for when etcd came
// too late at the start, or came without one.
func (m *member) offerNetwork(ctx context.Context) error {
	if !m.offered {
		if err := m.writeNetwork(ctx); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// writeNetwork writes the configuration that --network asks for, if there is
// none. It waits for etcd.
func (m *member) writeNetwork(ctx context.Context) error {
	if m.runFlags.network.network == nil {
		return nil
	}
	said := false
	for {
		created, err := m.store.InitNetwork(ctx, *m.runFlags.network.network)
		if err == nil {
			m.offered = true
			if created {
				m.log.Info().Str("cidr", m.runFlags.network.cidr).Msg("network configuration written")
			}
			return nil
		}
		if errors.Is(err, etcdsync.ErrBadNetwork) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !said {
			m.log.Warn().Err(err).Strs("endpoints", m.etcd.o.Endpoints).Msg("waiting for etcd to write the network configuration")
			said = true
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// enroll registers the host in etcd, dresses the TAP as the lease says, and
// keeps both so.
func (m *member) enroll(ctx context.Context) error {
	c := m.claim()
	r, err := m.store.Acquire(ctx, c)
	if err != nil {
		return err
	}
	m.plane.enrolled(r, &c)
	if err := m.dress(r); err != nil {
		return err
	}
	close(m.ready)
	m.log.Info().Msg("Running backend")
	return together(ctx, r.Run, m.plane.announceStations(r).Run)
}

// claim is the place in the network that the host asks for.
func (m *member) claim() etcdsync.Claim {
	home := m.trunk.where()
	c := etcdsync.Claim{
		Network: m.network, Unconfirmed: m.unconfirmed, NodeID: m.node, PublicIP: home.Public, PublicIPv6: home.Public6, MAC: m.mac, Probe: m.plane.prober.told(),
		NoSubnet: m.noSubnet, Want: m.want, Grace: subnetGrace, LeaseTTL: m.leaseTTL, LivenessTTL: m.livenessTTL,
		Resubnet: func(r *etcdsync.Registration) {
			if err := m.dress(r); err != nil {
				m.log.Error().Err(err).Msg("the new subnet could not be put in force")
			}
		},
	}
	c.Previous, c.Previous6 = m.previous()
	return c
}

// previous is the subnets to ask for again: those of the last run, else those
// that flannel held here.
func (m *member) previous() (v4, v6 netip.Prefix) {
	v4, v6, err := m.state.Subnet()
	if err != nil {
		m.log.Warn().Err(err).Msg("the subnet of the last run cannot be read; any free one will do")
	}
	if v4.IsValid() || v6.IsValid() {
		return v4, v6
	}
	if env, err := hostnet.ReadSubnetEnv(m.envPath); err == nil {
		return env.Subnet, env.IPv6Subnet
	}
	return netip.Prefix{}, netip.Prefix{}
}

// dress makes the host what the lease says: state, TAP, masquerade, and last
// the subnet file, which tells others that all is ready.
func (m *member) dress(r *etcdsync.Registration) error {
	if m.noSubnet {
		return errors.Join(m.withdrawFile(), m.plane.dress(nil))
	}
	v4, v6 := r.Subnet(), r.Subnet6()
	m.keepSubnet(v4, v6)
	errs := []error{m.plane.dress(tapAddrs(v4, v6))}
	if m.ipMasq {
		errs = append(errs, m.host.EnsureMasquerade(hostnet.Masquerade{
			TAP: m.plane.name, Network: m.network.IPv4, IPv6Network: m.network.IPv6, Subnet: v4, IPv6Subnet: v6,
		}))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return m.writeSubnetFile(r)
}

// keepSubnet keeps the subnets for the next start. A disk that takes nothing is
// no reason to stop: etcd knows them too.
func (m *member) keepSubnet(v4, v6 netip.Prefix) {
	if was4, was6, err := m.state.Subnet(); err == nil && was4 == v4 && was6 == v6 {
		return
	}
	if err := m.state.SetSubnet(v4, v6); err != nil {
		m.log.Error().Err(err).Msg("subnet not kept for the next start; see to the state directory")
	}
}

// subnetEnv is what the subnet file says.
type subnetEnv struct {
	mu      sync.Mutex
	written hostnet.SubnetEnv // guarded by mu
}

// writeSubnetFile tells docker and CNI what the host has, if the file does not
// say so already. Calls at the same time write one after the other, each what is
// so by then.
func (m *member) writeSubnetFile(r *etcdsync.Registration) error {
	m.env.mu.Lock()
	defer m.env.mu.Unlock()
	env := hostnet.SubnetEnv{
		Network: m.network.IPv4, IPv6Network: m.network.IPv6, Subnet: r.Subnet(), IPv6Subnet: r.Subnet6(),
		MTU: m.plane.fittingMTU(), IPMasq: m.ipMasq,
	}
	if env == m.env.written {
		return nil
	}
	if err := env.Write(m.envPath); err != nil {
		return err
	}
	m.env.written = env
	m.log.Info().Str("file", m.envPath).Msg("subnet file written")
	return nil
}

// withdrawFile removes the subnet file that an earlier run with a lease wrote.
func (m *member) withdrawFile() error {
	v4, v6, err := m.state.Subnet()
	if err != nil || !v4.IsValid() && !v6.IsValid() {
		return nil
	}
	if env, err := hostnet.ReadSubnetEnv(m.envPath); err != nil || env.Subnet.Masked() != v4 || env.IPv6Subnet.Masked() != v6 {
		return nil // none, or somebody else's
	}
	return os.Remove(m.envPath)
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

// follow keeps the tables in line with etcd, from those of the last run on. A
// host that has none hears of others when it has its own place. After the
// host's own addresses have changed it begins afresh: they decide which address
// of another host to send to, and that none of them is another's.
func (m *member) follow(ctx context.Context) error {
	c := etcdsync.FollowConfig{
		Network: m.network, NodeID: m.node, MAC: m.mac, Save: m.keepTables,
		MassDeleteHold: hold(m.massDeleteHold), Publish: m.publish, Doubt: new(etcdsync.Doubt), Origins: &m.plane.origins,
	}
	if c.Last = m.lastTables(); c.Last == nil {
		select {
		case <-m.ready:
		case <-ctx.Done():
			return nil
		}
	}
	for ctx.Err() == nil {
		own, moved := m.trunk.home()
		c.Own = own
		err := until(ctx, moved, func(ctx context.Context) error {
			now := c
			c.Last = nil // it is read once
			return m.store.Follow(ctx, now)
		})
		if err != nil {
			return err
		}
		c.Network, c.Last, c.Resumed = m.live, m.lastTables(), m.heard
	}
	return nil
}

// publish puts new tables in force.
func (m *member) publish(t *etcdsync.Tables) {
	m.plane.publish(t)
	m.web.changed(t)
	m.live = t.Network
	if t.StaleSince.IsZero() {
		if !m.heard {
			debug.FreeOSMemory() // reading everything left as much behind as it brought
		}
		m.heard = true
		m.keepNetwork(t.Latest)
		m.foresee(t.Latest)
	}
}

// lastTables are the tables that were kept, nil when there are none.
func (m *member) lastTables() io.ReadSeekCloser {
	if m.unsaved != nil {
		var b bytes.Buffer
		if _, err := m.unsaved.WriteTo(&b); err == nil {
			return inMemory{bytes.NewReader(b.Bytes())}
		}
	}
	f, err := m.state.Tables(m.network.VNI)
	if err != nil {
		m.log.Warn().Err(err).Msg("tables of the last run cannot be read; waiting for etcd")
	}
	if f == nil {
		return nil
	}
	return f
}

// inMemory are tables that are in no file.
type inMemory struct{ *bytes.Reader }

// Close does nothing.
func (inMemory) Close() error { return nil }

// keepTables keeps what the next start begins with, and says once when that
// does not work.
func (m *member) keepTables(t io.WriterTo) {
	err := m.state.SetTables(m.network.VNI, t)
	if err != nil && !m.notKept {
		m.log.Error().Err(err).Msg("tables not kept for the next start, which will not forward without etcd; see to the state directory")
	}
	m.notKept, m.unsaved = err != nil, nil
	if err != nil {
		m.unsaved = t // those on disk are older
	}
}

// hold turns the flag's "0: not at all" into Follow's negative.
func hold(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
