package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/etcdsync"
)

func newSubnets() *cobra.Command {
	e, asJSON := new(etcdFlags), false
	c := &cobra.Command{
		Use:   "subnets",
		Short: "List the subnets that hosts hold in etcd",
		Long: "HOLDER is a uvtep host by its node id, or flannel, or a reservation, which has no\n" +
			"etcd lease and never ends. ALIVE: a uvtep host's record is there or not (one that is\n" +
			"cut off from etcd has none either, and goes on forwarding); a flannel host writes none:\n" +
			"\"overdue\" says that it should have renewed its lease. AGE is the time since the lease\n" +
			"was last renewed. When a subnet was leased etcd does not keep: CREATED is its revision.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := e.validate(); err != nil {
				return usageError{err}
			}
			return withStore(cmd, e, func(ctx context.Context, s *etcdsync.Store) error {
				list, err := s.Subnets(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), subnetViews(list))
				}
				return printSubnets(cmd.OutOrStdout(), list)
			})
		},
	}
	e.registerOne(c.Flags())
	c.Flags().BoolVarP(&asJSON, "json", "j", false, "print JSON")
	c.AddCommand(newSubnetsRelease())
	return c
}

func newSubnetsRelease() *cobra.Command {
	e, force := new(etcdFlags), false
	c := &cobra.Command{
		Use:   "release SUBNET",
		Short: "Take a subnet away from a host that is gone",
		Long: "Deletes the subnet's key in etcd, if nothing about it changes meanwhile. Refused while\n" +
			"the holder may be up: a uvtep host as long as its host record is there, a flannel host\n" +
			"until it is overdue (less than 55 minutes left of its 24 hours: it renews at 60). A\n" +
			"reservation is released with --force only.",
		Example: "  uvtep subnets release 10.10.3.0/24\n  uvtep subnets release 10.10.3.0-24 --force",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			v4, v6, err := etcdsync.ParseSubnet(args[0])
			if err := errors.Join(err, e.validate()); err != nil {
				return usageError{err}
			}
			return withStore(cmd, e, func(ctx context.Context, s *etcdsync.Store) error {
				r, err := s.Release(ctx, v4, v6, force)
				if errors.Is(err, etcdsync.ErrHeld) {
					return fmt.Errorf("%w; --force releases it all the same", err)
				}
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "released %s from %s\n", both(r.Subnet, r.Subnet6), r.Holder())
				return nil
			})
		},
	}
	e.registerOne(c.Flags())
	c.Flags().BoolVar(&force, "force", false, "also from a holder that may be up, and a reservation")
	return c
}
