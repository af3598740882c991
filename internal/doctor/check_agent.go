package doctor

import (
	"errors"
	"fmt"
	"strings"

	"github.com/uvtep/uvtep/internal/hostnet"
)

// checkAgent tells whether an agent runs and answers.
func checkAgent(r *report, f *Facts) {
	a := &f.Agent
	switch {
	case a.State == Answers:
		r.ok("the agent answers at %s", a.Socket)
	case a.State == Denied:
		r.add(Warning, "run this as root, or as a member of the group that owns "+a.Socket, "not allowed to ask the agent at %s: what it knows is missing below", a.Socket)
	case a.State == Silent:
		r.add(Error, silentFix(a), "the agent at %s does not answer: %v", a.Socket, a.Err)
	case len(a.Holders) > 0:
		r.add(Warning, "say where its socket is: uvtep doctor --admin-socket PATH", "nobody serves %s, but %s has the TAP open: an agent with another socket?", a.Socket, processes(a.Holders))
	case a.RanBefore:
		r.add(Error, "systemctl start uvtep, or uvtep run; its log says why it ended", "no agent runs here, and one did: nothing is forwarded")
	default:
		r.add(Note, "uvtep run --etcd-endpoints URL", "no agent runs here, and none ever did by this state directory")
	}
}

func silentFix(a *Agent) string {
	if len(a.Holders) == 0 {
		return "restart the agent"
	}
	return fmt.Sprintf("kill -CONT %d if it was stopped, else restart the agent", a.Holders[0].PID)
}

func processes(ps []hostnet.Process) string {
	var out []string
	for _, p := range ps {
		out = append(out, fmt.Sprintf("%s (process %d)", p.Name, p.PID))
	}
	return strings.Join(out, ", ")
}

// checkTUN tells whether TAPs can be made.
func checkTUN(r *report, f *Facts) {
	if f.TUN != nil {
		s := Error
		if f.Agent.State == Answers || !f.Root {
			s = Note // the agent has its TAP, and root may have one
		}
		fix, what := faultOf(f.TUN, "modprobe tun; in a container: --device=/dev/net/tun --cap-add=NET_ADMIN")
		r.add(s, fix, "no TAP can be made: %v", what)
	}
	r.ok("%s works", hostnet.TUNPath)
}

// faultOf is what to do about what is wrong, and that: the error may know it
// better.
func faultOf(err error, fix string) (better string, what error) {
	if f, ok := errors.AsType[*hostnet.Fault](err); ok {
		return f.Do, f.Err
	}
	return fix, err
}

// checkPermission tells what who asks may do.
func checkPermission(r *report, f *Facts) {
	if !f.Root {
		r.add(Note, "sudo uvtep doctor", "not run as root: who holds ports, and the firewall, cannot be seen in full")
	}
	if f.NetAdmin != nil && f.Root {
		fix, what := faultOf(f.NetAdmin, "in a container: --cap-add=NET_ADMIN; under systemd see CapabilityBoundingSet")
		r.add(Error, fix, "%v", what)
	}
	r.ok("allowed to configure the network")
}

// checkTAP tells whether the TAP is there and up, and who has it open.
func checkTAP(r *report, f *Facts) {
	t, running := &f.TAP, f.Agent.State == Answers
	if t.Link == nil {
		if running {
			r.add(Error, "look at the agent's log: it makes the TAP anew by itself", "there is no %s", t.Name)
		}
		return
	}
	switch {
	case !t.Link.Up && running:
		r.add(Error, "ip link set "+t.Name+" up", "%s is down", t.Name)
	case t.Bridge != "" && t.Link.Bridge != t.Bridge:
		r.add(Error, fmt.Sprintf("ip link set %s master %s", t.Name, t.Bridge), "%s is not in the bridge %s", t.Name, t.Bridge)
	}
	if n := len(f.Agent.Holders); n > 1 {
		r.add(Warning, "stop the one that is no agent", "%s is open in %d programs: %s; frames go to either", t.Name, n, processes(f.Agent.Holders))
	}
	if !t.Link.Ours && running {
		r.add(Note, "ip link set "+t.Name+" alias uvtep, if it is the agent's", "%s does not bear the alias uvtep: somebody named it otherwise", t.Name)
	}
	r.ok("%s is there and up", t.Name)
}

// checkTables tells whether the tables are those of now.
func checkTables(r *report, f *Facts) {
	a := &f.Agent
	switch {
	case a.State != Answers:
		return
	case a.Revision == 0:
		r.add(Error, "see the check etcd; `uvtep network show` tells whether there is a network", "the agent has no tables: it has not heard from etcd yet")
	case a.Stale != "":
		r.add(Warning, "bring etcd back; see the check etcd", "the agent has not heard from etcd since %s: it forwards by its tables of revision %d, and hears of no change", a.Stale, a.Revision)
	}
	r.ok("the tables are etcd's, of revision %d", a.Revision)
}

// checkConflicts passes on what two hosts have that only one can.
func checkConflicts(r *report, f *Facts) {
	cs := f.Agent.Conflicts
	if f.Agent.State != Answers {
		for i := range f.Etcd.Records {
			cs = append(cs, f.Etcd.Records[i].Conflicts...)
		}
	}
	said := map[string]bool{}
	for _, c := range cs {
		if key := string(c.Kind) + c.What; !said[key] {
			said[key] = true
			r.add(Error, c.Advice, "%s", strings.SplitN(c.String(), ". What to do: ", 2)[0])
		}
	}
	if f.Agent.State == Answers || f.Etcd.Err == nil {
		r.ok("no two hosts have one address, MAC address, node id or subnet")
	}
}
