//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
)

// maxHosts keeps the hosts' addresses clear of the etcd machines' and the
// fabric's, which share 192.0.2.0/24 with them.
const maxHosts = 200

// Config says what New makes. The zero value is three hosts on an underlay of
// 1500 bytes whose devices cut every frame to the wire's size.
type Config struct {
	Hosts           int            // hosts to begin with; 0 means 3, at most 200
	Bin             string         // the uvtep program that agents run; empty: StartAgent fails
	AgentArgs       []string       // added to the arguments of every agent
	Network         netip.Prefix   // the overlay, told to the first host's agent; zero means 10.10.0.0/16
	Dir             string         // logs and state; empty: a folder of its own, removed by Close
	Log             zerolog.Logger // what the lab does; the zero logger discards
	UnderlayMTU     int            // bytes; 0 means 1500
	Underlay        Condition      // which offloads the underlay's devices have; zero means none
	UnderlaySteered bool           // let one flow stay on one CPU behind every veth, the containers' too: see steer
	IPv6            bool           // give the underlay IPv6 addresses too
	Without4        []int          // numbers of hosts that have no IPv4 address there; IPv6 must be set
	Without6        []int          // numbers of hosts that have no IPv6 address there
}

// withDefaults fills in what was left out.
func (c Config) withDefaults() (Config, error) {
	if c.Hosts == 0 {
		c.Hosts = 3
	}
	if c.UnderlayMTU == 0 {
		c.UnderlayMTU = 1500
	}
	if !c.Network.IsValid() {
		c.Network = netip.MustParsePrefix("10.10.0.0/16")
	}
	if !slices.Contains([]Condition{Bare, PlainWire, WireGRO, VethGSO}, c.Underlay) {
		return c, fmt.Errorf("underlay %q: no such condition", c.Underlay)
	}
	for _, id := range c.Without4 {
		if !c.IPv6 || slices.Contains(c.Without6, id) {
			return c, fmt.Errorf("host %d without IPv4: want IPv6 for it", id)
		}
	}
	if c.Hosts < 1 || c.Hosts > maxHosts {
		return c, fmt.Errorf("%d hosts: want 1 to %d", c.Hosts, maxHosts)
	}
	return c, nil
}

// Lab is a running laboratory. Close it.
type Lab struct {
	Name  string  // begins the names of all its namespaces
	Dir   string  // logs and state of its processes
	Hosts []*Host // in order of their number

	cfg    Config
	fabric *Node
	spawn  *spawner
	short  string // a folder with a short path, removed by Close
	once   sync.Once
	err    error // of Close

	mu          sync.Mutex
	closed      bool                   // guarded by mu
	nodes       []*Node                // guarded by mu; in the order they were made
	processes   []*Process             // guarded by mu
	open        map[io.Closer]struct{} // guarded by mu: sockets to close with the lab
	etcd        []*Etcd                // guarded by mu
	answered    atomic.Int64           // which of EtcdURLs did last
	forwardOnce sync.Once
	forward     string // what EtcdForward gave
	forwardErr  error
	wg          sync.WaitGroup // goroutines of forwards
}

// New makes the hosts and the wire between them. ctx bounds the making only. On
// error all that was made is gone again. Leftovers of labs whose owner has died
// are swept first.
func New(ctx context.Context, cfg Config) (_ *Lab, err error) {
	if cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	if err := mayRun(); err != nil {
		return nil, err
	}
	if _, err := Sweep(); err != nil {
		cfg.Log.Warn().Err(err).Msg("leftovers not swept")
	}
	l := &Lab{cfg: cfg, spawn: newSpawner(), open: map[io.Closer]struct{}{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	if err := l.claim(); err != nil {
		return nil, err
	}
	if err := l.makeDir(); err != nil {
		return nil, err
	}
	if err := l.makeFabric(); err != nil {
		return nil, err
	}
	for range cfg.Hosts {
		if _, err := l.AddHost(ctx); err != nil {
			return nil, err
		}
	}
	cfg.Log.Info().Str("lab", l.Name).Int("hosts", len(l.Hosts)).Msg("lab made")
	return l, nil
}

// mayRun says in plain words what is missing to make namespaces.
func mayRun() error {
	if os.Geteuid() == 0 {
		return nil
	}
	return errors.New("the lab makes network namespaces and needs root: run it with sudo")
}

// makeDir makes the folder for logs and state, and one with a short path for
// sockets: the path of a unix socket has 107 bytes at most.
func (l *Lab) makeDir() error {
	l.short = filepath.Join(os.TempDir(), dirPrefix+l.Name)
	if err := os.Mkdir(l.short, 0o700); err != nil {
		return err
	}
	if l.cfg.Dir == "" {
		l.Dir = l.short
		return nil
	}
	dir, err := filepath.Abs(l.cfg.Dir)
	if err != nil {
		return err
	}
	l.Dir = dir
	return os.MkdirAll(l.Dir, 0o755)
}

// AddContainers adds n containers to every host.
func (l *Lab) AddContainers(ctx context.Context, n int) error {
	return l.each(func(h *Host) error { return h.AddContainers(ctx, n) })
}

// Containers returns the containers of all hosts.
func (l *Lab) Containers() []*Container {
	var all []*Container
	for _, h := range l.Hosts {
		all = append(all, h.Containers...)
	}
	return all
}

// each calls fn for all hosts at once and joins the errors.
func (l *Lab) each(fn func(*Host) error) error {
	errs := make([]error, len(l.Hosts))
	var wg sync.WaitGroup
	for i, h := range l.Hosts {
		wg.Go(func() { errs[i] = fn(h) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Close ends all processes, first with SIGTERM, closes what is still open in the
// lab, removes all namespaces, and the folder if New made it. Further calls wait
// for the first and return what it returned.
func (l *Lab) Close() error {
	l.once.Do(func() { l.err = l.close() })
	return l.err
}

func (l *Lab) close() error {
	l.mu.Lock()
	l.closed = true // nothing is added to the lists any more
	open := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()

	endAll(l.processes)
	l.spawn.close()
	for _, c := range open {
		_ = c.Close()
	}
	l.wg.Wait()
	var errs []error
	for i := len(l.nodes) - 1; i >= 0; i-- { // the fabric, with the lab's lock, last
		errs = append(errs, l.nodes[i].close())
	}
	if l.short != "" {
		errs = append(errs, os.RemoveAll(l.short))
	}
	return errors.Join(errs...)
}

// track remembers c for Close; it reports false, and closes c, when that is too late.
func (l *Lab) track(c io.Closer) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = c.Close()
		return false
	}
	l.open[c] = struct{}{}
	return true
}

// forget takes c, closed by its owner, off the list.
func (l *Lab) forget(c io.Closer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, c)
}
