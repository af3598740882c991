package doctor

import (
	"cmp"
	"fmt"
	"slices"
)

// Severity is how much a finding matters.
type Severity uint8

const (
	// OK: it was looked at, and is as it should be.
	OK Severity = iota
	// Note: worth knowing; things work.
	Note
	// Warning: something does not work as it should, or will not for long.
	Warning
	// Error: the overlay does not work on this host, or not with all others.
	Error
)

var severityNames = [...]string{OK: "ok", Note: "note", Warning: "warning", Error: "error"}

// String returns "ok", "note", "warning" or "error".
func (s Severity) String() string { return severityNames[s] }

// MarshalText is String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is what a check says.
type Finding struct {
	// Check is the check's id, which the page docs/doctor.md explains.
	Check    string   `json:"check"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	// Fix is what to do: a command where there is one; empty where there is
	// nothing to do.
	Fix string `json:"fix,omitempty"`
}

// check is a look at the facts about one thing.
type check struct {
	id  string
	run func(*report, *Facts)
}

// checks are all there are, in the order in which they are told.
var checks = []check{
	{"agent", checkAgent},
	{"tun", checkTUN},
	{"permission", checkPermission},
	{"port", checkPort},
	{"underlay", checkUnderlay},
	{"registration", checkRegistration},
	{"firewall", checkFirewall},
	{"rp-filter", checkReversePath},
	{"mtu", checkMTU},
	{"routes", checkRoutes},
	{"forwarding", checkForwarding},
	{"forward-policy", checkForwardPolicy},
	{"bridge-nf", checkBridgeFilter},
	{"docker", checkDocker},
	{"tap", checkTAP},
	{"tap-manager", checkManagers},
	{"offload", checkOffload},
	{"checksum", checkChecksum},
	{"buffers", checkBuffers},
	{"drops", checkDrops},
	{"conntrack", checkConntrack},
	{"peers", checkPeers},
	{"echo", checkEcho},
	{"etcd", checkEtcd},
	{"clock", checkClock},
	{"tables", checkTables},
	{"conflicts", checkConflicts},
}

// IDs returns the ids of all checks.
func IDs() []string {
	var out []string
	for _, c := range checks {
		out = append(out, c.id)
	}
	return out
}

// Examine makes all checks. A check that finds nothing wrong has one finding,
// which says what was looked at; one that has nothing to look at has none.
func Examine(f *Facts) []Finding {
	var out []Finding
	for _, c := range checks {
		r := &report{id: c.id}
		c.run(r, f)
		slices.SortStableFunc(r.findings, func(a, b Finding) int { return -cmp.Compare(a.Severity, b.Severity) })
		out = append(out, r.findings...)
	}
	return out
}

// Worst returns the severity of the worst finding.
func Worst(fs []Finding) Severity {
	worst := OK
	for _, f := range fs {
		worst = max(worst, f.Severity)
	}
	return worst
}

// report gathers what one check finds.
type report struct {
	id       string
	findings []Finding
}

func (r *report) add(s Severity, fix, format string, a ...any) {
	r.findings = append(r.findings, Finding{r.id, s, fmt.Sprintf(format, a...), fix})
}

// ok says that all is well, unless something was found.
func (r *report) ok(format string, a ...any) {
	if len(r.findings) == 0 {
		r.add(OK, "", format, a...)
	}
}

// counted is a number of things in words.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
