package etcdsync

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Network reads the network configuration; ErrNoNetwork when there is none,
// ErrBadNetwork when it does not parse. Warnings are logged.
func (s *Store) Network(ctx context.Context) (Network, error) {
	n, _, err := s.readNetwork(ctx)
	return n, err
}

// readNetwork is Network, and tells where in history it looked.
func (s *Store) readNetwork(ctx context.Context) (Network, header, error) {
	r, err := s.get(ctx, configKey)
	if err != nil {
		return Network{}, header{}, err
	}
	if len(r.Kvs) == 0 {
		return Network{}, headerOf(r.Header), fmt.Errorf("%w: %q is missing", ErrNoNetwork, s.prefix+configKey)
	}
	n, warnings, err := ParseNetwork(r.Kvs[0].Value)
	for _, w := range warnings {
		s.log.Warn().Msg("network configuration: " + w)
	}
	if err != nil {
		return Network{}, headerOf(r.Header), fmt.Errorf("%q: %w", s.prefix+configKey, err)
	}
	return n, headerOf(r.Header), nil
}

// InitNetwork writes the network configuration if there is none, and reports
// whether it did. What is there stays as it is.
func (s *Store) InitNetwork(ctx context.Context, n Network) (created bool, err error) {
	if n, err = n.Complete(); err != nil {
		return false, err
	}
	value, err := n.MarshalJSON()
	if err != nil {
		return false, err
	}
	key := s.prefix + configKey
	r, err := s.commit(ctx, txn{
		compare: []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key), "=", 0)},
		then:    []clientv3.Op{clientv3.OpPut(key, string(value))},
	})
	if err != nil {
		return false, err
	}
	return r.Succeeded, nil
}

// WaitNetwork is Network for an agent that starts: it waits for etcd and for
// the configuration, says once which of the two is missing, and ends with ctx
// or at an ErrBadNetwork.
func (s *Store) WaitNetwork(ctx context.Context) (Network, error) {
	var p pacer
	told := false
	for {
		p.begin()
		n, at, err := s.readNetwork(ctx)
		switch {
		case err == nil:
			s.outage.over()
			return n, nil
		case errors.Is(err, ErrBadNetwork):
			return Network{}, err
		case ctx.Err() != nil:
			return Network{}, ctx.Err()
		case !errors.Is(err, ErrNoNetwork):
			s.failed(&p, err)
		default:
			s.outage.over()
			if !told {
				s.log.Warn().Str("key", s.prefix+configKey).
					Msg("no network configuration in etcd yet; waiting for it (`uvtep network init --network 10.10.0.0/16` writes one)")
				told = true
			}
			s.awaitNetwork(ctx, at)
		}
		if !p.wait(ctx) {
			return Network{}, ctx.Err()
		}
	}
}

// awaitNetwork returns when the configuration was written after a moment, or
// when that cannot be told any more.
func (s *Store) awaitNetwork(ctx context.Context, after header) {
	w := s.watch(ctx, after, []string{s.prefix + configKey})
	defer w.stop()
	for r := range w.C {
		if len(r.Events) > 0 {
			return
		}
	}
}
