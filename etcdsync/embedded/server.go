package embedded

import (
	"context"
	"errors"

	"github.com/rs/zerolog"
)

// Config says where the server listens and keeps its data.
type Config struct {
	// Listen is the URL that clients reach it at: http://ADDRESS:PORT. Port 0
	// takes a free one.
	Listen string
	// Dir holds the data; it is made if absent.
	Dir string
	// Log receives what etcd has to say, from warnings on (all of it at debug
	// level). The zero Logger discards it.
	Log zerolog.Logger
}

// Server is a running etcd. Its peer port is a free one on loopback.
type Server struct{}

// Start runs a server and returns when it serves clients, or when ctx ends.
func Start(ctx context.Context, c Config) (*Server, error) {
	return nil, errors.New("not implemented")
}

// Endpoint returns the URL to reach the server at from this machine.
func (s *Server) Endpoint() string { return "" }

// Err returns a channel that receives one error when the server stops by
// itself (its disk is full, say). The process goes on without it.
func (s *Server) Err() <-chan error { return nil }

// Close stops the server; its data stays.
func (s *Server) Close() error { return nil }
