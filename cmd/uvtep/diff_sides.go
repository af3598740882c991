package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/admin"
	"github.com/uvtep/uvtep/internal/hostnet"
)

const (
	// sidePatience is how long a side may be silent.
	sidePatience = 2 * time.Second
	// lookAgain is how long a difference must last, settleWithin how long an
	// agent may take to be where etcd is.
	lookAgain    = 100 * time.Millisecond
	settleWithin = time.Second
)

// differ compares a host with what etcd says.
type differ struct {
	local  *localFlags
	host   *hostnet.Host
	store  *etcdsync.Store // nil before the first reading
	silent map[string]bool // sides that were not read, and are not tried again
	notes  []string
}

// reading is the sides as they were at about one time.
type reading struct {
	agent    *heldView        // nil: not read
	network  etcdsync.Network // that the host runs by
	etcd     *etcdsync.Audit  // nil: not read
	cached   bool             // etcd is the agent's cache of it
	noConfig bool             // etcd has no network configuration, or one that cannot be used
	kernel   kernelSide
}

// note says once, for people, what was not read.
func (d *differ) note(side string, err error, instead string) {
	if !d.silent[side] {
		d.silent[side] = true
		d.notes = append(d.notes, fmt.Sprintf("%s not compared: %v%s", side, err, instead))
	}
}

// read reads all sides that can be read.
func (d *differ) read(ctx context.Context) (r reading, err error) {
	if err := d.readAgent(ctx, &r); err != nil {
		return r, err
	}
	if err := d.readEtcd(ctx, &r); err != nil {
		return r, err
	}
	if r.agent == nil && r.etcd == nil {
		if err := d.readCache(&r); err != nil {
			return r, err
		}
	}
	return r, d.readKernel(&r)
}

// readAgent asks the agent what it holds. An agent of another network, or of another
// host, is an error.
func (d *differ) readAgent(ctx context.Context, r *reading) error {
	if d.silent["agent"] {
		return nil
	}
	v, err := d.askHeld(ctx)
	if errors.Is(err, errNoName) || errors.Is(err, errElsewhere) {
		return err
	}
	if err == nil && v.Revision == 0 {
		err = errors.New("it has no tables yet: it has never heard from etcd; its log says why")
	}
	if err == nil {
		r.network, _, err = etcdsync.ParseNetwork(v.Network)
	}
	if err != nil {
		d.note("agent", err, "")
		return nil
	}
	r.agent = v
	return nil
}

// askHeld asks the agent what it holds of the network that is meant.
func (d *differ) askHeld(ctx context.Context) (*heldView, error) {
	v, err := askFor(ctx, d.local.socket, heldPath, d.local.etcd.name, func(v *heldView) string { return v.Name })
	if err == nil {
		err = v.elsewhere()
	}
	return v, err
}

// errNoName says that an agent has one network, without a name, and one was named.
var errNoName = errors.New("leave --network-name away")

// errWhich says that an agent has several networks and none was named.
var errWhich = errors.New("say which with --network-name")

// pick returns what is told of the network of a name, or of the only one.
func pick[T any](all each[T], name func(*T) string, want string) (*T, error) {
	var names []string
	for i := range all {
		if n := name(&all[i]); n == want || want == "" && len(all) == 1 {
			return &all[i], nil
		} else if n != "" {
			names = append(names, n)
		}
	}
	if len(names) == 0 && len(all) > 0 {
		return nil, fmt.Errorf("the agent's network has no name, and is not %q: %w", want, errNoName)
	}
	return nil, fmt.Errorf("the agent works in the networks %s: %w", strings.Join(names, ", "), errWhich)
}

// askAgent asks an agent for a view, and waits for no more than sidePatience.
func askAgent(ctx context.Context, socket, path string, v any) error {
	ctx, cancel := context.WithTimeout(ctx, sidePatience)
	defer cancel()
	err := admin.Get(ctx, socket, path, v)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the agent at %s has not answered within %s: is it stopped (SIGSTOP), or the machine out of breath?", socket, sidePatience)
	}
	return err
}

// readEtcd lists what etcd holds and makes tables of it.
func (d *differ) readEtcd(ctx context.Context, r *reading) error {
	if d.silent["etcd"] {
		return nil
	}
	if d.store == nil {
		if err := d.dial(r.agent); err != nil {
			return err
		}
	}
	// One small question first: a list may take its time, silence may not.
	ask, cancel := context.WithTimeout(ctx, sidePatience)
	defer cancel()
	there, err := d.store.Network(ask)
	if r.agent == nil && err == nil {
		r.network = there
		err = d.checkNode()
	}
	r.noConfig = errors.Is(err, etcdsync.ErrNoNetwork) || errors.Is(err, etcdsync.ErrBadNetwork)
	if err == nil || r.noConfig && r.agent != nil {
		r.etcd, err = d.store.Audit(ctx, d.identity(r))
	}
	if err != nil {
		instead := ""
		if r.agent != nil {
			instead = fmt.Sprintf("; the agent's tables, of revision %d, stand in for it", r.agent.Revision)
		}
		d.note("etcd", err, instead)
	}
	return nil
}

// checkNode fails when it is not known which of etcd's keys are this host's.
func (d *differ) checkNode() error {
	if d.local.knownNode() == "" {
		return fmt.Errorf("%s holds no node id, so nothing tells which keys are this host's: say where with --state-dir", d.local.stateDir)
	}
	return nil
}

// dial makes the connection to etcd: by the flags, else as the agent does.
func (d *differ) dial(agent *heldView) (err error) {
	o := d.local.etcd.options()
	if agent != nil && !d.local.etcdGiven {
		o = agent.Etcd.options()
	}
	o.DialTimeout = sidePatience
	if d.store, err = etcdsync.Dial(o); err != nil {
		return usageError{err}
	}
	return nil
}

// identity is the host as the tables need to know it.
func (d *differ) identity(r *reading) etcdsync.FollowConfig {
	c := etcdsync.FollowConfig{Network: r.network}
	if r.agent != nil {
		c.NodeID, c.MAC, c.Own = r.agent.NodeID, r.agent.MAC, r.agent.own()
		return c
	}
	c.NodeID = d.local.knownNode()
	return c
}

// readCache takes what the agent keeps for its next start, when neither it nor
// etcd can be asked.
func (d *differ) readCache(r *reading) error {
	nothing := errors.New("neither the agent nor etcd can be read, so there is nothing to compare the kernel with: start the agent, or say where etcd is with --etcd-endpoints")
	text, err := d.local.dir().Network(d.local.etcd.options().KeyPrefix())
	if err != nil || text == nil {
		return errors.Join(nothing, err)
	}
	if r.network, _, err = etcdsync.ParseNetwork(text); err != nil {
		return errors.Join(nothing, err)
	}
	f, err := d.local.dir().Tables(r.network.VNI)
	if err != nil || f == nil {
		return errors.Join(nothing, err)
	}
	defer f.Close()
	if r.etcd, err = etcdsync.AuditCache(f, d.identity(r)); err != nil {
		return errors.Join(nothing, err)
	}
	r.cached = true
	if !d.silent["cache"] {
		d.silent["cache"] = true
		d.notes = append(d.notes, fmt.Sprintf("the tables that the agent keeps for its next start, of revision %d, stand in for etcd", r.etcd.Rev))
	}
	return nil
}

// readKernel looks at the TAP and the routes.
func (d *differ) readKernel(r *reading) error {
	name := d.local.tap
	if r.agent != nil {
		name = r.agent.TAP
	}
	name = tapName(name, r.network.VNI)
	l, err := d.host.FindLink(name)
	switch {
	case err == nil:
		r.kernel.tap = &l
	case !errors.Is(err, hostnet.ErrNoLink):
		return err
	}
	if r.kernel.routes, err = d.host.RoutesInto(name, r.network.IPv4, r.network.IPv6); err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		r.kernel.open = len(d.host.TAPHolders(name))
	}
	return nil
}

// differences are what the sides of a reading do not have in common.
func (r *reading) differences() []difference {
	var out []difference
	n := &r.network
	upper, name := facts(nil), "agent"
	switch {
	case r.agent != nil:
		if r.etcd != nil {
			etcd := factsOfEtcd(r.etcd, n, r.agent.NoSubnet)
			if r.noConfig {
				etcd.drop(aboutConfig, "")
			}
			out = compareFacts(etcd, factsOfAgent(r.agent, n), "etcd", "agent")
		}
		upper = r.agent.wishes()
	case r.cached:
		upper, name = wishesOfEtcd(r.etcd, false), "cache"
	default:
		upper, name = wishesOfEtcd(r.etcd, len(r.etcd.Own) == 0), "etcd"
	}
	if r.kernel.open == 0 {
		upper.drop(aboutTAP, "open ")
	}
	return append(out, compareFacts(upper, r.kernel.facts(upper, n.IPv4, n.IPv6), name, "kernel")...)
}

// settle reads until what differs has differed for a while: an agent that is
// hearing of a change just now does not differ from etcd.
func (d *differ) settle(ctx context.Context) (r reading, ds []difference, err error) {
	if r, err = d.read(ctx); err != nil {
		return r, nil, err
	}
	ds = r.differences()
	until, goal := time.Now().Add(settleWithin), r.revision()
	for len(ds) > 0 {
		select {
		case <-ctx.Done():
			return r, nil, ctx.Err()
		case <-time.After(lookAgain):
		}
		if r, err = d.read(ctx); err != nil {
			return r, nil, err
		}
		ds = stillThere(ds, r.differences())
		if r.agent == nil || r.agent.Revision >= goal || time.Now().After(until) {
			break
		}
	}
	return r, ds, nil
}

// revision is etcd's, 0 when it was not read.
func (r *reading) revision() int64 {
	if r.etcd == nil {
		return 0
	}
	return r.etcd.Rev
}

func (d *differ) close() error {
	d.host.Close()
	if d.store == nil {
		return nil
	}
	return d.store.Close()
}

// drop removes the facts that begin so.
func (f facts) drop(about, begin string) {
	for x := range f {
		if x.about == about && strings.HasPrefix(x.what, begin) {
			delete(f, x)
		}
	}
}
