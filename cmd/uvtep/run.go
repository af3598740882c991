package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/admin"
	"github.com/uvtep/uvtep/internal/hostnet"
	"github.com/uvtep/uvtep/internal/state"
)

// logOutput is where the agent logs.
var logOutput = os.Stderr

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
			"  uvtep run --etcd-endpoints http://192.0.2.1:2379\n" +
			"  uvtep run --etcd-endpoints http://192.0.2.1:2379 --network-name blue --network-name red",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := r.validate(); err != nil {
				return usageError{err}
			}
			if r.embedded && !cmd.Flags().Changed("etcd-endpoints") {
				r.etcd.o.Endpoints = nil
			}
			err := newAgent(r).run(cmd.Context())
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

// agent is one host's part in its networks.
type agent struct {
	*runFlags
	state   state.Dir
	node    string
	host    *hostnet.Host
	store   *etcdsync.Store
	trunk   *trunk
	members []*member

	socket chan *admin.Server // the admin socket, when it is open
	once   sync.Once          // it has been opened
	turns  turns              // of what any network forwards by

	mu     sync.Mutex
	planes []*plane // that work; guarded by mu

	web *web
}

func newAgent(r *runFlags) *agent {
	a := &agent{runFlags: r, state: state.Dir(r.stateDir), socket: make(chan *admin.Server, 1)}
	a.trunk = newTrunk(a)
	for _, name := range r.names {
		a.members = append(a.members, newMember(a, name))
	}
	if len(r.names) == 0 {
		a.members = []*member{newMember(a, "")}
	}
	a.web = newWeb(&vitals{planes: a.working, beats: a.trunk.sw, networks: len(a.members)})
	return a
}

// run joins the networks and works until ctx ends.
func (a *agent) run(ctx context.Context) (err error) {
	a.log.Info().Str("version", version).Str("commit", commit).Msg("uvtep starts")
	boundMemory()
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
	l, err := a.listenHTTP()
	if err != nil {
		return err
	}
	return together(ctx, a.web.watch, a.serveHTTP(l), a.notify, a.join)
}

// join waits for the underlay, and works until ctx ends.
func (a *agent) join(ctx context.Context) error {
	if err := a.trunk.await(ctx); err != nil {
		return err
	}
	for _, m := range a.members {
		if err := m.state.Tidy(); err != nil {
			a.log.Warn().Err(err).Msg("the state directory cannot be tidied")
		}
	}
	a.sweep()
	return a.withEtcd(ctx, a.work)
}

// work connects with etcd and has a place taken in each network.
func (a *agent) work(ctx context.Context) (err error) {
	a.etcd.o.Log = a.log
	if a.store, err = etcdsync.Dial(a.etcd.o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.trunk.close(), a.store.Close(), a.silence()) }()
	for _, m := range a.members {
		m.store = a.store.Named(m.name, m.log)
	}
	if err := a.survey(ctx); err != nil {
		return err
	}
	jobs := []func(context.Context) error{a.trunk.run, a.trunk.hurry, a.answer}
	for _, m := range a.members {
		jobs = append(jobs, m.run)
	}
	return together(ctx, jobs...)
}

// joined says that a network's data path is open: now there is something to
// tell.
func (a *agent) joined(p *plane) (err error) {
	a.mu.Lock()
	a.planes = append(a.planes, p)
	a.mu.Unlock()
	a.once.Do(func() {
		var s *admin.Server
		if s, err = a.listen(); err == nil {
			a.socket <- s
		}
	})
	if err != nil {
		return fatal{err}
	}
	return nil
}

// fatal is an error of one network that is one of the whole agent.
type fatal struct{ error }

func (f fatal) Unwrap() error { return f.error }

// left undoes joined, but for the socket.
func (a *agent) left(p *plane) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.planes = slices.DeleteFunc(a.planes, func(o *plane) bool { return o == p })
}

// working returns the planes that work, in the order of their networks.
func (a *agent) working() []*plane {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := func(p *plane) int { return slices.Index(a.members, p.member) }
	return slices.SortedFunc(slices.Values(a.planes), func(x, y *plane) int { return at(x) - at(y) })
}

// silence closes a socket that was opened too late to be served.
func (a *agent) silence() error {
	select {
	case s := <-a.socket:
		return s.Close()
	default:
		return nil
	}
}

// answer answers questions until ctx ends.
func (a *agent) answer(ctx context.Context) error {
	select {
	case s := <-a.socket:
		return s.Run(ctx)
	case <-ctx.Done():
		return nil
	}
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

// every calls f again and again, each time after a pause of d, until ctx ends.
func every(ctx context.Context, d time.Duration, f func()) error {
	tick := time.NewTicker(d)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			f()
		}
	}
}
