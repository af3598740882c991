package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/internal/hostnet"
)

func newDockerOpts() *cobra.Command {
	file, name := "", ""
	c := &cobra.Command{
		Use:     "docker-opts",
		Short:   "Print dockerd's --bip and --mtu from the lease",
		Example: "  dockerd $(uvtep docker-opts)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if name != "" {
				if err := badName(name); err != nil {
					return usageError{err}
				}
				file = envPath(file, name)
			}
			env, err := hostnet.ReadSubnetEnv(file)
			if errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%w: no agent has written it yet; start `uvtep run`, or say which with --subnet-file", err)
			}
			if err != nil {
				return err
			}
			opts, err := env.DockerOpts()
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), opts)
			return nil
		},
	}
	c.Flags().StringVar(&file, "subnet-file", "/run/flannel/subnet.env", "what the agent wrote")
	c.Flags().StringVar(&name, "network-name", "", "the network of this name, whose file lies beside that one")
	return c
}
