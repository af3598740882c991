package main

import (
	"context"
	"errors"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/uvtep/uvtep/etcdsync/embedded"
)

// etcdAgain is how long an embedded etcd that cannot be started is let be.
const etcdAgain = 5 * time.Second

// withEtcd runs f beside the embedded etcd, if there is to be one. A host that was
// never in the network needs that first. One that was forwards without it, and
// goes on trying to start it: its address may come back.
func (a *agent) withEtcd(ctx context.Context, f func(context.Context) error) (err error) {
	if !a.embedded {
		return f(ctx)
	}
	listen, err := url.Parse(a.embeddedListen)
	if err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(listen.Hostname()); err == nil && !ip.IsLoopback() {
		a.log.Warn().Str("listen", a.embeddedListen).Msg("the embedded etcd serves plain HTTP beyond loopback: whoever reaches it rules the network")
	}
	if a.known() && listen.Port() != "0" { // which one it is to be is known when it serves
		if len(a.etcd.o.Endpoints) == 0 {
			a.etcd.o.Endpoints = []string{a.embeddedListen}
		}
		return together(ctx, f, a.serveEtcd)
	}
	server, err := a.startEtcd(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	if len(a.etcd.o.Endpoints) == 0 {
		a.etcd.o.Endpoints = []string{server.Endpoint()}
	}
	return together(ctx, f, func(ctx context.Context) error { a.watchServer(ctx, server); return nil })
}

// known reports whether the host was in one of its networks before.
func (a *agent) known() bool {
	return slices.ContainsFunc(a.members, func(m *member) bool { _, known := m.lastNetwork(); return known })
}

// serveEtcd runs the embedded etcd until ctx ends.
func (a *agent) serveEtcd(ctx context.Context) error {
	for told := false; ctx.Err() == nil; {
		server, err := a.startEtcd(ctx)
		if err == nil {
			a.watchServer(ctx, server)
			return server.Close()
		}
		if errors.Is(err, embedded.ErrBroken) {
			a.log.Error().Err(err).Msg("the embedded etcd cannot be started; going on without it until the agent is restarted")
			<-ctx.Done()
			return nil
		}
		if !told && ctx.Err() == nil {
			a.log.Error().Err(err).Dur("again_every", etcdAgain).Msg("the embedded etcd cannot be started; going on without it")
			told = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(etcdAgain):
		}
	}
	return nil
}

// watchServer waits for ctx, and reports when the embedded etcd stops by itself
// meanwhile. Forwarding goes on.
func (a *agent) watchServer(ctx context.Context, s *embedded.Server) {
	select {
	case err := <-s.Err():
		a.log.Error().Err(err).Msg("the embedded etcd stopped; restart the agent to bring it back")
		<-ctx.Done()
	case <-ctx.Done():
	}
}

// startEtcd starts the embedded etcd.
func (a *agent) startEtcd(ctx context.Context) (*embedded.Server, error) {
	dir := a.embeddedDir
	if dir == "" {
		dir = filepath.Join(a.stateDir, "etcd")
	}
	server, err := embedded.Start(ctx, embedded.Config{Listen: a.embeddedListen, Dir: dir, Log: a.log})
	if err != nil {
		return nil, err
	}
	a.log.Info().Str("listen", a.embeddedListen).Msg("embedded etcd serves")
	return server, nil
}
