package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/uvtep/uvtep/etcdsync"
)

// claims are what a network takes on this host that another cannot have too. The
// agent's mu guards them.
type claims struct {
	taken    *etcdsync.Network // what it works by; nil while it does not
	foreseen *etcdsync.Network // what the next start would work by
	alarmed  string            // what was said of that
}

// clash says why two networks cannot be on one host, and what to change.
func clash(a, b *member, na, nb *etcdsync.Network) error {
	change := fmt.Sprintf("change one of %s/config and %s/config", a.keyPrefix(), b.keyPrefix())
	switch {
	case na.VNI == nb.VNI:
		return fmt.Errorf("networks %s and %s both have VNI %s, by which a host tells them apart: %s", a.name, b.name, na.VNI, change)
	case na.Port != nb.Port:
		return fmt.Errorf("networks %s and %s have the UDP ports %d and %d, and the networks of an agent share one: %s, or run an agent for each with a --state-dir and a --admin-socket of its own", a.name, b.name, na.Port, nb.Port, change)
	case overlap(na.IPv4, nb.IPv4):
		return fmt.Errorf("networks %s and %s overlap (%s, %s), so that no route could tell them apart: %s", a.name, b.name, na.IPv4, nb.IPv4, change)
	case overlap(na.IPv6, nb.IPv6):
		return fmt.Errorf("networks %s and %s overlap (%s, %s), so that no route could tell them apart: %s", a.name, b.name, na.IPv6, nb.IPv6, change)
	}
	return nil
}

func overlap(a, b netip.Prefix) bool { return a.IsValid() && b.IsValid() && a.Overlaps(b) }

// survey looks at the configurations of all networks before the first one is
// joined, and refuses those that cannot be together on one host.
func (a *agent) survey(ctx context.Context) error {
	if len(a.members) == 1 {
		return nil
	}
	patience := configGrace
	if !a.known() {
		patience = etcdPatience // nothing waits for it
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var all sync.WaitGroup
	found, errs := make([]*etcdsync.Network, len(a.members)), make([]error, len(a.members))
	for i, m := range a.members {
		all.Go(func() { found[i], errs[i] = m.glance(ctx) })
	}
	all.Wait()
	for i, m := range a.members {
		for j, o := range a.members[:i] {
			if found[i] != nil && found[j] != nil {
				errs = append(errs, clash(o, m, found[j], found[i]))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return usageError{err}
	}
	return nil
}

// glance returns the network's configuration if there is one: etcd's, else that of
// the last run. One that cannot be used is an error where there is no other.
func (m *member) glance(ctx context.Context) (*etcdsync.Network, error) {
	n, err := m.store.Network(ctx)
	if err == nil {
		return &n, nil
	}
	if last, known := m.lastNetwork(); known {
		return &last, nil
	}
	if errors.Is(err, etcdsync.ErrBadNetwork) {
		return nil, fmt.Errorf("network %s: %w", m.name, err)
	}
	return nil, nil
}

// settle takes what the network needs for itself, if no other network has it.
func (m *member) settle() error {
	m.agent.mu.Lock()
	defer m.agent.mu.Unlock()
	for _, o := range m.members {
		if o == m || o.taken == nil {
			continue
		}
		if err := clash(o, m, o.taken, &m.network); err != nil {
			return err
		}
	}
	n := m.network
	m.taken, m.foreseen = &n, &n
	return nil
}

func (m *member) unsettle() {
	m.agent.mu.Lock()
	defer m.agent.mu.Unlock()
	m.taken, m.foreseen = nil, nil
}

// foresee looks at the configuration that etcd has now: what of it needs a restart
// may be what that restart is refused for.
func (m *member) foresee(latest etcdsync.Network) {
	m.agent.mu.Lock()
	defer m.agent.mu.Unlock()
	m.foreseen = &latest
	said := ""
	for _, o := range m.members {
		if o == m || o.foreseen == nil {
			continue
		}
		if err := clash(o, m, o.foreseen, m.foreseen); err != nil {
			said = err.Error()
		}
	}
	if said != "" && said != m.alarmed {
		m.log.Error().Str("err", said).Msg("what etcd has now for this network would be refused at a start; it works by what it started with")
	}
	m.alarmed = said
}
