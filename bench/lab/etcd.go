//go:build linux

package lab

import (
	"context"
	"errors"
	"net/netip"
)

// Etcd is one member of an etcd cluster, the real program, on a machine of its own.
type Etcd struct {
	*Node
	URL     string // for clients on the underlay
	Process *Process
}

// BuildEtcd builds the etcd program from the module go.etcd.io/etcd/server/v3 at
// the version that the module of the working folder requires, and returns its
// path. It is kept below os.UserCacheDir, so that it is built once.
func BuildEtcd(ctx context.Context) (string, error) { return "", errors.ErrUnsupported }

// StartEtcd starts a cluster of members (1, 3, 5) of the program bin and waits
// until it serves. Agents started later use it instead of the embedded one.
func (l *Lab) StartEtcd(ctx context.Context, bin string, members int) ([]*Etcd, error) {
	return nil, errors.ErrUnsupported
}

// Kill ends the member with SIGKILL; Restart brings it back with its data.
func (e *Etcd) Kill() {}

// Pause freezes the member (SIGSTOP): its connections stay open and silent.
func (e *Etcd) Pause() error { return errors.ErrUnsupported }

// Resume ends Pause.
func (e *Etcd) Resume() error { return errors.ErrUnsupported }

// Restart starts the member again on its data and waits until it serves.
func (e *Etcd) Restart(ctx context.Context) error { return errors.ErrUnsupported }

// EtcdURLs is where clients on the underlay find etcd.
func (l *Lab) EtcdURLs() []string { return nil }

// EtcdForward is a URL in the caller's namespace that leads to the same etcd.
func (l *Lab) EtcdForward() (string, error) { return "", errors.ErrUnsupported }

// Put writes a key through etcd's JSON gateway.
func (l *Lab) Put(ctx context.Context, key, value string) error { return errors.ErrUnsupported }

// Delete removes a key through etcd's JSON gateway.
func (l *Lab) Delete(ctx context.Context, key string) error { return errors.ErrUnsupported }

// List returns the keys that begin with prefix, and their values.
func (l *Lab) List(ctx context.Context, prefix string) (map[string]string, error) {
	return nil, errors.ErrUnsupported
}

var _ netip.Addr
