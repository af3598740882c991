package bench

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/uvtep/uvtep"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Doc        string
}

func packages(t *testing.T) map[string]pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,Doc", module+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]pkg{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")] = p
	}
}

// fences says which packages alone may import a thing, and why.
var fences = []struct {
	what string
	only []string
	why  string
}{
	{"golang.org/x/sys/unix", []string{"switch/tap", "encap/underlay", "internal/hostnet", "internal/sched", "internal/wait", "bench/lab"}, "system calls live behind these packages"},
	{"unsafe", []string{"switch/tap", "encap/underlay", "internal/hostnet", "internal/sched", "internal/wait", "bench/lab"}, "only system calls need it"},
	{"github.com/vishvananda/netlink", []string{"internal/hostnet", "bench/lab"}, "the kernel's network is changed in one place"},
	{"github.com/vishvananda/netns", []string{"internal/hostnet", "bench/lab"}, "the agent lives in one namespace"},
	{"github.com/songgao/water", []string{"switch/tap"}, "queues are opened in one place"},
	{"go.etcd.io/etcd/client/v3", []string{"etcdsync"}, "one place talks to etcd"},
	{"go.etcd.io/etcd/server/v3/embed", []string{"etcdsync/embedded"}, "one place runs etcd"},
	{"github.com/prometheus/client_golang", []string{"internal/metrics"}, "metrics are made in one place"},
	{"github.com/coreos/go-systemd", []string{"cmd/uvtep"}, "only the program has a service manager"},
	{"github.com/google/nftables", []string{"internal/hostnet", "internal/firewall", "bench/lab"}, "firewalls are read, written and thought through in three places"},
	{"os/exec", []string{"bench/lab"}, "the agent runs no program"},
	{"charm.land/bubbletea/v2", []string{"cmd/uvtep"}, "one command takes the whole screen"},
	{"gonum.org/v1/plot", []string{"bench/chart"}, "pictures are no part of the program"},
	{"golang.org/x/perf", []string{"bench/chart"}, "nor is reading benchmarks"},
	{"github.com/google/gopacket", []string{"internal/pcapng", "internal/spell"}, "never in the program's per-frame path: it is for people who debug"},
}

func TestImportsStayBehindTheirFences(t *testing.T) {
	all := packages(t)
	if len(all) < 10 {
		t.Fatalf("go list found %d packages only", len(all))
	}
	for _, f := range fences {
		for name, p := range all {
			for _, i := range p.Imports {
				if (i == f.what || strings.HasPrefix(i, f.what+"/")) && !slices.Contains(f.only, name) {
					t.Errorf("%s imports %s: %s (only %v may)", name, i, f.why, f.only)
				}
			}
		}
	}
}

// mayDependOn says what of this module a package may depend on, directly or not.
// Packages that are not named may depend on anything.
var mayDependOn = map[string][]string{
	"encap/ether":       {},
	"encap":             {"encap/ether"},
	"encap/echo":        {},
	"encap/offload":     {"encap", "encap/ether"},
	"encap/toobig":      {"encap/ether"},
	"internal/ledger":   {},
	"encap/underlay":    {"encap", "encap/ether", "internal/ledger", "internal/wait"},
	"internal/snapmap":  {},
	"fdb":               {"encap", "encap/ether", "internal/snapmap"},
	"arpproxy":          {"encap", "encap/ether", "internal/snapmap", "fdb"},
	"switch":            {"encap", "encap/ether", "encap/echo", "encap/offload", "encap/toobig", "internal/ledger", "internal/snapmap", "fdb", "arpproxy"},
	"switch/tap":        {"internal/wait"},
	"internal/metrics":  {"encap", "encap/echo", "encap/ether", "encap/offload", "encap/toobig", "encap/underlay", "internal/ledger", "internal/snapmap", "internal/state", "internal/wait", "fdb", "arpproxy", "switch", "etcdsync"},
	"internal/state":    {"encap", "encap/ether"},
	"internal/admin":    {},
	"internal/sched":    {},
	"internal/ping":     {},
	"internal/pcapng":   {},
	"internal/spell":    {"encap/ether"},
	"internal/doctor":   {"encap", "encap/ether", "internal/snapmap", "internal/state", "internal/firewall", "internal/hostnet", "fdb", "arpproxy", "etcdsync"},
	"internal/hostnet":  {"encap", "encap/ether", "internal/state", "internal/firewall"},
	"internal/firewall": {},
	"etcdsync":          {"encap", "encap/ether", "internal/snapmap", "internal/state", "fdb", "arpproxy"},
}

func TestLayersPointOneWay(t *testing.T) {
	all := packages(t)
	for name, may := range mayDependOn {
		p, ok := all[name]
		if !ok {
			t.Errorf("package %s is gone: take it out of this test", name)
			continue
		}
		for _, d := range p.Deps {
			d, ours := strings.CutPrefix(d, module+"/")
			if ours && !slices.Contains(may, d) {
				t.Errorf("%s depends on %s; it may only on %v", name, d, may)
			}
		}
	}
	for _, leaf := range []string{"internal/ledger", "encap", "encap/ether", "encap/echo", "encap/toobig", "fdb", "arpproxy", "switch", "internal/snapmap"} {
		for _, d := range all[leaf].Deps {
			if d == "net" || d == "golang.org/x/sys/unix" || d == "github.com/rs/zerolog" {
				t.Errorf("%s depends on %s: leaves do no I/O and take no logger", leaf, d)
			}
		}
	}
}

func TestEveryPackageTellsItsStory(t *testing.T) {
	for name, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("package %q has no doc comment", name)
		}
	}
}
