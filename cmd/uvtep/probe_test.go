package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const ms = time.Millisecond

// echoed are echoes with these times in milliseconds, 0 for one that is lost.
func echoed(times ...time.Duration) (t tried) {
	for _, d := range times {
		t.add(&echoView{RTT: (d * ms).Seconds()})
	}
	return t
}

// arrived are echoes that are lost on the way back.
func arrived(n int) (t tried) {
	yes := true
	for range n {
		t.add(&echoView{Arrived: &yes})
	}
	return t
}

// refused is one that was not sent.
func refused(why string) (t tried) {
	t.add(&echoView{Error: why})
	return t
}

func TestStatisticsArePings(t *testing.T) {
	e := echoed(2, 4, 0, 6)
	if e.Sent != 4 || e.Got != 3 || e.lost() != 1 || e.loss() != 25 || e.min != 2*ms || e.max != 6*ms || e.avg() != 4*ms || e.mdev().Round(time.Microsecond) != 1633*time.Microsecond {
		t.Errorf("got %+v, avg %v, mdev %v", e, e.avg(), e.mdev())
	}
	var none tried
	none.add(nil)
	if none.Sent != 0 || none.all() || none.none() || none.avg() != 0 || none.mdev() != 0 || none.loss() != 0 {
		t.Errorf("nothing tried: got %+v", none)
	}
	b, err := json.Marshal(struct{ A, B, C tried }{e, none, echoed(0)})
	const want = `{"A":{"sent":4,"received":3,"loss_percent":25,"rtt":{"min_ms":2,"avg_ms":4,"max_ms":6,"mdev_ms":1.633}},"B":null,"C":{"sent":1,"received":0,"loss_percent":100}}`
	if err != nil || string(b) != want {
		t.Errorf("got  %s, %v\nwant %s", b, err, want)
	}
}

func TestARoundIsAddedKindByKind(t *testing.T) {
	yes, no := true, false
	var r probeResult
	r.add(&roundView{
		VXLAN: &echoView{Arrived: &no}, UDP: &echoView{RTT: (2 * ms).Seconds()},
		Overlay: &echoView{Arrived: &yes}, Host: &echoView{RTT: (4 * ms).Seconds()},
	})
	want := probeResult{VXLAN: echoed(0), UDP: echoed(2), Overlay: arrived(1), Host: echoed(4)}
	if diff := cmp.Diff(want, r, cmp.AllowUnexported(tried{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// partly are echoes of which some are answered, and some of the others are lost on
// the way back.
func partly(got, back, there int) tried {
	t := arrived(back)
	for range got {
		t.add(&echoView{RTT: ms.Seconds()})
	}
	for range there {
		t.add(&echoView{})
	}
	return t
}

func TestWhatIsFoundIsSaidInWords(t *testing.T) {
	good, gone := echoed(1, 1), echoed(0, 0)
	full := &mtuView{Route: 1500, Need: 1500, There: 1500, Back: 1500}
	for _, c := range []struct {
		name string
		r    probeResult
		ok   bool
		says string // in the diagnosis, which ends with a $ here
		note string // in the notes; "": there are none
	}{
		{"all is well", probeResult{VXLAN: good, UDP: good, Overlay: good, Host: good, MTU: full}, true, "ok", ""},
		{"only what probes need is filtered", probeResult{VXLAN: good, UDP: gone, Overlay: good, Host: good, MTU: full}, true, "ok", "only probes need it"},
		{"ICMP is filtered", probeResult{VXLAN: good, UDP: good, Overlay: gone, Host: gone, MTU: full}, true, "ok", "a firewall may forbid it"},
		{"the agent may not ping", probeResult{VXLAN: good, UDP: good, Overlay: refused("CAP_NET_RAW"), Host: good, MTU: full}, true, "ok", "ICMP through the overlay could not be tried: CAP_NET_RAW"},
		{"VXLAN is dropped on the way there", probeResult{VXLAN: gone, UDP: good, Overlay: gone, Host: good}, false, "dropped on the way to the peer, but plain UDP passes: let UDP to port 4789", ""},
		{"VXLAN is dropped on the way back", probeResult{VXLAN: arrived(2), UDP: good, Overlay: gone, Host: good}, false, "dropped on the way back", ""},
		{"the agent is dead", probeResult{VXLAN: gone, UDP: gone, Overlay: gone, Host: good}, false, "the peer's agent does not answer, but its host does", ""},
		{"its overlay lives", probeResult{VXLAN: gone, UDP: gone, Overlay: good, Host: gone}, false, "the overlay works, but the peer's agent does not answer", ""},
		{"all is dead", probeResult{VXLAN: gone, UDP: gone, Overlay: gone, Host: gone}, false, "nothing passes", ""},
		{"nothing is sent", probeResult{VXLAN: refused("no route"), UDP: gone, Host: gone}, false, "do not leave this host: no route", ""},
		{"a fourth is lost there", probeResult{VXLAN: echoed(1, 0, 1, 1), UDP: good, Host: good, MTU: full}, false, "25 % of the VXLAN datagrams are lost on the way to the peer", ""},
		{"a fourth is lost back", probeResult{VXLAN: partly(3, 1, 0), UDP: good, Host: good, MTU: full}, false, "25 % of the VXLAN datagrams are lost on the way back", ""},
		{"most is lost back", probeResult{VXLAN: partly(1, 3, 0), UDP: good, Host: good, MTU: full}, false, "75 % of the VXLAN datagrams are lost on the way back", ""},
		{"half is lost, both ways", probeResult{VXLAN: partly(2, 1, 1), UDP: good, Host: good, MTU: full}, false, "50 % of the VXLAN datagrams are lost, both ways", ""},
		{"few in a thousand are lost", probeResult{VXLAN: partly(999, 0, 1), UDP: good, Host: good, MTU: full}, false, "0.1 % of the VXLAN datagrams are lost on the way to the peer", ""},
		{"one of two gets to the peer", probeResult{VXLAN: partly(0, 1, 1), UDP: good, Overlay: gone, Host: good}, false, "dropped on the way back", ""},
		{"a fourth is lost, nobody knows where", probeResult{VXLAN: echoed(1, 0, 1, 1), UDP: gone, Host: good, MTU: full}, false, "25 % of the VXLAN datagrams are lost$", "only probes need it"},
		{"large ones are lost there", probeResult{VXLAN: good, UDP: good, MTU: &mtuView{Route: 1500, Need: 1500, There: 1400, Back: 1400}}, false, "large datagrams are lost on the way to the peer: the path MTU is 1400 and no router says so; give the TAPs an MTU of 1350", ""},
		{"large ones are lost back", probeResult{VXLAN: good, UDP: good, MTU: &mtuView{Route: 1500, Need: 1500, There: 1500, Back: 1300}}, false, "large datagrams are lost on the way back: the path MTU is 1300", ""},
		{"more than the TAP sends is lost", probeResult{VXLAN: good, UDP: good, MTU: &mtuView{Route: 9000, Need: 1500, There: 1500, Back: 1500}}, true, "ok", ""},
		{"the kernel knows of a narrow path", probeResult{VXLAN: good, UDP: good, MTU: &mtuView{Route: 1400, Need: 1500, There: 1400, Back: 1400}}, true, "ok", "senders are told"},
		{"the path MTU takes too long", probeResult{VXLAN: good, UDP: good, MTU: &mtuView{Route: 1500, Need: 1500, Error: "too long"}}, true, "ok", "too long"},
		{"flannel", probeResult{Overlay: good, Host: good, MTU: full}, true, "ok", "does not run uvtep"},
		{"flannel that is dead", probeResult{Overlay: gone, Host: good}, false, "nothing passes the overlay", "does not run uvtep"},
		{"flannel that loses some", probeResult{Overlay: echoed(1, 0), Host: good}, false, "50 % of what goes through the overlay is lost", "does not run uvtep"},
		{"flannel's host is dead", probeResult{Overlay: gone, Host: gone}, false, "nothing passes", "does not run uvtep"},
		{"no overlay to ask through", probeResult{Host: good}, false, "cannot be told", "does not run uvtep"},
		{"no ICMP", probeResult{Overlay: refused("no rights"), Host: refused("no rights")}, false, "could not be tried: no rights", "does not run uvtep"},
		{"an old agent", probeResult{Peer: peerView{Agent: peerOld}, Overlay: good, Host: good}, true, "ok", "of a version that answers no probes"},
		{"an agent without a record", probeResult{Peer: peerView{Agent: peerGone}, Overlay: good, Host: good}, true, "ok", "no record in etcd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.r.Peer.VTEP = "192.0.2.2:4789"
			c.r.diagnose()
			notes := strings.Join(c.r.Notes, "; ")
			if c.r.OK != c.ok || !strings.Contains(c.r.Diagnosis+"$", c.says) || (notes == "") != (c.note == "") || !strings.Contains(notes, c.note) {
				t.Errorf("got %v, %q, notes %q", c.r.OK, c.r.Diagnosis, notes)
			}
		})
	}
}

func TestAnIPv6UnderlayNeeds20BytesMore(t *testing.T) {
	r := probeResult{Peer: peerView{VTEP: "[2001:db8::2]:4790"}, VXLAN: echoed(1), UDP: echoed(1), MTU: &mtuView{Route: 1500, Need: 1500, There: 1400, Back: 1400}}
	if r.diagnose(); !strings.Contains(r.Diagnosis, "give the TAPs an MTU of 1330 (Backend.MTU 1400 in") {
		t.Errorf("got %q", r.Diagnosis)
	}
	r = probeResult{Peer: r.Peer, VXLAN: echoed(0), UDP: echoed(1)}
	if r.diagnose(); !strings.Contains(r.Diagnosis, "let UDP to port 4790 into") {
		t.Errorf("got %q", r.Diagnosis)
	}
}

func sampleResult() *probeResult {
	r := &probeResult{
		Peer: peerView{Node: "9f826d77d7cb3319bbab20a6814e4f37", Subnet: "10.10.2.0/24", VTEP: "192.0.2.2:4789", Agent: peerAnswers}, Size: 100,
		VXLAN: echoed(1, 2, 3), UDP: echoed(1, 1, 0), Overlay: echoed(0, 0, 0), Host: echoed(2, 2, 2),
		MTU: &mtuView{Route: 1500, Need: 1500, There: 1500, Back: 1500},
	}
	r.diagnose()
	return r
}

func TestAProbeIsPrinted(t *testing.T) {
	var b strings.Builder
	if err := printProbe(&b, sampleResult()); err != nil {
		t.Fatal(err)
	}
	const want = `10.10.2.0/24 at 192.0.2.2:4789, node 9f826d77d7cb3319bbab20a6814e4f37, 100 bytes of IP
  VXLAN                     3 sent, 3 received, 0 % lost    rtt min/avg/max/mdev = 1.000/2.000/3.000/0.816 ms
  plain UDP                 3 sent, 2 received, 33 % lost   rtt min/avg/max/mdev = 1.000/1.000/1.000/0.000 ms
  ICMP through the overlay  3 sent, 0 received, 100 % lost
  ICMP to the host          3 sent, 3 received, 0 % lost    rtt min/avg/max/mdev = 2.000/2.000/2.000/0.000 ms
  path MTU                  1500 there, 1500 back           the route says 1500, the TAP needs 1500
  the peer's own address in the overlay does not answer ICMP: its TAP may be a port of a bridge, or a firewall forbids it
ok
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
}

func TestProbesOfManyArePrintedALineEach(t *testing.T) {
	dead := &probeResult{Peer: peerView{Subnet: "10.10.4.0/24", VTEP: "192.0.2.4:4789", Agent: peerForeign}, Overlay: echoed(0, 0), Host: echoed(0, 0)}
	dead.diagnose()
	var b strings.Builder
	if err := printProbes(&b, []*probeResult{sampleResult(), dead}); err != nil {
		t.Fatal(err)
	}
	const want = `PEER          VTEP            VXLAN  UDP  OVERLAY  HOST  MIN/AVG/MAX/MDEV MS      MTU   RESULT
10.10.2.0/24  192.0.2.2:4789  3/3    2/3  0/3      3/3   1.000/2.000/3.000/0.816  1500  ok
10.10.4.0/24  192.0.2.4:4789  -      -    0/2      0/2                                  nothing passes: the peer is down, or not reachable at its public address
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Error(d)
	}
	dead.Peer.Network = "blue"
	b.Reset()
	if err := printProbes(&b, []*probeResult{sampleResult(), dead}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(strings.Fields(b.String()), " "); !strings.HasPrefix(got, "NETWORK PEER VTEP ") || !strings.Contains(got, " blue 10.10.4.0/24 192.0.2.4:4789 ") {
		t.Errorf("with a network's name printed\n%s", b.String())
	}
	b.Reset()
	if err := printProbe(&b, dead); err != nil || !strings.Contains(b.String(), "10.10.4.0/24 at 192.0.2.4:4789, network blue, ") {
		t.Errorf("one with a network's name: %v, printed\n%s", err, b.String())
	}
	if err := lossOf([]*probeResult{sampleResult(), dead}); err != statusError(exitLoss) {
		t.Errorf("got %v", err)
	}
	if err := lossOf([]*probeResult{sampleResult()}); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestFlagsOfAProbe(t *testing.T) {
	var good probeFlags
	register := newProbe().Flags()
	for name, into := range map[string]any{"count": &good.count, "interval": &good.interval, "wait": &good.wait, "size": &good.size} {
		if _, err := fmt.Sscan(register.Lookup(name).DefValue, into); err != nil {
			t.Fatal(err)
		}
	}
	if want := (probeFlags{count: 5, interval: "0.2", wait: "1", size: 100}); good != want {
		t.Errorf("defaults: got %+v, want %+v", good, want)
	}
	for _, c := range []struct {
		name   string
		change func(*probeFlags) []string
		says   string
	}{
		{"one peer", func(*probeFlags) []string { return []string{"x"} }, ""},
		{"all", func(f *probeFlags) []string { f.all = true; return nil }, ""},
		{"as Go writes times", func(f *probeFlags) []string { f.interval, f.wait = "20ms", "5s"; return []string{"x"} }, ""},
		{"as much as may be", func(f *probeFlags) []string {
			f.count, f.interval, f.size = maxCount, "3600", mostEchoSize
			return []string{"x"}
		}, ""},
		{"as little as may be", func(f *probeFlags) []string {
			f.count, f.interval, f.size = 1, "0.02", leastEchoSize
			return []string{"x"}
		}, ""},
		{"too many", func(f *probeFlags) []string { f.count = maxCount + 1; return []string{"x"} }, "--count 100001"},
		{"too seldom", func(f *probeFlags) []string { f.interval = "3601"; return []string{"x"} }, "--interval"},
		{"nobody", func(*probeFlags) []string { return nil }, "say which peer"},
		{"one and all", func(f *probeFlags) []string { f.all = true; return []string{"x"} }, "not both"},
		{"none", func(f *probeFlags) []string { f.count = 0; return []string{"x"} }, "--count 0"},
		{"too fast", func(f *probeFlags) []string { f.interval = "0.01"; return []string{"x"} }, "--interval"},
		{"no time", func(f *probeFlags) []string { f.interval = "NaN"; return []string{"x"} }, "--interval"},
		{"no patience", func(f *probeFlags) []string { f.wait = "0"; return []string{"x"} }, "--wait"},
		{"too patient", func(f *probeFlags) []string { f.wait = "6"; return []string{"x"} }, "--wait"},
		{"too small", func(f *probeFlags) []string { f.size = leastEchoSize - 1; return []string{"x"} }, "--size"},
		{"too large", func(f *probeFlags) []string { f.size = mostEchoSize + 1; return []string{"x"} }, "--size"},
	} {
		f := good
		err := f.validate(c.change(&f))
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.says)
		}
	}
}
