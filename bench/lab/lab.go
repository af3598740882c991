//go:build linux

package lab

import (
	"context"
	"errors"
	"net/netip"

	"github.com/rs/zerolog"
)

// Config says what New makes. The zero value is three hosts without agents on an
// underlay of 1500 bytes whose devices cut every frame to the wire's size.
type Config struct {
	Hosts            int            // hosts to begin with; 0 means 3, at most 200
	Bin              string         // the uvtep program that agents run; empty: StartAgent fails
	AgentArgs        []string       // added to the arguments of every agent, before its own
	Network          netip.Prefix   // the overlay, told to the first host's agent; zero means 10.10.0.0/16
	Dir              string         // logs and state; empty: a folder of its own, removed by Close
	Log              zerolog.Logger // what the lab does; the zero logger discards
	UnderlayMTU      int            // bytes; 0 means 1500
	UnderlayOffloads bool           // leave segmentation and checksum offloads of the hosts' veths on
	IPv6             bool           // give the underlay IPv6 addresses too
}

// Lab is a running laboratory. Close it.
type Lab struct {
	Name  string  // begins the names of all its namespaces
	Dir   string  // logs and state of its processes
	Hosts []*Host // in order of their number
}

// New makes the hosts and the wire between them. ctx bounds the making only. On
// error all that was made is gone again. Leftovers of labs whose owner has died
// are swept first.
func New(ctx context.Context, cfg Config) (*Lab, error) { return nil, errors.ErrUnsupported }

// Close ends all processes, first with SIGTERM, removes all namespaces and the
// folder if the lab made it. It may be called more than once.
func (l *Lab) Close() error { return errors.ErrUnsupported }

// AddHost adds one more host, wired as the others.
func (l *Lab) AddHost(ctx context.Context) (*Host, error) { return nil, errors.ErrUnsupported }

// StartAgents starts an agent on every host, the first host's first, and returns
// when all are ready.
func (l *Lab) StartAgents(ctx context.Context, extra ...string) error { return errors.ErrUnsupported }

// AddContainers adds n containers to every host.
func (l *Lab) AddContainers(ctx context.Context, n int) error { return errors.ErrUnsupported }

// Containers returns the containers of all hosts.
func (l *Lab) Containers() []*Container { return nil }

// Sweep removes what labs left behind whose owner has died, and returns their
// names. New does it too.
func Sweep() ([]string, error) { return nil, errors.ErrUnsupported }
