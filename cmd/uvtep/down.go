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

	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/hostnet"
	"github.com/uvtep/uvtep/internal/state"
)

// down is how a host leaves the network for good.
type down struct {
	etcd        etcdFlags
	stateDir    string
	subnetFile  string
	adminSocket string
	tap         string
	keepLease   bool

	state   state.Dir
	network *etcdsync.Network // nil: none is known here
	out     io.Writer
}

func newDown() *cobra.Command {
	d := new(down)
	c := &cobra.Command{
		Use:   "down",
		Short: "Take this host out of the network: TAP, routes, rules, subnet file and both leases",
		Long: "Removes what a stopped agent leaves on the host for its next start, and gives its\n" +
			"subnet back in etcd. Refused while the agent runs. The state directory stays: a host\n" +
			"that joins again is the same one, and has its old subnet if that is free.\n\n" +
			"With --keep-lease the subnet stays leased until its time is over: for flannel, say,\n" +
			"which takes the place of uvtep on this host.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := d.etcd.o.Validate(); err != nil {
				return usageError{err}
			}
			d.state, d.out = state.Dir(d.stateDir), cmd.OutOrStdout()
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

func (d *down) run(cmd *cobra.Command) error {
	if text, err := d.state.Network(d.etcd.o.KeyPrefix()); err == nil && text != nil {
		if n, _, err := etcdsync.ParseNetwork(text); err == nil {
			d.network = &n
		}
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
	if d.network == nil {
		return nil
	}
	served, err := underlay.Served(d.network.Port)
	if err == nil && served {
		err = fmt.Errorf("an agent serves UDP port %d on this host; stop it first", d.network.Port)
	}
	return err
}

// leaveHost removes what is on the host. Only what is ours is touched.
func (d *down) leaveHost() error {
	name := d.tap
	if name == "" && d.network != nil {
		name = tapName("", d.network.VNI)
	}
	h, err := hostnet.Open(hostnet.Config{})
	if err != nil {
		return err
	}
	defer h.Close()
	var errs []error
	if name != "" {
		errs = append(errs, d.removeTAP(h, name), h.RemoveMasquerade(name))
	}
	return errors.Join(append(errs, d.removeFile())...)
}

// removeTAP removes the TAP, and with it its addresses and routes.
func (d *down) removeTAP(h *hostnet.Host, name string) error {
	l, err := h.FindLink(name)
	if errors.Is(err, hostnet.ErrNoLink) {
		return nil
	}
	if err != nil {
		return err
	}
	if !l.Ours {
		return fmt.Errorf("%s is not a TAP of uvtep's: left alone", name)
	}
	if err := h.DeleteLink(name); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "removed %s with its routes\n", name)
	return nil
}

// removeFile removes the subnet file, if it says what this host had.
func (d *down) removeFile() error {
	v4, v6, err := d.state.Subnet()
	if err != nil || !v4.IsValid() && !v6.IsValid() || d.keepLease {
		return err // flannel asks for the subnet in the file
	}
	env, err := hostnet.ReadSubnetEnv(d.subnetFile)
	if err != nil || env.Subnet.Masked() != v4 || env.IPv6Subnet.Masked() != v6 {
		return nil // none, or somebody else's
	}
	if err := os.Remove(d.subnetFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	fmt.Fprintf(d.out, "removed %s\n", d.subnetFile)
	return nil
}

// leaveEtcd gives back what the host holds in etcd.
func (d *down) leaveEtcd(cmd *cobra.Command) error {
	if !d.state.Known() {
		fmt.Fprintf(d.out, "no agent has run with %s: nothing to give back in etcd\n", d.stateDir)
		return nil
	}
	node, err := d.state.NodeID()
	if err != nil {
		return err
	}
	return withStore(cmd, &d.etcd, func(ctx context.Context, s *etcdsync.Store) error {
		released, err := s.Leave(ctx, etcdsync.Leaving{NodeID: node, KeepSubnet: d.keepLease})
		if err != nil {
			return fmt.Errorf("the host could not leave etcd, where its subnet stays leased until its time is over: %w; run `uvtep down` once more", err)
		}
		if len(released) > 0 {
			fmt.Fprintf(d.out, "released %s\n", strings.Join(released, ", "))
		}
		return nil
	})
}
