package main

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
)

func adminFlag(f *pflag.FlagSet, socket *string) {
	*socket = "/run/uvtep/uvtep.sock"
	f.Var((*socketPath)(socket), "admin-socket", "unix socket that the agent answers questions on")
}

// socketPath is the path of a unix socket (unix(7)).
type socketPath string

// maxSocketPath is how many bytes it may have: the kernel's sun_path holds 108, a
// zero at the end included.
const maxSocketPath = 107

// Set takes a path from the command line.
func (p *socketPath) Set(s string) error {
	switch {
	case s == "":
		return errors.New("want the path of a unix socket")
	case len(s) > maxSocketPath:
		return fmt.Errorf("a path of %d bytes: the kernel takes %d", len(s), maxSocketPath)
	}
	*p = socketPath(s)
	return nil
}

// String returns the path.
func (p *socketPath) String() string { return string(*p) }

// Type is what the help calls it.
func (p *socketPath) Type() string { return "string" }
