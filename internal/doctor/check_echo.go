package doctor

import (
	"cmp"
	"slices"
)

// Echo is what became of asking another host's agent for echoes.
type Echo struct {
	Peer  string // for people
	By    string // what `uvtep probe` finds it by
	Fault string // what does not get through; empty when all does
}

// checkEcho tells of hosts that VXLAN does not get through to, or not whole.
func checkEcho(r *report, f *Facts) {
	slices.SortFunc(f.Echoes, func(a, b Echo) int { return cmp.Compare(a.Peer, b.Peer) })
	for _, e := range f.Echoes {
		if e.Fault != "" {
			r.add(Warning, "uvtep doctor on that host; from here: uvtep probe "+e.By, "%s: %s", e.Peer, e.Fault)
		}
	}
	if len(f.Echoes) > 0 {
		r.ok("VXLAN gets through to %s and back", counted(len(f.Echoes), "other host"))
	}
}
