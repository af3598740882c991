//go:build linux

package lab

import (
	"context"
	"errors"
	"io"
)

// RunConfig says what Run does.
type RunConfig struct {
	Config
	Containers int      // a host; 0 means 2
	Bytes      int64    // of each TCP transfer; 0 means 4 MiB
	Block      [][2]int // pairs of hosts between which UDP 4789 is dropped; 0 stands for any host
	Keep       bool     // leave the lab up until ctx ends
	Out        io.Writer
}

// ErrPairs says that the lab worked and that some pairs did not get through.
var ErrPairs = errors.New("pairs without connection")

// Run is the main job on one machine: it builds a lab with an agent a host and
// containers behind each, tries every pair of containers on different hosts with
// ping and TCP, prints the table, and takes all down. The error is ErrPairs if a
// pair failed.
func Run(ctx context.Context, cfg RunConfig) error { return errors.ErrUnsupported }

// Pair is the result between two containers.
type Pair struct {
	From, To *Container
	Ping     Echoes
	TCP      Transfer
	Err      error // nil if all got through
}

// Report is the result of all pairs.
type Report []Pair

// Check tries every pair of containers on different hosts.
func (l *Lab) Check(ctx context.Context, bytes int64) Report { return nil }

// Failed returns the pairs that failed.
func (r Report) Failed() []Pair { return nil }

// WriteTo prints the report as a table, one line a pair.
func (r Report) WriteTo(w io.Writer) (int64, error) { return 0, errors.ErrUnsupported }
