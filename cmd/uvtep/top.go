package main

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/internal/admin"
)

func newTop() *cobra.Command {
	socket, interval := "", time.Duration(0)
	c := &cobra.Command{
		Use:   "top",
		Short: "What passes through a running agent, live",
		Long: "Rates by VTEP, by verdict and by lane, how far etcd is heard, and the traffic of the last\n" +
			"minutes. Keys: s sorts by the next column, r turns the order round, / filters by a part of\n" +
			"a name, p pauses, q quits. Needs a terminal; `uvtep stats -w` does not.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < leastInterval {
				return (&looking{interval: interval}).validate()
			}
			if !onTerminal(os.Stdin) || !onTerminal(cmd.OutOrStdout()) {
				return usageError{errors.New("top needs a terminal; `uvtep stats -w` prints the counters again and again without one")}
			}
			m := newTopModel(func() tea.Msg { return readTop(cmd.Context(), socket) }, interval)
			first := m.ask()
			if r, ok := first.(topReading); ok && r.err != nil {
				return r.err // before the screen is taken
			}
			_, err := tea.NewProgram(m, tea.WithContext(cmd.Context())).Run()
			if errors.Is(err, tea.ErrProgramKilled) || errors.Is(err, tea.ErrInterrupted) {
				return nil // told to stop
			}
			return err
		},
	}
	adminFlag(c.Flags(), &socket)
	c.Flags().DurationVar(&interval, "interval", time.Second, "time between two looks, at least 100ms")
	return c
}

// topReading is one look at an agent.
type topReading struct {
	at     time.Time
	status statusView
	stats  statsView
	err    error // why there is none
}

// readTop looks at the agent.
func readTop(ctx context.Context, socket string) topReading {
	r := topReading{at: time.Now()}
	var list each[statsView]
	if r.err = admin.Get(ctx, socket, statusPath, &r.status); r.err == nil {
		r.err = admin.Get(ctx, socket, statsPath, &list)
	}
	r.stats = sumOf(list)
	return r
}

// sumOf is what all networks of an agent counted together, as far as top shows it.
func sumOf(list []statsView) statsView {
	sum := statsView{Verdicts: map[string]verdictView{}}
	at := map[netip.Addr]int{} // in sum.VTEPs
	for i, v := range list {
		if i == 0 {
			sum.TAP = v.TAP
		}
		for name, n := range v.Verdicts {
			n.add(sum.Verdicts[name])
			sum.Verdicts[name] = n
		}
		for i, l := range v.Lanes {
			if i == len(sum.Lanes) {
				sum.Lanes = append(sum.Lanes, laneView{})
			}
			sum.Lanes[i].add(l.trafficView)
			sum.Lanes[i].Dropped += l.Dropped
		}
		for _, p := range v.VTEPs {
			n, known := at[p.VTEP]
			if !known {
				n = len(sum.VTEPs)
				at[p.VTEP] = n
				sum.VTEPs = append(sum.VTEPs, vtepView{VTEP: p.VTEP})
			}
			sum.VTEPs[n].add(p.trafficView)
		}
	}
	return sum
}
