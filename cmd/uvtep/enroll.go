package main

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
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
func (a *agent) findNetwork(ctx context.Context) (etcdsync.Network, error) {
	last, known := a.lastNetwork()
	if !known {
		if err := a.writeNetwork(ctx); err != nil {
			return etcdsync.Network{}, err
		}
		n, err := a.store.WaitNetwork(ctx)
		if err == nil {
			a.keepNetwork(n)
		}
		return n, err
	}
	trial, cancel := context.WithTimeout(ctx, configGrace)
	defer cancel()
	n, err := a.store.Network(trial)
	switch {
	case err == nil:
		a.keepNetwork(n)
		return n, nil
	case ctx.Err() != nil:
		return n, ctx.Err()
	case errors.Is(err, etcdsync.ErrNoNetwork), errors.Is(err, etcdsync.ErrBadNetwork):
		a.log.Error().Err(err).Msg("going on with the last good network configuration")
	default:
		a.log.Warn().Err(err).Strs("endpoints", a.etcd.o.Endpoints).Msg("etcd does not answer; starting with the network configuration of the last run")
		a.unconfirmed = true
	}
	return last, nil
}

// lastNetwork is the configuration that was kept, if there is one that can be
// used.
func (a *agent) lastNetwork() (n etcdsync.Network, known bool) {
	text, err := a.state.Network(a.etcd.o.KeyPrefix())
	if err == nil && text == nil {
		return n, false
	}
	if err == nil {
		n, _, err = etcdsync.ParseNetwork(text)
	}
	if err != nil {
		a.log.Warn().Err(err).Msg("the network configuration of the last run cannot be used; waiting for etcd")
		return n, false
	}
	a.kept = text
	return n, true
}

// keepNetwork keeps a configuration for the next start, if it is another one.
func (a *agent) keepNetwork(n etcdsync.Network) {
	text, err := n.MarshalJSON()
	if err == nil && bytes.Equal(text, a.kept) {
		return
	}
	a.kept = text // or not: then it is said once
	if err == nil {
		err = a.state.SetNetwork(a.etcd.o.KeyPrefix(), text)
	}
	if err != nil {
		a.log.Warn().Err(err).Msg("network configuration not kept for the next start")
	}
}

// offerNetwork writes the configuration that --network asks for when etcd came
// too late at the start, or came without one.
func (a *agent) offerNetwork(ctx context.Context) error {
	if !a.offered {
		if err := a.writeNetwork(ctx); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
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
			a.offered = true
			if created {
				a.log.Info().Str("network", a.runFlags.network.cidr).Msg("network configuration written")
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

// enroll registers the host in etcd, dresses the TAP as the lease says, and
// keeps both so.
func (a *agent) enroll(ctx context.Context) error {
	c := a.claim()
	r, err := a.store.Acquire(ctx, c)
	if err != nil {
		return err
	}
	a.plane.enrolled(r, &c)
	if err := a.dress(r); err != nil {
		return err
	}
	close(a.ready)
	a.log.Info().Msg("Running backend")
	return together(ctx, r.Run, a.plane.announceStations(r).Run)
}

// claim is the place in the network that the host asks for.
func (a *agent) claim() etcdsync.Claim {
	public, public6 := a.plane.public()
	c := etcdsync.Claim{
		Network: a.network, Unconfirmed: a.unconfirmed, NodeID: a.node, PublicIP: public, PublicIPv6: public6, MAC: a.mac,
		NoSubnet: a.noSubnet, Want: a.want, Grace: subnetGrace, LeaseTTL: a.leaseTTL, LivenessTTL: a.livenessTTL,
		Resubnet: func(r *etcdsync.Registration) {
			if err := a.dress(r); err != nil {
				a.log.Error().Err(err).Msg("the new subnet could not be put in force")
			}
		},
	}
	c.Previous, c.Previous6 = a.previous()
	return c
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
	a.keepSubnet(v4, v6)
	errs := []error{a.plane.dress(tapAddrs(v4, v6))}
	if a.ipMasq {
		errs = append(errs, a.host.EnsureMasquerade(hostnet.Masquerade{
			TAP: a.plane.name, Network: a.network.IPv4, IPv6Network: a.network.IPv6, Subnet: v4, IPv6Subnet: v6,
		}))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return a.writeSubnetFile(r)
}

// keepSubnet keeps the subnets for the next start. A disk that takes nothing is
// no reason to stop: etcd knows them too.
func (a *agent) keepSubnet(v4, v6 netip.Prefix) {
	if was4, was6, err := a.state.Subnet(); err == nil && was4 == v4 && was6 == v6 {
		return
	}
	if err := a.state.SetSubnet(v4, v6); err != nil {
		a.log.Error().Err(err).Msg("subnet not kept for the next start; see to the state directory")
	}
}

// writeSubnetFile tells docker and CNI what the host has, if the file does not
// say so already. Calls at the same time write one after the other, each what is
// so by then.
func (a *agent) writeSubnetFile(r *etcdsync.Registration) error {
	a.fileMu.Lock()
	defer a.fileMu.Unlock()
	env := hostnet.SubnetEnv{
		Network: a.network.IPv4, IPv6Network: a.network.IPv6, Subnet: r.Subnet(), IPv6Subnet: r.Subnet6(),
		MTU: a.plane.fittingMTU(), IPMasq: a.ipMasq,
	}
	if env == a.written {
		return nil
	}
	if err := env.Write(a.subnetFile); err != nil {
		return err
	}
	a.written = env
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

// follow keeps the tables in line with etcd, from those of the last run on. A
// host that has none hears of others when it has its own place. After the
// host's own addresses have changed it begins afresh: they decide which address
// of another host to send to, and that none of them is another's.
func (a *agent) follow(ctx context.Context) error {
	c := etcdsync.FollowConfig{
		Network: a.network, NodeID: a.node, MAC: a.mac, Save: a.keepTables,
		MassDeleteHold: hold(a.massDeleteHold), Publish: a.publish,
	}
	if c.Last = a.lastTables(); c.Last == nil {
		select {
		case <-a.ready:
		case <-ctx.Done():
			return nil
		}
	}
	for ctx.Err() == nil {
		own, moved := a.plane.home()
		c.Own = own
		err := until(ctx, moved, func(ctx context.Context) error { return a.store.Follow(ctx, c) })
		if err != nil {
			return err
		}
		c.Network, c.Last, c.Resumed = a.live, a.lastTables(), true
	}
	return nil
}

// publish puts new tables in force.
func (a *agent) publish(t *etcdsync.Tables) {
	a.plane.publish(t)
	a.live = t.Network
	if t.StaleSince.IsZero() {
		a.keepNetwork(t.Latest)
	}
}

// lastTables are the tables that were kept, nil when there are none.
func (a *agent) lastTables() []byte {
	if a.unsaved != nil {
		return a.unsaved
	}
	b, err := a.state.Tables(a.network.VNI)
	if err != nil {
		a.log.Warn().Err(err).Msg("tables of the last run cannot be read; waiting for etcd")
	}
	return b
}

// keepTables keeps what the next start begins with, and says once when that
// does not work.
func (a *agent) keepTables(b []byte) {
	err := a.state.SetTables(a.network.VNI, b)
	if err != nil && !a.notKept {
		a.log.Error().Err(err).Msg("tables not kept for the next start, which will not forward without etcd; see to the state directory")
	}
	a.notKept, a.unsaved = err != nil, nil
	if err != nil {
		a.unsaved = b // those on disk are older
	}
}

// hold turns the flag's "0: not at all" into Follow's negative.
func hold(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
