package main

import (
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/encap/underlay"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/admin"
	"github.com/uvtep/uvtep/internal/ledger"
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
	Lanes    []laneView             `json:"lanes"`
	// VTEPs are those that there was traffic with, the most first; OtherVTEPs
	// are all those together for which there was no room.
	VTEPs      []vtepView  `json:"vteps"`
	OtherVTEPs trafficView `json:"other_vteps"`
	// PlainEchoes are the messages of probes that came without VXLAN.
	PlainEchoes plainView `json:"plain_echoes"`
	// ConflictCount is how many things two hosts have that only one can, and
	// Conflicts at most 100 of them.
	ConflictCount int                 `json:"conflict_count"`
	Conflicts     []etcdsync.Conflict `json:"conflicts"`
}

type verdictView struct {
	Frames uint64 `json:"frames"`
	Bytes  uint64 `json:"bytes"`
}

// laneView is what one lane did: the verdicts that it had, and its traffic.
type laneView struct {
	trafficView
	Dropped  uint64                 `json:"dropped"` // frames
	Verdicts map[string]verdictView `json:"verdicts"`
}

// trafficView is traffic in both directions.
type trafficView struct {
	Out verdictView `json:"out"` // into the tunnel
	In  verdictView `json:"in"`  // into the TAP
}

func (t *trafficView) add(o trafficView) {
	t.Out.add(o.Out)
	t.In.add(o.In)
}

// vtepView is the traffic with one VTEP.
type vtepView struct {
	VTEP netip.Addr `json:"vtep"`
	trafficView
}

// laneViews are the lanes' readings: of what belongs to a network and what to
// none, together.
func laneViews(ours, nobodys []vswitch.Stats) []laneView {
	out := make([]laneView, 0, len(ours))
	for i := range max(len(ours), len(nobodys)) {
		var s vswitch.Stats
		for _, all := range [][]vswitch.Stats{ours, nobodys} {
			if i < len(all) {
				s.Add(all[i])
			}
		}
		out = append(out, laneViewOf(&s))
	}
	return out
}

func laneViewOf(s *vswitch.Stats) laneView {
	v := laneView{Verdicts: map[string]verdictView{}}
	for _, x := range vswitch.Verdicts() {
		n := verdictView{s.Frames[x], s.Bytes[x]}
		if n.Frames == 0 {
			continue
		}
		v.Verdicts[x.String()] = n
		switch x {
		case vswitch.Forward, vswitch.Replicate:
			v.Out.add(n)
		case vswitch.Deliver:
			v.In.add(n)
		default:
			if x.Drop() {
				v.Dropped += n.Frames
			}
		}
	}
	return v
}

func (v *verdictView) add(o verdictView) {
	v.Frames += o.Frames
	v.Bytes += o.Bytes
}

// vtepViews tell of the traffic by VTEP.
func vtepViews(sent, heard *ledger.Ledger) (list []vtepView, others trafficView) {
	by, others := traffic(sent, heard)
	list = make([]vtepView, 0, len(by))
	for a, t := range by {
		list = append(list, vtepView{a, *t})
	}
	slices.SortFunc(list, func(a, b vtepView) int {
		return cmp.Or(cmp.Compare(b.Out.Bytes+b.In.Bytes, a.Out.Bytes+a.In.Bytes), a.VTEP.Compare(b.VTEP))
	})
	return list, others
}

// traffic sums up what was sent to and heard from each VTEP.
func traffic(sent, heard *ledger.Ledger) (by map[netip.Addr]*trafficView, others trafficView) {
	by = map[netip.Addr]*trafficView{}
	at := func(a netip.Addr) *trafficView {
		if by[a] == nil {
			by[a] = new(trafficView)
		}
		return by[a]
	}
	out, rest := sent.Sums()
	others.Out = verdictView(rest)
	in, rest := heard.Sums()
	others.In = verdictView(rest)
	for a, n := range out {
		at(a).Out = verdictView(n)
	}
	for a, n := range in {
		at(a).In = verdictView(n)
	}
	return by, others
}

// stats reads the counters of each network, and with several those of what belongs
// to none. A network that is alone has them all.
func (a *agent) stats() []statsView {
	stray, lanes := a.trunk.totals.Stats(), a.trunk.totals.Lanes()
	planes := a.working()
	all := []statsView{}
	for _, p := range planes {
		s, ls := p.totals.Stats(), []vswitch.Stats(nil)
		if len(a.members) == 1 {
			s.Add(stray)
			ls = lanes
		}
		all = append(all, p.statsView(s, ls))
	}
	if len(a.members) > 1 {
		v := newStatsView(stray, a.trunk)
		v.Lanes = laneViews(nil, lanes)
		all = append(all, v)
	}
	return all
}

func newStatsView(s vswitch.Stats, t *trunk) statsView {
	v := statsView{
		Verdicts: map[string]verdictView{}, Counts: map[string]uint64{}, Underlay: t.bundle().Stats(), VTEPs: []vtepView{},
		Conflicts: []etcdsync.Conflict{},
	}
	for _, x := range vswitch.Verdicts() {
		v.Verdicts[x.String()] = verdictView{Frames: s.Frames[x], Bytes: s.Bytes[x]}
	}
	for _, x := range vswitch.Extras() {
		v.Counts[x.String()] = s.Extra[x]
	}
	return v
}

// statsView is what there is to say of a network; stray is what each lane counted
// that belongs to none, if that is to be told with it.
func (p *plane) statsView(s vswitch.Stats, stray []vswitch.Stats) statsView {
	v := newStatsView(s, p.trunk)
	v.Network, v.TAP, v.PlainEchoes = p.member.name, p.name, p.prober.count.view()
	v.Lanes = laneViews(p.totals.Lanes(), stray)
	v.VTEPs, v.OtherVTEPs = vtepViews(&p.sent, &p.heard)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tables != nil {
		v.Revision, v.Stale, v.ConflictCount = p.tables.Rev, p.staleSince(), p.tables.ConflictCount
		v.Conflicts = append(v.Conflicts, p.tables.Conflicts...)
	}
	return v
}

// awaySince is when etcd was heard last, while it is away; the zero Time when it
// is there. mu is held.
func (p *plane) awaySince() time.Time {
	if since := p.tables.StaleSince; !since.IsZero() {
		return since
	}
	return p.store.AwaySince()
}

// staleSince is awaySince as text, "" when etcd is there. mu is held.
func (p *plane) staleSince() string {
	since := p.awaySince()
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

func newStats() *cobra.Command {
	l, all := new(looking), false
	c := &cobra.Command{
		Use:   "stats",
		Short: "What became of every frame: the counters of a running agent",
		Long: "Each frame from the TAP and each datagram from the underlay has one verdict; names that\n" +
			"begin with Drop say why. Then what each lane did, and the traffic with each VTEP, the most\n" +
			"first. Counters that are zero are left out, and VTEPs beyond the first " + strconv.Itoa(vtepsShown) + ".",
		Example: "  uvtep stats\n  uvtep stats -w --interval 5s\n  uvtep stats -j | jq .verdicts.DropUnknownVTEP",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return l.repeat(cmd, func(w io.Writer) error {
				var list each[statsView]
				if err := admin.Get(cmd.Context(), l.socket, statsPath, &list); err != nil {
					return err
				}
				if l.asJSON {
					return printJSON(w, list)
				}
				return printAllStats(w, list, all)
			})
		},
	}
	l.register(c.Flags())
	c.Flags().Lookup("json").Usage = "print JSON, zero counters too"
	c.Flags().BoolVarP(&all, "all", "a", false, "counters that are zero too, and all VTEPs")
	c.Flags().BoolVarP(&all, "stats", "s", false, "the same, as iproute2 calls it")
	return c
}

// vtepsShown is how many VTEPs are shown unless all are asked for.
const vtepsShown = 10

// printAllStats prints the counters of each network.
func printAllStats(w io.Writer, list []statsView, all bool) error {
	for i, v := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := printStats(w, v, all); err != nil {
			return err
		}
	}
	return nil
}

// printStats prints the counters in the order in which a frame meets them: those
// that are not zero, or all.
func printStats(w io.Writer, v statsView, all bool) error {
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
			if n := v.Verdicts[x.String()]; x.Inbound() == inbound && (all || n.Frames > 0) {
				fmt.Fprintf(t, "%s\t%d\t%d\t\n", x, n.Frames, n.Bytes)
			}
		}
	}
	fmt.Fprintf(t, "besides\tcount\t\t\n")
	for _, c := range v.besides() {
		if all || c.n > 0 {
			fmt.Fprintf(t, "%s\t%d\t\t\n", c.name, c.n)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if err := printTraffic(w, v, all); err != nil {
		return err
	}
	return printConflicts(w, v.Conflicts)
}

// counter is a count that is no verdict.
type counter struct {
	name string
	n    uint64
}

// besides are the counts that are no verdicts.
func (v *statsView) besides() (out []counter) {
	for _, x := range vswitch.Extras() {
		out = append(out, counter{x.String(), v.Counts[x.String()]})
	}
	u := v.Underlay
	return append(out, counter{"datagrams sent", u.Datagrams}, counter{"messages", u.Messages}, counter{"system calls", u.Calls}, counter{"too big", u.TooBig},
		counter{"no room", u.NoRoom}, counter{"refused", u.Refused}, counter{"overrun", u.Overrun},
		counter{"plain echoes answered", v.PlainEchoes.Answered}, counter{"plain echoes heard", v.PlainEchoes.Heard}, counter{"plain echoes refused", v.PlainEchoes.Refused},
		counter{"conflicts", uint64(v.ConflictCount)})
}

// printTraffic prints what each lane did, and the traffic with each VTEP.
func printTraffic(w io.Writer, v statsView, all bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "lane\tframes out\tbytes out\tframes in\tbytes in\tdropped\t\n")
	for i, l := range v.Lanes {
		fmt.Fprintf(t, "%d\t%s\t%d\t\n", i, l.trafficView, l.Dropped)
	}
	shown := v.VTEPs
	if !all && len(shown) > vtepsShown {
		shown = shown[:vtepsShown]
	}
	fmt.Fprint(t, "VTEP\tframes out\tbytes out\tframes in\tbytes in\t\n")
	for _, p := range shown {
		fmt.Fprintf(t, "%s\t%s\t\n", p.VTEP, p.trafficView)
	}
	rest := v.OtherVTEPs
	for _, p := range v.VTEPs[len(shown):] {
		rest.Out.add(p.Out)
		rest.In.add(p.In)
	}
	if rest.Out.Frames+rest.In.Frames > 0 {
		fmt.Fprintf(t, "others\t%s\t\n", rest)
	}
	return t.Flush()
}

func (t trafficView) String() string {
	return fmt.Sprintf("%d\t%d\t%d\t%d", t.Out.Frames, t.Out.Bytes, t.In.Frames, t.In.Bytes)
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
