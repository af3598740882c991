package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// Server serves requests on a unix socket.
type Server struct {
	// Access is who may open the socket.
	Access   Access
	path     string
	listener net.Listener
	http     http.Server
}

const (
	// requestTimeout bounds how long one request may take to come in and go out.
	requestTimeout = 10 * time.Second
	// Patience is how long a request may wait for something to happen, so that
	// its answer still arrives in time.
	Patience = requestTimeout / 2
)

// Config says what Listen opens.
type Config struct {
	Path    string // of the socket
	Group   string // that may open it, if the machine has one of that name
	Version string // of the agent, which its answers tell
}

// Listen opens the socket. A socket file that nobody serves any more is
// replaced; one that is served is an error. Missing folders are made.
func Listen(c Config, q Requests) (*Server, error) {
	l, access, err := open(c)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	s := &Server{Access: access, path: c.Path, listener: l}
	s.http = http.Server{Handler: mux(c.Version, q), ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, MaxHeaderBytes: 16 << 10}
	return s, nil
}

func open(c Config) (net.Listener, Access, error) {
	made, err := makeDir(filepath.Dir(c.Path))
	if err != nil {
		return nil, Access{}, fmt.Errorf("%w; choose another path with --admin-socket", err)
	}
	if n, err := net.Dial("unix", c.Path); err == nil {
		_ = n.Close()
		return nil, Access{}, fmt.Errorf("%s: another agent serves it; stop it, or choose another path with --admin-socket", c.Path)
	}
	if err := os.Remove(c.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, Access{}, fmt.Errorf("%w; remove it, or choose another path with --admin-socket", err)
	}
	l, err := net.Listen("unix", c.Path)
	if err != nil {
		return nil, Access{}, fmt.Errorf("%w; choose another path with --admin-socket", err)
	}
	if err := os.Chmod(c.Path, socketMode); err != nil {
		return nil, Access{}, errors.Join(err, l.Close())
	}
	return l, grant(c, made), nil
}

// makeDir makes a folder, and reports whether it was not there before.
func makeDir(dir string) (made bool, err error) {
	if _, err := os.Stat(dir); err == nil {
		return false, nil
	}
	return true, os.MkdirAll(dir, dirMode)
}

// Run serves until ctx ends, and removes the socket.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.http.Close() })
	defer stop()
	err := s.http.Serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("admin socket %s: %w", s.path, err)
}

// Close closes the socket of a server that does not run.
func (s *Server) Close() error { return s.listener.Close() }
