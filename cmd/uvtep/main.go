// Command uvtep is a userspace VXLAN switch: the agent of one host (uvtep run),
// a laboratory that shows it at work on one machine (uvtep lab), and the
// commands to look at both.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit statuses of every command.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2 // bad usage or configuration; nothing was opened
	exitLoss   = 2 // of uvtep probe: not all gets through
)

// usageError is an error of the command line, the environment or the
// configuration: the operator has to change something before it can work.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// statusError is the exit status of a command that has said all there is to say:
// what it found is its answer, and no failure of its own.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func main() { os.Exit(run(os.Args[1:])) }

// run runs one command and returns its exit status. SIGINT and SIGTERM end the
// command's context; being asked to stop is no failure.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(iproute2(predecessor(args)))
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	var status statusError
	if errors.As(err, &status) {
		return int(status)
	}
	fmt.Fprintf(os.Stderr, "uvtep: %s\n", strings.TrimSpace(err.Error()))
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "uvtep",
		Short: "A userspace VXLAN switch for Linux, fed by etcd",
		Long: "uvtep joins hosts without kernel vxlan into one overlay network. Every host leases\n" +
			"a subnet in etcd; frames are read from a TAP and carried in VXLAN over UDP.",
		SilenceErrors: true, SilenceUsage: true,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_ = cmd.Help()
			return usageError{errors.New("say which command")}
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see `%s --help`", err, cmd.CommandPath())}
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newRun(),
		newDown(),
		newLab(),
		newNetwork(),
		newSubnets(),
		newEndpoints(),
		newDockerOpts(),
		newStatus(), newTop(),
		newStats(),
		newLink(),
		newFDB(),
		newNeigh(),
		newRoute(),
		newExplain(),
		newCapture(),
		newDiff(),
		newDoctor(),
		newProbe(),
		newVersion(),
	)
	badArgsAreUsage(root)
	return root
}

// badArgsAreUsage makes cobra's complaints about arguments usage errors, and
// lets the environment speak for flags that were not given.
func badArgsAreUsage(c *cobra.Command) {
	args := c.Args
	if args == nil {
		args = cobra.NoArgs
	}
	c.Args = func(cmd *cobra.Command, a []string) error {
		if err := args(cmd, a); err != nil {
			return usageError{fmt.Errorf("%w; %s", err, meant(cmd, a))}
		}
		return nil
	}
	if pre := c.PreRunE; c.RunE != nil {
		c.PreRunE = func(cmd *cobra.Command, a []string) error {
			if err := fromEnvironment(cmd.Flags(), os.LookupEnv); err != nil {
				return usageError{err}
			}
			if pre != nil {
				return pre(cmd, a)
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		badArgsAreUsage(sub)
	}
}

// meant says what to write in the place of wrong arguments.
func meant(cmd *cobra.Command, args []string) string {
	cmd.SuggestionsMinimumDistance = 2
	if len(args) > 0 && cmd.HasSubCommands() {
		if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
			return fmt.Sprintf("did you mean `%s %s`?", cmd.CommandPath(), like[0])
		}
	}
	if cmd.HasSubCommands() {
		return fmt.Sprintf("see `%s --help`", cmd.CommandPath())
	}
	return fmt.Sprintf("write `%s`, or see `%s --help`", strings.TrimSuffix(cmd.UseLine(), " [flags]"), cmd.CommandPath())
}

// predecessor turns the command line of uvtep's predecessor, `-etcdEndpoint
// URL` without a command, into `run --etcd-endpoints URL`.
func predecessor(args []string) []string {
	if len(args) == 0 {
		return args
	}
	name, value, inline := strings.Cut(strings.TrimLeft(args[0], "-"), "=")
	if !strings.HasPrefix(args[0], "-") || name != "etcdEndpoint" {
		return args
	}
	if inline {
		args = append([]string{"", value}, args[1:]...)
	}
	return append([]string{"run", "--etcd-endpoints"}, args[1:]...)
}
