package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/internal/doctor"
	"github.com/uvtep/uvtep/internal/hostnet"
)

// Exit statuses of `uvtep doctor` by its worst finding.
const (
	exitWarnings = 3
	exitErrors   = 4
)

func newDoctor() *cobra.Command {
	l := new(localFlags)
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Find what is wrong on this host, and say how to put it right",
		Long: "Looks at the agent, the kernel, the firewall, the way to the other hosts and etcd, with\n" +
			"an agent or without, with etcd or without. Each finding is a line: its severity, the\n" +
			"check, what was found; below it, where there is something to do, what. Nothing is\n" +
			"changed. docs/doctor.md explains the checks. Run it as root: others cannot see\n" +
			"everything.\n\n" +
			"Etcd is asked as the agent asks it, unless there are flags for it.\n\n" +
			"Exit status: 0 nothing wrong, or notes only; 3 warnings; 4 errors; 1 could not run;\n" +
			"2 bad usage.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := l.settle(cmd); err != nil {
				return err
			}
			h, err := hostnet.Open(hostnet.Config{})
			if err != nil {
				return err
			}
			defer h.Close()
			e := &examiner{local: l, host: h}
			facts, err := e.gather(cmd.Context())
			if err != nil {
				return err
			}
			found := doctor.Examine(facts)
			if err := printFindings(cmd.OutOrStdout(), found, l.asJSON); err != nil {
				return err
			}
			switch doctor.Worst(found) {
			case doctor.Error:
				return statusError(exitErrors)
			case doctor.Warning:
				return statusError(exitWarnings)
			}
			return nil
		},
	}
	l.register(c)
	return c
}

func printFindings(w io.Writer, found []doctor.Finding, asJSON bool) error {
	if asJSON {
		return printJSON(w, struct {
			Worst    doctor.Severity  `json:"worst"`
			Findings []doctor.Finding `json:"findings"`
		}{doctor.Worst(found), found})
	}
	for _, f := range found {
		if _, err := fmt.Fprintf(w, "%-7s  %-14s  %s\n", f.Severity, f.Check, plain(f.Text)); err != nil {
			return err
		}
		if f.Fix == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-7s  %-14s  fix: %s\n", "", "", plain(f.Fix)); err != nil {
			return err
		}
	}
	return nil
}
