package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/hostnet"
	"github.com/uvtep/uvtep/internal/state"
)

// down is how a host leaves its networks for good.
type down struct {
	etcd        etcdFlags
	stateDir    string
	subnetFile  string
	adminSocket string
	tap         string
	keepLease   bool

	all []*remains
	out io.Writer
}

func newDown() *cobra.Command {
	d := new(down)
	c := &cobra.Command{
		Use:   "down",
		Short: "Take this host out of its networks: TAP, routes, rules, subnet file and both leases",
		Long: "Removes what a stopped agent leaves on the host for its next start, of every network\n" +
			"that it was in, and gives its subnets back in etcd. Refused while the agent runs. The state directory stays: a host\n" +
			"that joins again is the same one, and has its old subnet if that is free.\n\n" +
			"With --keep-lease the subnet stays leased until its time is over: for flannel, say,\n" +
			"which takes the place of uvtep on this host.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := d.etcd.o.Validate(); err != nil {
				return usageError{err}
			}
			d.out = cmd.OutOrStdout()
			return d.run(cmd)
		},
	}
	d.register(c.Flags())
	return c
}

func (d *down) register(f *pflag.FlagSet) {
	d.etcd.register(f)
	f.StringVar(&d.stateDir, "state-dir", "/var/lib/uvtep", "that of the agent")
	f.StringVar(&d.subnetFile, "subnet-file", "/run/flannel/subnet.env", "that of the agent")
	adminFlag(f, &d.adminSocket)
	f.StringVar(&d.tap, "tap", "", "name of the TAP (default uvtep.<VNI>)")
	f.BoolVar(&d.keepLease, "keep-lease", false, "leave the subnet leased")
}

func (d *down) run(cmd *cobra.Command) (err error) {
	if _, err := os.ReadDir(d.stateDir); errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%w; run this as root", err)
	}
	if d.all, err = remainsIn(state.Dir(d.stateDir), d.subnetFile); err != nil {
		return err
	}
	if d.tap != "" {
		d.all[0].taps = []string{d.tap}
	}
	if err := d.agentStopped(); err != nil {
		return err
	}
	return errors.Join(d.leaveHost(), d.leaveEtcd(cmd))
}

// agentStopped refuses when the agent runs: by its socket, else by its port.
func (d *down) agentStopped() error {
	c, err := net.Dial("unix", d.adminSocket)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("an agent runs on this host (it answers at %s); stop it first", d.adminSocket)
	}
	for _, r := range d.all {
		served, err := r.served()
		if err == nil && served {
			err = fmt.Errorf("an agent serves UDP port %d on this host; stop it first", r.network.Port)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// leaveHost removes what is on the host. Only what is ours is touched.
func (d *down) leaveHost() error {
	h, err := hostnet.Open(hostnet.Config{})
	if err != nil {
		return err
	}
	defer h.Close()
	var errs []error
	for _, r := range d.all {
		gone, err := r.leaveHost(h, d.keepLease) // flannel asks for the subnet in the file
		for _, what := range gone {
			fmt.Fprintln(d.out, "removed", what)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// leaveEtcd gives back what the host holds in etcd.
func (d *down) leaveEtcd(cmd *cobra.Command) error {
	dir := state.Dir(d.stateDir)
	if !dir.Known() {
		fmt.Fprintf(d.out, "no agent has run with %s: nothing to give back in etcd\n", d.stateDir)
		return nil
	}
	node, err := dir.NodeID()
	if err != nil {
		return err
	}
	return withStore(cmd, &d.etcd, func(ctx context.Context, s *etcdsync.Store) error {
		var errs []error
		for _, r := range d.all {
			released, err := s.Named(r.name, d.etcd.o.Log).Leave(ctx, etcdsync.Leaving{NodeID: node, KeepSubnet: d.keepLease})
			if err != nil {
				errs = append(errs, fmt.Errorf("the host could not leave etcd, where its subnet stays leased until its time is over: %w; run `uvtep down` once more", err))
			}
			if len(released) > 0 {
				fmt.Fprintf(d.out, "released %s\n", strings.Join(released, ", "))
			}
		}
		return errors.Join(errs...)
	})
}
