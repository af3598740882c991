package etcdsync

import (
	"context"
	"errors"
)

var errTodo = errors.New("not implemented")

// Store is a connection to etcd, as one network's hosts see it. Its methods
// may be called by several goroutines at once.
type Store struct {
	opts Options
}

// Dial makes a Store. It returns at once, also when no member of etcd
// answers: an error is one of the options.
func Dial(o Options) (*Store, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &Store{opts: o}, nil
}

// Close ends the connection. What runs on it must have ended before.
func (s *Store) Close() error { return nil }

// Network reads the network configuration; ErrNoNetwork when there is none,
// ErrBadNetwork when it does not parse.
func (s *Store) Network(ctx context.Context) (Network, error) { return Network{}, errTodo }

// WaitNetwork is Network for an agent that starts: it waits for etcd and for
// the configuration, says once which of the two is missing, and ends with ctx
// or at an ErrBadNetwork.
func (s *Store) WaitNetwork(ctx context.Context) (Network, error) { return Network{}, errTodo }

// InitNetwork writes the network configuration if there is none, and reports
// whether it did. What is there stays as it is.
func (s *Store) InitNetwork(ctx context.Context, n Network) (created bool, err error) {
	return false, errTodo
}

// Subnets lists the keys under subnets/, in the order of their names.
func (s *Store) Subnets(ctx context.Context) ([]SubnetRecord, error) { return nil, errTodo }
