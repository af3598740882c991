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

// Views are what can be asked for: by path, a function that returns something
// that encoding/json can write. It is called from many goroutines at once.
type Views map[string]func() any

// Server serves views and changes on a unix socket.
type Server struct {
	path     string
	listener net.Listener
	http     http.Server
}

// requestTimeout bounds how long one request may take to come in and go out.
const requestTimeout = 10 * time.Second

// Listen opens the socket. A socket file that nobody serves any more is
// replaced; one that is served is an error. Missing folders are made. No path
// may be both a view and a change.
func Listen(path string, v Views, c Changes) (*Server, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if c, err := net.Dial("unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("admin socket %s: another agent serves it; stop it, or choose another path with --admin-socket", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	s := &Server{path: path, listener: l}
	s.http = http.Server{Handler: mux(v, c), ReadTimeout: requestTimeout, WriteTimeout: requestTimeout, MaxHeaderBytes: 16 << 10}
	return s, nil
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
