package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/internal/admin"
)

func newLink() *cobra.Command {
	c := newLinkShow("link", "What the data path of a running agent uses now, and why not more")
	show := newLinkShow("show", "The same")
	set := &cobra.Command{
		Use:   "set",
		Short: "Switch a running agent",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usageError{fmt.Errorf("say what: `%s offload auto` or `offload off`", cmd.CommandPath())}
		},
	}
	set.AddCommand(newLinkSetOffload())
	c.AddCommand(show, set)
	return c
}

func newLinkShow(use, short string) *cobra.Command {
	l, details, stats := new(looking), false, false
	c := &cobra.Command{
		Use:   use,
		Short: short,
		Long: short + ".\n\n" +
			"The first line is as `ip -d link show type vxlan` has it, with -d all attributes that apply.\n" +
			"-j has the kernel's keys too, under linkinfo.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.repeat(cmd, func(w io.Writer) error {
				var all each[linkView]
				if err := admin.Get(cmd.Context(), l.socket, linkPath, &all); err != nil {
					return err
				}
				for i := range all {
					if !stats {
						all[i].Stats = nil
					}
				}
				if l.asJSON {
					return printJSON(w, ipLinksOf(all))
				}
				for _, v := range all {
					if err := printLink(w, v, details); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	l.register(c.Flags())
	c.Flags().Lookup("json").Usage = "print JSON, a list as ip's, details too"
	c.Flags().BoolVarP(&stats, "stats", "s", false, "print what the kernel has counted on the TAP: RX came out of the tunnel, TX goes into it")
	c.Flags().BoolVarP(&details, "details", "d", false, "print every source port, and the rules that frames are held to")
	return c
}

func newLinkSetOffload() *cobra.Command {
	socket := ""
	c := &cobra.Command{
		Use:   "offload auto|off",
		Short: "Turn the TAP's superframes on or off, without a restart",
		Long: "off: every frame on the TAP is one of the wire, as tcpdump is to see it, once the\n" +
			"command has returned. auto: segmentation offloads again, where the kernel has them.\n" +
			"It holds until the agent ends.",
		Example: "  uvtep link set offload off && tcpdump -ni uvtep.1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !validOffload(args[0]) {
				return usageError{fmt.Errorf("offload %q: say auto or off", args[0])}
			}
			var all each[linkView]
			if err := admin.Put(cmd.Context(), socket, offloadPath, offloadChange{args[0]}, &all); err != nil {
				return err
			}
			for _, v := range all {
				if args[0] == offloadAuto && !v.Offload.Active {
					fmt.Fprintf(cmd.ErrOrStderr(), "%s: offload stays off: %s\n", v.Name, v.Offload.Reason)
				}
			}
			return nil
		},
	}
	adminFlag(c.Flags(), &socket)
	return c
}
