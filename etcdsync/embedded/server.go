package embedded

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"
)

// closeTimeout bounds Close when etcd cannot stop in order, because one of
// its goroutines ended in the middle of something.
const closeTimeout = 5 * time.Second

// Server is a running etcd. Its peer port is a free one on loopback.
type Server struct {
	etcd    *embed.Etcd
	serving chan struct{} // closed when there is an rpc
	rpc     *grpc.Server
	failed  chan error
	closing quiet
}

// ErrBroken says that etcd fell over while it started: what it has locked and
// listens on stays so for as long as the process lives.
var ErrBroken = errors.New("it cannot be started again before this process has ended")

// Start runs a server and returns when it serves clients, or when ctx ends.
func Start(ctx context.Context, c Config) (*Server, error) {
	cfg, err := c.etcd()
	if err = errors.Join(err, ctx.Err()); err != nil {
		return nil, err
	}
	shrinkWAL()
	s := &Server{failed: make(chan error, 1), serving: make(chan struct{})}
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(newZap(c.Log.Hook(&s.closing), s.fail))
	cfg.ServiceRegister = func(g *grpc.Server) { s.rpc = g; close(s.serving) }
	if s.etcd, err = s.launch(ctx, cfg); err != nil {
		return nil, err
	}
	go s.watch()
	select {
	case <-s.serving:
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), s.Close())
	case err := <-s.failed:
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// launch calls StartEtcd in a goroutine of its own: it may wait for a lock on
// the data, and where it would end the process it ends that goroutine.
func (s *Server) launch(ctx context.Context, cfg *embed.Config) (*embed.Etcd, error) {
	type result struct {
		etcd *embed.Etcd
		err  error
	}
	done := make(chan result, 1)
	go func() {
		e, err := embed.StartEtcd(cfg)
		done <- result{e, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, fmt.Errorf("start embedded etcd in %q: %w", cfg.Dir, r.err)
		}
		return r.etcd, nil
	case err := <-s.failed:
		return nil, fmt.Errorf("start embedded etcd in %q: %w; %w", cfg.Dir, err, ErrBroken)
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil {
				r.etcd.Close()
			}
		}()
		return nil, ctx.Err()
	}
}

// watch passes on the errors of etcd's listeners, until etcd is closed.
func (s *Server) watch() {
	for err := range s.etcd.Err() {
		s.fail(fmt.Errorf("embedded etcd: %w", err))
	}
}

// fail keeps the first error.
func (s *Server) fail(err error) {
	select {
	case s.failed <- err:
	default:
	}
}

// Endpoint returns the URL to reach the server at from this machine.
func (s *Server) Endpoint() string {
	tcp, ok := s.etcd.Clients[0].Addr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	at := tcp.AddrPort()
	if addr := at.Addr().Unmap(); addr.IsUnspecified() {
		at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port())
	}
	return "http://" + netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String()
}

// Err returns a channel that receives one error when the server stops by
// itself (its disk is full, say). The process goes on without it.
func (s *Server) Err() <-chan error { return s.failed }

// Close stops the server; its data stays. Clients lose their connections at
// once, as they would if the process ended.
func (s *Server) Close() error {
	s.closing.Store(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.etcd.Close()
	}()
	serving, timeout := s.serving, time.After(closeTimeout)
	for {
		select {
		case <-serving: // by now, or in a moment: etcd has been launched
			s.rpc.Stop() // etcd's own Close waits seconds for watches to end
			serving = nil
		case <-done:
			return nil
		case <-timeout:
			return errors.New("embedded etcd does not stop")
		}
	}
}
