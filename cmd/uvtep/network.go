package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/etcdsync"
)

// etcdPatience is how long a command that asks etcd waits for it.
const etcdPatience = 10 * time.Second

func newNetwork() *cobra.Command {
	c := &cobra.Command{
		Use:   "network",
		Short: "Write and print the network configuration in etcd",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usageError{errors.New("say init or show")}
		},
	}
	c.AddCommand(newNetworkInit(), newNetworkShow())
	return c
}

func newNetworkInit() *cobra.Command {
	e, n := new(etcdFlags), new(networkFlags)
	c := &cobra.Command{
		Use:     "init --network CIDR",
		Short:   "Write the network configuration, unless there is one",
		Example: "  uvtep network init --network 10.10.0.0/16 --etcd-endpoints http://192.0.2.1:2379",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n.cidr == "" && n.cidr6 == "" {
				return usageError{errors.New("say which range with --network, such as --network 10.10.0.0/16")}
			}
			if err := errors.Join(e.validate(), n.validate()); err != nil {
				return usageError{err}
			}
			return withStore(cmd, e, func(ctx context.Context, s *etcdsync.Store) error {
				created, err := s.InitNetwork(ctx, *n.network)
				if err != nil {
					return err
				}
				if created {
					fmt.Fprintln(cmd.OutOrStdout(), "network configuration written")
					return nil
				}
				return alreadyThere(ctx, cmd, s, *n.network)
			})
		},
	}
	e.registerOne(c.Flags())
	f := c.Flags()
	f.StringVar(&n.cidr, "network", "", "IPv4 range of the overlay")
	f.StringVar(&n.cidr6, "ipv6-network", "", "IPv6 range of the overlay")
	f.IntVar(&n.subnetLen6, "ipv6-subnet-len", 0, "prefix length of a host's IPv6 subnet (default 64)")
	f.StringVar(&n.subnetMin, "subnet-min", "", "first subnet that is leased")
	f.StringVar(&n.subnetMax, "subnet-max", "", "last subnet that is leased")
	f.IntVar(&n.backendMTU, "backend-mtu", 0, "MTU of the underlay in bytes where it is smaller than the interfaces say")
	n.register(f)
	return c
}

// alreadyThere is no failure when the configuration that is there says the
// same, so that the command can be run twice.
func alreadyThere(ctx context.Context, cmd *cobra.Command, s *etcdsync.Store, want etcdsync.Network) error {
	have, err := s.Network(ctx)
	if err != nil {
		return err
	}
	a, err1 := json.Marshal(have)
	b, err2 := json.Marshal(want)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if string(a) != string(b) {
		return fmt.Errorf("there is another network configuration already: %s; see `uvtep network show`", a)
	}
	fmt.Fprintln(cmd.OutOrStdout(), "the same network configuration is there already")
	return nil
}

func newNetworkShow() *cobra.Command {
	e := new(etcdFlags)
	c := &cobra.Command{
		Use:   "show",
		Short: "Print the network configuration as JSON",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := e.validate(); err != nil {
				return usageError{err}
			}
			return withStore(cmd, e, func(ctx context.Context, s *etcdsync.Store) error {
				n, err := s.Network(ctx)
				if errors.Is(err, etcdsync.ErrNoNetwork) {
					return fmt.Errorf("%w; write one with `uvtep network init --network CIDR`", err)
				}
				if err != nil {
					return err
				}
				out, err := json.MarshalIndent(n, "", "  ")
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), string(out))
				return nil
			})
		},
	}
	e.registerOne(c.Flags())
	return c
}

// withStore runs f with a connection to etcd, for as long as etcdPatience.
func withStore(cmd *cobra.Command, e *etcdFlags, f func(context.Context, *etcdsync.Store) error) (err error) {
	s, err := etcdsync.Dial(e.o)
	if err != nil {
		return usageError{err}
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ctx, cancel := context.WithTimeout(cmd.Context(), etcdPatience)
	defer cancel()
	if err = f(ctx, s.Named(e.name, e.o.Log)); errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("etcd at %v: %w", e.o.Endpoints, err)
	}
	return err
}
