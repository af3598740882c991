package main

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/echo"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/etcdsync"
	vswitch "github.com/uvtep/uvtep/switch"
)

// heard is an answer.
type heard struct {
	at   time.Time
	held time.Duration
	seen uint64
}

// plainCounts count what came in UDP without VXLAN; what comes in VXLAN the
// switch counts.
type plainCounts struct{ answered, heard, refused atomic.Uint64 }

// plainView is a reading of plainCounts.
type plainView struct {
	Answered uint64 `json:"answered"`
	Heard    uint64 `json:"heard"`
	Refused  uint64 `json:"refused"`
}

func (c *plainCounts) view() plainView {
	return plainView{c.answered.Load(), c.heard.Load(), c.refused.Load()}
}

// takeFrame deals with a message that came in VXLAN, and says as what it counts.
func (p *prober) takeFrame(e vswitch.Echo) vswitch.Extra {
	m, h := p.known(e.Head[:], e.Size, echo.VXLAN, e.From)
	if h == nil || h.Probe.MAC != e.Source {
		return vswitch.EchoRefused
	}
	if m.Kind == echo.Answer {
		return orRefused(p.takeAnswer(&m, h, arrival{e.At, e.Head[:]}), vswitch.EchoHeard)
	}
	answer, ok := p.answer(&m, h, e.Head[:])
	if !ok {
		return vswitch.EchoRefused
	}
	answer.m.Held = time.Since(e.At)
	p.sendFrame(&answer.m, &answer.secret, h)
	return vswitch.EchoAnswered
}

// orRefused is what a message counts as.
func orRefused(ok bool, as vswitch.Extra) vswitch.Extra {
	if !ok {
		return vswitch.EchoRefused
	}
	return as
}

// arrival is a message as it came.
type arrival struct {
	at   time.Time
	head []byte
}

// known returns a message that is for this agent, and the host that it says it is
// from and whose address it is from. No host: it is not to be looked at again.
// All this is cheap, and nothing of it shows that the message is genuine.
func (p *prober) known(b []byte, size int, way echo.Way, from netip.Addr) (echo.Message, *etcdsync.Peer) {
	m, err := echo.Parse(b, size)
	if err != nil || m.Way != way || m.VNI != uint32(p.vni) || m.To != p.self.Node {
		return m, nil
	}
	h := p.host(m.From)
	if h == nil || !h.VTEP.Owns(from) {
		return m, nil
	}
	return m, h
}

// reply is an answer to be sent.
type reply struct {
	m      echo.Message
	secret echo.Secret
}

// answer makes the answer to a request, if it is genuine and new and not one too
// many.
func (p *prober) answer(m *echo.Message, h *etcdsync.Peer, head []byte) (r reply, ok bool) {
	if !p.checks.Allow() {
		return r, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	a := p.acquainted(m.From, h)
	if !echo.Sealed(head, &a.asked) || !a.window.Take(m.Seq) {
		return r, false
	}
	if m.Way == echo.VXLAN {
		a.inVXLAN = max(a.inVXLAN, m.Seq)
	}
	if !p.answers.Allow() {
		return r, false
	}
	return reply{echo.Message{
		Kind: echo.Answer, Way: m.Way, Size: m.Reply, VNI: m.VNI, Seq: m.Seq, Seen: a.inVXLAN, From: m.To, To: m.From,
	}, a.asked}, true
}

// takeAnswer hands an answer to who waits for it, and reports whether anybody
// does.
func (p *prober) takeAnswer(m *echo.Message, h *etcdsync.Peer, a arrival) bool {
	q := question{m.From, m.Way, m.Seq}
	p.mu.Lock()
	defer p.mu.Unlock()
	wait := p.asked[q]
	if wait == nil || !p.checks.Allow() || !echo.Sealed(a.head, &p.acquainted(m.From, h).asking) {
		return false
	}
	delete(p.asked, q)
	wait <- heard{a.at, m.Held, m.Seen} // has room for one
	return true
}

// sendFrame sends a message in VXLAN to a host, and reports whether the kernel
// took it. One request after the other leaves from another source port.
func (p *prober) sendFrame(m *echo.Message, s *echo.Secret, h *etcdsync.Peer) bool {
	b := make([]byte, encap.HeaderLen+ether.HeaderLen+m.Size)
	encap.PutHeader(b, p.vni)
	f := encap.Header(b).Payload()
	ether.PutHeader(f, h.Probe.MAC, p.mac, echo.EtherType)
	m.Put(f.Payload(), s)
	d := p.outer.Datagram(f)
	d.Flow, d.Peer, d.Data = uint32(m.Seq), h.VTEP.To, [][]byte{b}
	p.sending.Lock()
	defer p.sending.Unlock()
	if p.send.Send([]encap.Datagram{d}) == 1 {
		p.echoes.Count(vswitch.EchoSent, 1)
		return true
	}
	p.echoes.Count(vswitch.EchoSendRefused, 1)
	return false
}
