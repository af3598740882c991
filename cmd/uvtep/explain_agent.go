package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/internal/admin"
	"github.com/uvtep/uvtep/internal/spell"
	vswitch "github.com/uvtep/uvtep/switch"
)

// explainPath is where an agent is asked what would become of frames.
const explainPath = "/v1/explain"

// explainQuestion is what it is asked.
type explainQuestion struct {
	Frames []explainFrame `json:"frames"`
}

// explainFrame is a frame from the TAP, or a datagram from the wire.
type explainFrame struct {
	From string `json:"from"` // tap or wire
	// Data is the frame, or the UDP payload of the datagram, in hexadecimal.
	Data string `json:"data"`
	// VNI is the network whose TAP it is; 0: the agent's only one. A datagram says
	// its own.
	VNI encap.VNI `json:"vni,omitempty"`
	// Src and TOS are of a datagram's outer header.
	Src netip.Addr `json:"outer_src,omitzero"`
	TOS uint8      `json:"outer_tos,omitempty"`
}

const (
	fromTAP  = "tap"
	fromWire = "wire"
)

// explainAnswer is what it answers, in the order of the question.
type explainAnswer struct {
	Ways []wayView `json:"ways"`
}

// wayView is what would become of one frame.
type wayView struct {
	Verdict  string    `json:"verdict"`
	Reason   string    `json:"reason"`
	From     string    `json:"from"`
	TAP      string    `json:"tap"`
	VNI      encap.VNI `json:"vni"`
	Frame    string    `json:"frame"` // the inner one, in words
	Bytes    int       `json:"bytes"` // of it
	Stripped bool      `json:"stripped_tags,omitempty"`
	Revision int64     `json:"revision"` // of the tables
	Rows     []rowView `json:"rows"`     // that decided
	// MTU is what the path to the VTEP takes, in bytes of IP, and Told whether
	// the sender hears of it.
	MTU    int        `json:"mtu,omitempty"`
	Told   bool       `json:"told,omitempty"`
	Frames int        `json:"frames,omitempty"` // that leave for each VTEP
	Outer  *outerView `json:"outer,omitempty"`  // of what leaves
	Sender *sentView  `json:"sender,omitempty"` // of what came from the wire
}

// rowView is a row of a table and what it comes from.
type rowView struct {
	Table    string `json:"table"` // fdb or neigh
	IP       string `json:"dst,omitempty"`
	MAC      string `json:"mac"`
	VTEP     string `json:"vtep,omitempty"` // empty in an fdb: this host
	Origin   string `json:"origin"`         // lease, static or endpoint
	Key      string `json:"key,omitempty"`  // in etcd
	Revision int64  `json:"revision,omitempty"`
}

// outerView is the outer header of what would leave.
type outerView struct {
	Src      string   `json:"src"`
	SrcPort  uint16   `json:"sport"`
	Dst      []string `json:"dst"`
	TTL      int      `json:"ttl"`
	DSCP     uint8    `json:"dscp"`
	ECN      string   `json:"ecn"`
	UDPCsum  bool     `json:"udp_csum"`
	FlowHash uint32   `json:"flow_hash"`
}

// sentView is the outer header of what came.
type sentView struct {
	Src  string `json:"src"`
	DSCP uint8  `json:"dscp"`
	ECN  string `json:"ecn"`
}

// ecnNames are the codepoints' names in RFC 3168.
var ecnNames = [4]string{"Not-ECT", "ECT(1)", "ECT(0)", "CE"}

// explain answers what would become of frames if they came now.
func (a *agent) explain(_ context.Context, q explainQuestion) (any, error) {
	out := explainAnswer{Ways: []wayView{}}
	for i, f := range q.Frames {
		v, err := a.way(f)
		if err != nil {
			return nil, admin.BadRequest{Err: fmt.Errorf("frame %d: %w", i+1, err)}
		}
		out.Ways = append(out.Ways, v)
	}
	return out, nil
}

// way asks the switch about one frame.
func (a *agent) way(f explainFrame) (wayView, error) {
	data, err := hex.DecodeString(f.Data)
	if err != nil {
		return wayView{}, fmt.Errorf("data: %w", err)
	}
	switch f.From {
	case fromTAP:
		p, err := a.planeOf(f.VNI)
		if err != nil {
			return wayView{}, err
		}
		w, ok := a.trunk.sw.ExplainFrame(p.network.VNI, data)
		if !ok {
			return wayView{}, fmt.Errorf("the TAP %s is being made anew; ask again", p.name)
		}
		return p.wayView(w, f), nil
	case fromWire:
		if !f.Src.IsValid() {
			return wayView{}, errors.New("outer_src is missing: say who sent the datagram")
		}
		w := a.trunk.sw.ExplainDatagram(data, f.Src, f.TOS)
		v := strayView(w)
		if p, err := a.planeOf(w.VNI); err == nil && w.VNI != 0 {
			v = p.wayView(w, f)
		}
		v.Sender = &sentView{Src: f.Src.String(), DSCP: f.TOS >> 2, ECN: ecnNames[f.TOS&encap.ECNMask]}
		return v, nil
	}
	return wayView{}, fmt.Errorf("from %q: say %s or %s", f.From, fromTAP, fromWire)
}

// planeOf returns the network of a VNI; 0: the only one.
func (a *agent) planeOf(v encap.VNI) (*plane, error) {
	all := a.working()
	if v == 0 && len(all) == 1 {
		return all[0], nil
	}
	vnis := []string{}
	for _, p := range all {
		if p.network.VNI == v {
			return p, nil
		}
		vnis = append(vnis, p.network.VNI.String())
	}
	return nil, fmt.Errorf("VNI %s is no network of this agent, which has %s", v, strings.Join(vnis, ", "))
}

// strayView is the way of a datagram that is no network's.
func strayView(w vswitch.Way) wayView {
	return wayView{Verdict: w.Verdict.String(), Reason: w.Verdict.Reason(), From: fromWire, Frame: spell.Tell(w.Frame), Bytes: len(w.Frame), Rows: []rowView{}}
}

// wayView puts a way into words.
func (p *plane) wayView(w vswitch.Way, f explainFrame) wayView {
	v := wayView{
		Verdict: w.Verdict.String(), Reason: w.Verdict.Reason(), From: f.From, TAP: p.name, VNI: w.VNI, Revision: w.Rev,
		Frame: spell.Tell(w.Frame), Bytes: len(w.Frame), Stripped: w.Stripped, MTU: w.MTU, Told: w.Told, Frames: w.Frames, Rows: []rowView{},
	}
	if w.Bound != nil {
		v.Rows = append(v.Rows, p.boundView(w.Bound))
	}
	if w.Entry != nil {
		v.Rows = append(v.Rows, p.entryView(w.Entry))
	}
	if w.Verdict == vswitch.Forward || w.Verdict == vswitch.Replicate {
		v.Outer = p.outerView(w)
	}
	return v
}

func (p *plane) boundView(b *vswitch.BoundRow) rowView {
	r := rowView{Table: "neigh", IP: b.IP.String(), MAC: b.MAC.String(), Origin: b.Origin.String()}
	if o, ok := p.origins.Binding(b.Key); ok {
		r.Key, r.Revision = p.keyPrefix()+"/"+o.Key, o.Rev
	}
	return r
}

func (p *plane) entryView(e *vswitch.EntryRow) rowView {
	r := rowView{Table: "fdb", MAC: e.MAC.String(), Origin: e.Origin.String()}
	if e.VTEP != nil {
		r.VTEP = e.VTEP.To.String()
	}
	if o, ok := p.origins.Station(e.Key); ok {
		r.Key, r.Revision = p.keyPrefix()+"/"+o.Key, o.Rev
	}
	return r
}

// outerView is what the sockets make of what would leave.
func (p *plane) outerView(w vswitch.Way) *outerView {
	d := w.Outer
	v := &outerView{Dst: []string{}, TTL: int(d.TTL), DSCP: d.TOS >> 2, ECN: ecnNames[d.TOS&encap.ECNMask], UDPCsum: true, FlowHash: d.Flow}
	if v.TTL == 0 {
		v.TTL = p.outerTTL
	}
	for _, t := range w.VTEPs {
		v.Dst = append(v.Dst, t.To.String())
		d.Peer = t.To
	}
	home := p.trunk.where()
	v.Src, v.SrcPort = text(home.Addr), p.trunk.sourcePort(&d)
	if d.Peer.Addr().Is6() {
		v.Src = text(home.Addr6)
	} else {
		v.UDPCsum = p.udpCsum != "off"
	}
	return v
}
