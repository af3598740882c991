package bench

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/uvtep/uvtep/bench/lab"
)

func TestCommandsShowTheTablesOfARunningAgent(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h, far := l.Hosts[0], l.Hosts[1]
	link, err := far.Link(far.TAP)
	must(t, err)
	say := func(args ...string) string {
		t.Helper()
		p, err := h.Start(program, append(args, "--admin-socket", h.AdminSocket)...)
		must(t, err, p.Wait(ctx))
		return p.Output()
	}
	mac := link.MAC.String()
	for _, c := range []struct{ table, text, json string }{
		{"fdb", mac + " dev uvtep.1 dst 192.0.2.2 self permanent\n",
			`[{"mac":"` + mac + `","ifname":"uvtep.1","dst":"192.0.2.2","flags":["self"],"state":"permanent"}]`},
		{"neigh", "10.10.2.0 dev uvtep.1 lladdr " + mac + " PERMANENT\n",
			`[{"dst":"10.10.2.0","dev":"uvtep.1","lladdr":"` + mac + `","state":["PERMANENT"]}]`},
		{"route", "10.10.2.0/24 via 10.10.2.0 dev uvtep.1 proto 86 onlink\n",
			`[{"dst":"10.10.2.0/24","gateway":"10.10.2.0","dev":"uvtep.1","protocol":"86","flags":["onlink"]}]`},
	} {
		if diff := cmp.Diff(c.text, say(c.table)+strings.TrimPrefix(say(c.table, "show"), c.text)); diff != "" {
			t.Errorf("uvtep %s, and with show (-want +got):\n%s", c.table, diff)
		}
		var got, want any
		must(t, json.Unmarshal([]byte(say(c.table, "-j")), &got), json.Unmarshal([]byte(c.json), &want))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("uvtep %s -j (-want +got):\n%s", c.table, diff)
		}
	}
}
