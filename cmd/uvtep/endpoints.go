package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
)

func newEndpoints() *cobra.Command {
	c := &cobra.Command{
		Use:   "endpoints",
		Short: "List the stations behind all hosts, and write down static ones",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usageError{errors.New("say list, add or delete")}
		},
	}
	c.AddCommand(newEndpointsList(), newEndpointsAdd(), newEndpointsDelete())
	return c
}

func newEndpointsList() *cobra.Command {
	e, asJSON := new(etcdFlags), false
	c := &cobra.Command{
		Use:   "list",
		Short: "List the stations in etcd: what hosts announce, and static entries",
		Long: "ORIGIN is endpoint for a station that the host at VTEP announces, or static for one\n" +
			"that an operator wrote down. A host whose record is missing is \"-\": its stations count\n" +
			"for nothing. AGE is the time since the host saw the station first, MOVES how often it\n" +
			"moved from host to host.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := e.validate(); err != nil {
				return usageError{err}
			}
			return withStore(cmd, e, func(ctx context.Context, s *etcdsync.Store) error {
				list, err := s.ListStations(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), stationViews(list))
				}
				return printStations(cmd.OutOrStdout(), list)
			})
		},
	}
	e.registerOne(c.Flags())
	c.Flags().BoolVarP(&asJSON, "json", "j", false, "print JSON")
	return c
}

// staticFlags name a static entry.
type staticFlags struct {
	etcdFlags
	vni  uint32
	ips  []string
	vtep string

	mac   ether.Addr
	addrs []netip.Addr
	to    netip.Addr
}

func (f *staticFlags) register(c *cobra.Command) {
	f.etcdFlags.registerOne(c.Flags())
	c.Flags().Uint32Var(&f.vni, "vni", 0, "VXLAN network identifier (default the network's)")
}

// validate parses what the flags say and reports all faults at once.
func (f *staticFlags) validate(mac string, whole bool) error {
	var errs []error
	var err error
	if f.mac, err = ether.ParseAddr(mac); err != nil {
		errs = append(errs, err)
	}
	if !encap.VNI(f.vni).Valid() {
		errs = append(errs, fmt.Errorf("--vni %d: want 0 to 16777215", f.vni))
	}
	for _, text := range f.ips {
		a, err := netip.ParseAddr(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--ip %q: not an IP address", text))
		}
		f.addrs = append(f.addrs, a.Unmap())
	}
	if f.to, err = netip.ParseAddr(f.vtep); whole && err != nil {
		errs = append(errs, fmt.Errorf("--vtep %q: want the address of a host", f.vtep))
	}
	return errors.Join(append(errs, f.etcdFlags.validate())...)
}

// network returns the VNI that is meant: the network's unless one was given.
func (f *staticFlags) network(ctx context.Context, cmd *cobra.Command, s *etcdsync.Store) (encap.VNI, error) {
	if cmd.Flags().Changed("vni") {
		return encap.VNI(f.vni), nil
	}
	n, err := s.Network(ctx)
	return n.VNI, err
}

func newEndpointsAdd() *cobra.Command {
	f := new(staticFlags)
	c := &cobra.Command{
		Use:   "add MAC --vtep ADDRESS [--ip ADDRESS]...",
		Short: "Write down which host a station is behind",
		Long: "A static entry stands above what hosts announce and below leases: a station with its\n" +
			"MAC address elsewhere is not announced. It has no lifetime. --vtep is the address that\n" +
			"the host receives datagrams at; questions for the addresses of --ip are answered.",
		Example: "  uvtep endpoints add 02:00:5e:10:00:07 --ip 10.10.3.7 --ip fd00::7 --vtep 192.0.2.2",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.validate(args[0], true); err != nil {
				return usageError{err}
			}
			return withStore(cmd, &f.etcdFlags, func(ctx context.Context, s *etcdsync.Store) error {
				vni, err := f.network(ctx, cmd, s)
				if err != nil {
					return err
				}
				added, err := s.AddStatic(ctx, vni, f.mac, f.addrs, f.to.Unmap())
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), map[bool]string{true: "added", false: "there already:"}[added], f.mac, "in VNI", vni)
				return nil
			})
		},
	}
	f.register(c)
	c.Flags().StringSliceVar(&f.ips, "ip", nil, "IP address of the station; may be repeated")
	c.Flags().StringVar(&f.vtep, "vtep", "", "address of the host that it is behind")
	return c
}

func newEndpointsDelete() *cobra.Command {
	f := new(staticFlags)
	c := &cobra.Command{
		Use:   "delete MAC",
		Short: "Remove a static entry",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.validate(args[0], false); err != nil {
				return usageError{err}
			}
			return withStore(cmd, &f.etcdFlags, func(ctx context.Context, s *etcdsync.Store) error {
				vni, err := f.network(ctx, cmd, s)
				if err != nil {
					return err
				}
				err = s.DeleteStatic(ctx, vni, f.mac)
				if errors.Is(err, etcdsync.ErrNoStatic) {
					return fmt.Errorf("%w; `uvtep endpoints list` has those that there are", err)
				}
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), "deleted", f.mac, "in VNI", vni)
				return nil
			})
		},
	}
	f.register(c)
	return c
}
