package main

import (
	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/internal/state"
)

// localFlags are those of commands that look at this host, whether an agent
// runs on it or not. What the agent tells stands above those that were not given.
type localFlags struct {
	etcd      etcdFlags
	etcdGiven bool // on the command line or by the environment
	socket    string
	stateDir  string
	tap       string
	asJSON    bool
}

func (l *localFlags) register(c *cobra.Command) {
	f := c.Flags()
	l.etcd.registerOne(f)
	adminFlag(f, &l.socket)
	f.StringVar(&l.stateDir, "state-dir", "/var/lib/uvtep", "what the agent keeps between its runs; of use when it does not run")
	f.StringVar(&l.tap, "tap", "", "name of the TAP when the agent does not run (default uvtep.<VNI>)")
	f.BoolVarP(&l.asJSON, "json", "j", false, "print JSON")
}

// etcdFlagNames are the flags that say how etcd is reached.
var etcdFlagNames = []string{"etcd-endpoints", "etcd-prefix", "etcd-cafile", "etcd-certfile", "etcd-keyfile", "etcd-username", "etcd-password-file"}

// settle is called when the flags have their values.
func (l *localFlags) settle(c *cobra.Command) error {
	for _, name := range etcdFlagNames {
		l.etcdGiven = l.etcdGiven || c.Flags().Changed(name)
	}
	if err := l.etcd.validate(); err != nil {
		return usageError{err}
	}
	return nil
}

// dir is where the network's part of the agent keeps what it does.
func (l *localFlags) dir() state.Dir {
	if l.etcd.name == "" {
		return state.Dir(l.stateDir)
	}
	return state.Dir(l.stateDir).Of(l.etcd.name)
}

// knownNode is the host's node id, empty when it has none yet: looking makes
// none.
func (l *localFlags) knownNode() string {
	d := state.Dir(l.stateDir)
	if !d.Known() {
		return ""
	}
	id, err := d.NodeID()
	if err != nil {
		return ""
	}
	return id
}
