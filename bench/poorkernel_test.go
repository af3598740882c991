package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/bench/lab"
)

// wealth is a feature of the kernel that a poor one lacks: calls that it
// refuses, or flags of TUNSETIFF.
type wealth struct {
	name  string
	rules []rule // without Errno
	flags uint16
	said  string // how the agent's log begins to tell why; empty: it misses nothing
}

var riches = []wealth{
	{name: "UDP_SEGMENT", said: `"udp_segment":"`, rules: []rule{
		option(unix.SYS_GETSOCKOPT, unix.IPPROTO_UDP, unix.UDP_SEGMENT),
		option(unix.SYS_SETSOCKOPT, unix.IPPROTO_UDP, unix.UDP_SEGMENT),
	}},
	{name: "UDP_GRO", said: `"udp_gro":"`, rules: []rule{option(unix.SYS_SETSOCKOPT, unix.IPPROTO_UDP, unix.UDP_GRO)}},
	{name: "SO_BUFFORCE", rules: []rule{
		option(unix.SYS_SETSOCKOPT, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE),
		option(unix.SYS_SETSOCKOPT, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE),
	}},
	{name: "TUNSETOFFLOAD", said: `"tso":"TUNSETOFFLOAD: `, rules: []rule{
		{Call: unix.SYS_IOCTL, Args: []arg{{1, unix.TUNSETOFFLOAD}}},
	}},
	{name: "IFF_VNET_HDR", said: `"vnet_hdr":"TUNSETIFF: `, flags: unix.IFF_VNET_HDR},
	{name: "IFF_MULTI_QUEUE", said: `"multi_queue":"TUNSETIFF: `, flags: unix.IFF_MULTI_QUEUE},
	{name: "IFF_DETACH_QUEUE", said: `"steady_flows":"TUNSETQUEUE: `, rules: []rule{{Call: unix.SYS_IOCTL, Args: []arg{{1, unix.TUNSETQUEUE}}}}},
	{name: "sendmmsg", said: `"sendmmsg":"`, rules: []rule{{Call: unix.SYS_SENDMMSG}}},
	{name: "recvmmsg", said: `"recvmmsg":"`, rules: []rule{{Call: unix.SYS_RECVMMSG}}},
	{name: "priority", said: `"reason":"setpriority: `, rules: []rule{{Call: unix.SYS_SCHED_SETSCHEDULER}, {Call: unix.SYS_SETPRIORITY}}},
	{name: "real time", said: `"reason":"sched_setattr: `, rules: []rule{{Call: unix.SYS_SCHED_SETATTR}}},
	{name: "ppoll", said: `"ppoll":"`, rules: []rule{{Call: unix.SYS_PPOLL}}},
}

func option(call, level, name uint32) rule {
	return rule{Call: call, Args: []arg{{1, level}, {2, name}}}
}

var refusals = []unix.Errno{unix.ENOSYS, unix.EPERM, unix.EINVAL}

func TestMainJobOnKernelsWithoutOneFeature(t *testing.T) {
	for _, errno := range refusals {
		for _, w := range riches {
			t.Run(fmt.Sprintf("%s answers %s", w.name, unix.ErrnoName(errno)), func(t *testing.T) {
				poorAtStart(t, errno, w)
			})
		}
	}
}

func TestMainJobOnKernelsWithoutAnyFeature(t *testing.T) {
	for _, errno := range refusals {
		t.Run("all answer "+unix.ErrnoName(errno), func(t *testing.T) { poorAtStart(t, errno, riches...) })
	}
}

// poorAtStart does the main job without features that are missing from the
// beginning.
func poorAtStart(t *testing.T, errno unix.Errno, missing ...wealth) {
	var p poverty
	var flags uint16
	var said []string
	for _, w := range missing {
		for _, r := range w.rules {
			r.Errno = errno
			p.Rules = append(p.Rules, r)
		}
		flags |= w.flags
		if slices.Contains([]string{"TUNSETOFFLOAD", "IFF_DETACH_QUEUE", "real time"}, w.name) && len(missing) > 1 {
			continue // nobody asks for them without IFF_VNET_HDR, IFF_MULTI_QUEUE and priority
		}
		if w.said != "" {
			said = append(said, w.said+errno.Error())
		}
	}
	if flags != 0 {
		w := newWarden(t, func(q *asked) unix.Errno {
			if q.tapFlags()&flags != 0 {
				return errno
			}
			return 0
		})
		p.Warden = w.socket
		p.Rules = append(p.Rules, rule{Call: unix.SYS_IOCTL, Args: []arg{{1, unix.TUNSETIFF}}})
	}
	mainJob(t, p, func() {}, said...)
}

func TestMainJobWhenSegmentationIsRefusedWhileRunning(t *testing.T) {
	for _, errno := range []unix.Errno{unix.EIO, unix.EINVAL} {
		for _, call := range []uint32{unix.SYS_SENDMMSG, unix.SYS_SENDMSG} {
			t.Run(fmt.Sprintf("%s answers %s", map[uint32]string{unix.SYS_SENDMMSG: "sendmmsg", unix.SYS_SENDMSG: "sendmsg"}[call], unix.ErrnoName(errno)), func(t *testing.T) {
				w := newWarden(t, func(q *asked) unix.Errno {
					if q.segmented() {
						return errno
					}
					return 0
				})
				p := poverty{Warden: w.socket, Rules: []rule{{Call: call}}}
				if call == unix.SYS_SENDMSG { // used for want of the other only
					p.Rules = append(p.Rules, rule{Call: unix.SYS_SENDMMSG, Errno: unix.ENOSYS})
				}
				mainJob(t, p, func() {}, fmt.Sprintf(`"feature":"udp_segment","error":%q`, errno.Error()))
				if w.refused.Load() < 2 {
					t.Errorf("%d sends were refused, want one a host", w.refused.Load())
				}
			})
		}
	}
}

func TestMainJobWhenCallsAreRefusedWhileRunning(t *testing.T) {
	for _, errno := range refusals {
		t.Run("sendmmsg and recvmmsg answer "+unix.ErrnoName(errno), func(t *testing.T) {
			var poor atomic.Bool
			w := newWarden(t, func(*asked) unix.Errno {
				if poor.Load() {
					return errno
				}
				return 0
			})
			p := poverty{Warden: w.socket, Rules: []rule{{Call: unix.SYS_SENDMMSG}, {Call: unix.SYS_RECVMMSG}}}
			mainJob(t, p, func() { poor.Store(true) },
				fmt.Sprintf(`"feature":"sendmmsg","error":%q`, errno.Error()),
				fmt.Sprintf(`"feature":"recvmmsg","error":%q`, errno.Error()))
		})
	}
}

// mainJob runs two poor hosts and does the main job between them: ping and TCP,
// both ways, no frame refused, a clean end. Their logs must say what they miss.
// running is called once the agents run.
func mainJob(t *testing.T, p poverty, running func(), said ...string) {
	p.Program = program
	spec, err := json.Marshal(p)
	must(t, err)
	self, err := os.Executable()
	must(t, err)
	t.Setenv(poorEnv, string(spec))
	l, ctx := newNetwork(t, lab.Config{Hosts: 2, Bin: self, AgentArgs: []string{"--log-format", "json"}})
	running()
	connected(ctx, t, l)
	for _, h := range l.Hosts {
		says(ctx, t, h, said)
		s := readStats(ctx, t, h)
		if s.Counts["SendRefused"]+s.Counts["WriteRefused"] > 0 {
			t.Errorf("%s: refused %v", h.Name, s.Counts)
		}
	}
	for _, h := range l.Hosts {
		if err := h.Agent.Stop(ctx); err != nil {
			t.Errorf("%s: %v", h.Name, err)
		}
	}
}

func says(ctx context.Context, t *testing.T, h *lab.Host, said []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, s := range said {
		eventually(ctx, t, h.Name+" says "+s, func() (bool, string) {
			return strings.Contains(h.Agent.Output(), s), h.Agent.Tail(40)
		})
	}
}
