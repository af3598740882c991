package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/internal/hostnet"
)

// exitDifferent is the exit status of a comparison that found something.
const exitDifferent = 2

func newDiff() *cobra.Command {
	l := new(localFlags)
	c := &cobra.Command{
		Use:   "diff",
		Short: "Compare etcd, the agent's tables, the kernel's routes and the TAP",
		Long: "Compares what etcd says with what the agent holds (FDB, VTEPs, ARP and ND bindings, its\n" +
			"lease, the configuration), and what the agent wants with what the kernel has (routes, and\n" +
			"the TAP: there, up, MAC, MTU, addresses, who has it open). One line a difference: - is\n" +
			"what shall be and is not, + what is and should not be, with the key and the revision that\n" +
			"it comes from. Nothing is changed, and nothing printed when all is the same.\n\n" +
			"A side that does not answer within 2 seconds is said on stderr, and the rest compared: for\n" +
			"an etcd that is away the agent's tables at their revision stand in, for an agent that is\n" +
			"away etcd, for both the tables on disk. What differs for less than 100 ms, or while the\n" +
			"agent has not come to etcd's revision (a second at most), is no difference.\n\n" +
			"Etcd is asked as the agent asks it, unless there are flags for it.\n\n" +
			"Exit status: 0 the same, 2 different (and bad usage), 1 could not compare: there was\n" +
			"nothing to compare with, or the agent did not answer and nothing else differs.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := l.settle(cmd); err != nil {
				return err
			}
			d := &differ{local: l, silent: map[string]bool{}}
			if d.host, err = hostnet.Open(hostnet.Config{}); err != nil {
				return err
			}
			defer func() {
				if e := d.close(); err == nil {
					err = e
				}
			}()
			r, ds, err := d.settle(cmd.Context())
			for _, n := range d.notes {
				fmt.Fprintf(cmd.ErrOrStderr(), "uvtep diff: %s\n", plain(n))
			}
			if err != nil {
				return err
			}
			if err := d.print(cmd.OutOrStdout(), &r, ds); err != nil {
				return err
			}
			switch {
			case len(ds) > 0:
				return statusError(exitDifferent)
			case r.agent == nil:
				return statusError(exitFailed)
			}
			return nil
		},
	}
	l.register(c)
	return c
}

// diffView is what is printed as JSON.
type diffView struct {
	Etcd        sideView     `json:"etcd"`
	Agent       sideView     `json:"agent"`
	Notes       []string     `json:"notes"`
	Differences []difference `json:"differences"`
}

// sideView is whether a side was read, and of which revision it is.
type sideView struct {
	Read     bool  `json:"read"`
	Cached   bool  `json:"cached,omitempty"`
	Revision int64 `json:"revision,omitempty"`
}

func (d *differ) print(w io.Writer, r *reading, ds []difference) error {
	if d.local.asJSON {
		v := diffView{Notes: d.notes, Differences: ds}
		if v.Notes == nil {
			v.Notes = []string{}
		}
		if v.Differences == nil {
			v.Differences = []difference{}
		}
		if v.Etcd = (sideView{r.etcd != nil && !r.cached, r.cached, r.revision()}); r.agent != nil {
			v.Agent = sideView{Read: true, Revision: r.agent.Revision}
		}
		return printJSON(w, v)
	}
	for _, x := range ds {
		if _, err := fmt.Fprintln(w, x); err != nil {
			return err
		}
	}
	return nil
}
