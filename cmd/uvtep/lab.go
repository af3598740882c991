package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/bench/lab"
)

func newLab() *cobra.Command {
	cfg, logLevel, blocks := lab.RunConfig{}, "", []string(nil)
	c := &cobra.Command{
		Use:   "lab",
		Short: "The main job on one machine: hosts as network namespaces, every pair tried",
		Long: "Builds hosts as network namespaces with an embedded etcd, one real `uvtep run` process\n" +
			"a host and containers behind each, tries every pair of containers with ping and TCP,\n" +
			"prints the results and takes everything down. Exit status 0: every pair got through.",
		Example: "  uvtep lab --hosts 5\n  uvtep lab --keep",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			var err1, err2 error
			cfg.Block, err1 = parseBlocks(blocks, cfg.Hosts)
			cfg.Log, err2 = newLog(os.Stderr, logLevel, "auto")
			if err := errors.Join(checkLab(cfg), err1, err2); err != nil {
				return usageError{err}
			}
			if os.Geteuid() != 0 {
				return errors.New("the lab makes network namespaces: run it as root")
			}
			if cfg.Bin, err = os.Executable(); err != nil {
				return err
			}
			cfg.Out, cfg.Live = cmd.OutOrStdout(), onTerminal(cmd.OutOrStdout())
			withoutTwins()
			return lab.Run(cmd.Context(), cfg)
		},
	}
	f := c.Flags()
	f.IntVar(&cfg.Hosts, "hosts", 3, "hosts in the lab")
	f.IntVar(&cfg.Containers, "containers", 2, "containers behind each host")
	f.Int64Var(&cfg.Probe.Bytes, "bytes", 4<<20, "bytes of each TCP transfer")
	f.IntVar(&cfg.UnderlayMTU, "underlay-mtu", 1500, "MTU between the hosts, in bytes")
	f.BoolVar(&cfg.Keep, "keep", false, "leave the lab up until Ctrl-C and say how to look around")
	f.StringArrayVar(&blocks, "block", nil, "drop UDP 4789 between two hosts, as in 1-2, or all: shows what a failure looks like")
	f.StringVar(&logLevel, "log-level", zerolog.WarnLevel.String(), "what the lab itself logs: debug, info, warn or error")
	return c
}

// checkLab reports all figures that cannot be.
func checkLab(c lab.RunConfig) error {
	var errs []error
	for _, f := range []struct {
		name            string
		is, least, most int64
	}{
		{"hosts", int64(c.Hosts), 2, 200},
		{"containers", int64(c.Containers), 1, 100},
		{"bytes", c.Probe.Bytes, 1, 1 << 40},
		{"underlay-mtu", int64(c.UnderlayMTU), 576, 65535},
	} {
		if f.is < f.least || f.is > f.most {
			errs = append(errs, fmt.Errorf("--%s %d: want %d to %d", f.name, f.is, f.least, f.most))
		}
	}
	return errors.Join(errs...)
}

// withoutTwins takes what speaks for the flags of an agent out of the
// environment: the lab's agents are told all by flags, and what is meant for
// an agent of this machine is not meant for them.
func withoutTwins() {
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "UVTEP_") || strings.HasPrefix(name, "FLANNELD_") {
			_ = os.Unsetenv(name)
		}
	}
}

// parseBlocks reads pairs of host numbers such as 1-2; "all" is every pair.
func parseBlocks(pairs []string, hosts int) ([][2]int, error) {
	var out [][2]int
	for _, p := range pairs {
		if p == "all" {
			out = append(out, [2]int{0, 0})
			continue
		}
		a, b, _ := strings.Cut(p, "-")
		i, err1 := strconv.Atoi(a)
		j, err2 := strconv.Atoi(b)
		if errors.Join(err1, err2) != nil || min(i, j) < 1 || max(i, j) > hosts || i == j {
			return nil, fmt.Errorf("--block %q: want two of the %d hosts, as in 1-2, or all", p, hosts)
		}
		out = append(out, [2]int{i, j})
	}
	return out, nil
}
