package main

import (
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
	limit "golang.org/x/time/rate"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/echo"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	vswitch "github.com/uvtep/uvtep/switch"
)

const (
	// echoAnswers is how many requests an agent answers a second at most, of
	// all that ask it, and echoChecks how many messages it checks the seal of: what
	// those cost who knows no secret.
	echoAnswers = 100
	echoChecks  = 1000
)

// prober asks the agents of other hosts whether datagrams get through, and
// answers theirs. docs/probe.md tells how.
type prober struct {
	log     zerolog.Logger
	vni     encap.VNI
	self    echo.Party
	mac     ether.Addr
	outer   encap.Outer
	echoes  *vswitch.Echoes
	tables  atomic.Pointer[etcdsync.Tables]
	answers *limit.Limiter
	checks  *limit.Limiter
	count   plainCounts

	sending sync.Mutex
	send    vswitch.Sender // guarded by sending

	mu    sync.Mutex
	met   map[echo.Node]*acquaintance // guarded by mu, as all below
	asked map[question]chan<- heard   // and not answered yet
	plain map[netip.Addr]*net.UDPConn // by own address
	port  uint16                      // of plain; 0: there is none
}

// acquaintance is what is remembered of another agent.
type acquaintance struct {
	key     echo.Key    // its own, for which the rest was made
	asking  echo.Secret // of our requests to it
	asked   echo.Secret // of its requests to us
	seq     uint64      // of our last request; never begins again, for only one of the keys may be new
	window  echo.Window // of its requests
	inVXLAN uint64      // its highest request that came in VXLAN
}

// question names a request.
type question struct {
	to  echo.Node
	way echo.Way
	seq uint64
}

func newProber(m *member, totals *vswitch.Totals) *prober {
	node, _ := echo.ParseNode(m.node) // a node id that is none was refused before
	p := &prober{
		log: m.log, vni: m.network.VNI, self: echo.Party{Node: node}, mac: m.mac, outer: m.outer,
		echoes: vswitch.NewEchoes(totals), send: &trunkSender{trunk: m.trunk},
		answers: limit.NewLimiter(echoAnswers, echoAnswers), checks: limit.NewLimiter(echoChecks, echoChecks),
		met: map[echo.Node]*acquaintance{}, asked: map[question]chan<- heard{}, plain: map[netip.Addr]*net.UDPConn{},
	}
	_, _ = rand.Read(p.self.Key[:]) // never fails, see crypto/rand
	p.openPlain(m.trunk.boundTo())
	return p
}

// told is what the host record tells of this.
func (p *prober) told() *etcdsync.Probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &etcdsync.Probe{Key: p.self.Key, Port: p.port, MAC: p.mac}
}

// hear takes in new tables.
func (p *prober) hear(t *etcdsync.Tables) { p.tables.Store(t) }

// host returns the host record of a node, nil when there is none that tells how to
// probe it.
func (p *prober) host(n echo.Node) *etcdsync.Peer {
	t := p.tables.Load()
	if t == nil {
		return nil
	}
	h, ok := t.Hosts.Get(n.String())
	if !ok || h.Probe == nil {
		return nil
	}
	return h
}

// acquainted returns what is remembered of a host, of which it forgets all but
// the numbers that were used when the host's agent was started anew. mu is held.
func (p *prober) acquainted(n echo.Node, h *etcdsync.Peer) *acquaintance {
	a := p.met[n]
	if a != nil && a.key == echo.Key(h.Probe.Key) {
		return a
	}
	other := echo.Party{Node: n, Key: h.Probe.Key}
	anew := &acquaintance{key: other.Key, asking: echo.SecretOf(p.self, other), asked: echo.SecretOf(other, p.self)}
	if a != nil {
		anew.seq = a.seq
	}
	p.met[n] = anew
	return anew
}

// run answers what comes in VXLAN, until ctx ends.
func (p *prober) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-p.echoes.C():
			p.echoes.Count(p.takeFrame(e), 1)
		}
	}
}
