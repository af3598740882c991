package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/admin"
	vswitch "github.com/uvtep/uvtep/switch"
)

// statsPath is where the agent's counters are read.
const statsPath = "/v1/stats"

// statsView is what it serves.
type statsView struct {
	Network  string                 `json:"network,omitempty"`
	TAP      string                 `json:"tap"`                   // "": of no network
	Revision int64                  `json:"revision"`              // of the tables in force
	Stale    string                 `json:"stale_since,omitempty"` // when etcd was heard last, while it is away
	Verdicts map[string]verdictView `json:"verdicts"`
	Counts   map[string]uint64      `json:"counts"`
	Underlay underlay.Stats         `json:"underlay"`
	// ConflictCount is how many things two hosts have that only one can, and
	// Conflicts at most 100 of them.
	ConflictCount int                 `json:"conflict_count"`
	Conflicts     []etcdsync.Conflict `json:"conflicts"`
}

type verdictView struct {
	Frames uint64 `json:"frames"`
	Bytes  uint64 `json:"bytes"`
}

// stats reads the counters of each network, and with several those of what belongs
// to none. A network that is alone has them all.
func (a *agent) stats() []statsView {
	stray := a.trunk.totals.Stats()
	planes := a.working()
	all := []statsView{}
	for _, p := range planes {
		s := p.totals.Stats()
		if len(a.members) == 1 {
			s.Add(stray)
		}
		all = append(all, p.statsView(s))
	}
	if len(a.members) > 1 {
		all = append(all, newStatsView(stray, a.trunk))
	}
	return all
}

func newStatsView(s vswitch.Stats, t *trunk) statsView {
	v := statsView{Verdicts: map[string]verdictView{}, Counts: map[string]uint64{}, Underlay: t.bundle().Stats(), Conflicts: []etcdsync.Conflict{}}
	for _, x := range vswitch.Verdicts() {
		v.Verdicts[x.String()] = verdictView{Frames: s.Frames[x], Bytes: s.Bytes[x]}
	}
	for _, x := range vswitch.Extras() {
		v.Counts[x.String()] = s.Extra[x]
	}
	return v
}

func (p *plane) statsView(s vswitch.Stats) statsView {
	v := newStatsView(s, p.trunk)
	v.Network, v.TAP = p.member.name, p.name
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tables != nil {
		v.Revision, v.Stale, v.ConflictCount = p.tables.Rev, p.staleSince(), p.tables.ConflictCount
		v.Conflicts = append(v.Conflicts, p.tables.Conflicts...)
	}
	return v
}

// staleSince is when etcd was heard last, while it is away; "" when it is there.
// mu is held.
func (p *plane) staleSince() string {
	since := p.tables.StaleSince
	if since.IsZero() {
		since = p.store.AwaySince()
	}
	if since.IsZero() {
		return ""
	}
	return since.Format(time.RFC3339)
}

func staleText(since string) string {
	if since == "" {
		return ""
	}
	return ", stale since " + since
}

func adminFlag(f *pflag.FlagSet, socket *string) {
	f.StringVar(socket, "admin-socket", "/run/uvtep/uvtep.sock", "unix socket that the agent answers questions on")
}

func newStats() *cobra.Command {
	socket, asJSON := "", false
	c := &cobra.Command{
		Use:   "stats",
		Short: "What became of every frame: the counters of a running agent",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all each[statsView]
			if err := admin.Get(cmd.Context(), socket, statsPath, &all); err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(cmd.OutOrStdout())
				enc.SetIndent("", "  ")
				return enc.Encode(all)
			}
			for i, v := range all {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				if err := printStats(cmd.OutOrStdout(), v); err != nil {
					return err
				}
			}
			return nil
		},
	}
	adminFlag(c.Flags(), &socket)
	c.Flags().BoolVarP(&asJSON, "json", "j", false, "print JSON, zero counters too")
	return c
}

// printStats prints the counters that are not zero, in the order in which a
// frame meets them.
func printStats(w io.Writer, v statsView) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	switch {
	case v.TAP == "":
		fmt.Fprintf(t, "of no network\t\t\t\n")
	case v.Network != "":
		fmt.Fprintf(t, "%s, network %s, revision %d%s\t\t\t\n", v.TAP, v.Network, v.Revision, staleText(v.Stale))
	default:
		fmt.Fprintf(t, "%s, revision %d%s\t\t\t\n", v.TAP, v.Revision, staleText(v.Stale))
	}
	for _, inbound := range []bool{false, true} {
		fmt.Fprintf(t, "%s\tframes\tbytes\t\n", map[bool]string{false: "from the TAP", true: "from the underlay"}[inbound])
		for _, x := range vswitch.Verdicts() {
			if n := v.Verdicts[x.String()]; x.Inbound() == inbound && n.Frames > 0 {
				fmt.Fprintf(t, "%s\t%d\t%d\t\n", x, n.Frames, n.Bytes)
			}
		}
	}
	fmt.Fprintf(t, "besides\tcount\t\t\n")
	for _, x := range vswitch.Extras() {
		if n := v.Counts[x.String()]; n > 0 {
			fmt.Fprintf(t, "%s\t%d\t\t\n", x, n)
		}
	}
	u := v.Underlay
	for _, c := range []struct {
		name string
		n    uint64
	}{{"datagrams sent", u.Datagrams}, {"messages", u.Messages}, {"system calls", u.Calls}, {"too big", u.TooBig}, {"no room", u.NoRoom}, {"refused", u.Refused}, {"overrun", u.Overrun}} {
		if c.n > 0 {
			fmt.Fprintf(t, "%s\t%d\t\t\n", c.name, c.n)
		}
	}
	if v.ConflictCount > 0 {
		fmt.Fprintf(t, "conflicts\t%d\t\t\n", v.ConflictCount)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	return printConflicts(w, v.Conflicts)
}

// printConflicts prints what two hosts have that only one can, a line each.
func printConflicts(w io.Writer, cs []etcdsync.Conflict) error {
	for _, c := range cs {
		if _, err := fmt.Fprintf(w, "WARNING: %s\n", plain(c.String())); err != nil {
			return err
		}
	}
	return nil
}
