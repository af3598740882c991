package vswitch

import (
	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
)

const (
	// readBudget is how many bytes one batch takes from a TAP: a few
	// superframes, which stay in a core's L2 cache, or outFrames small frames.
	readBudget = 4 * (64<<10 + 64)
	outFrames  = 128
	// outDatagrams is how many datagrams are gathered before they are sent.
	outDatagrams = 512
)

// outbound moves frames from one TAP queue to the underlay.
type outbound struct {
	net  *network
	port Port
	back Writer // for answers
	send Sender

	buf    []byte
	frames [][]byte
	ds     []encap.Datagram
	data   [][]byte   // backs Data of ds
	reply  [][]byte   // a buffer for each answer of a batch
	out    [][][]byte // the answers of this batch
	tally  tally
	count  *Counters
}

func (s *Switch) newOutbound(n *network, lane int) *outbound {
	o := &outbound{
		net: n, port: n.Ports[lane], back: n.Ports[lane].Writer(), send: s.conf.NewSender(),
		buf:    make([]byte, readBudget),
		frames: make([][]byte, outFrames),
		ds:     make([]encap.Datagram, 0, outDatagrams),
		data:   make([][]byte, 0, outDatagrams),
		reply:  make([][]byte, 2*outFrames),
		out:    make([][][]byte, 0, outFrames),
		count:  s.count.counters(),
	}
	replies := make([]byte, outFrames*arpproxy.MaxLen)
	for i := range outFrames {
		o.reply[2*i] = noVnet
		o.reply[2*i+1] = replies[i*arpproxy.MaxLen : (i+1)*arpproxy.MaxLen : (i+1)*arpproxy.MaxLen]
	}
	return o
}

// run works until the port fails or is woken to stop.
func (o *outbound) run() error {
	for {
		n, err := o.port.Read(o.buf, o.frames)
		if err != nil {
			return err
		}
		if err := o.batch(n); err != nil {
			return err
		}
	}
}

// batch does away with the n frames read.
func (o *outbound) batch(n int) error {
	t := o.net.tables.Load()
	for _, rec := range o.frames[:n] {
		o.frame(rec, t)
	}
	o.flush()
	err := o.answer()
	o.tally.publish(o.count)
	return err
}

// frame decides about one record and does what was decided.
func (o *outbound) frame(rec []byte, t *Tables) {
	f := ether.Frame(rec[VnetLen:])
	if f.Valid() && f.Tagged() && !t.Policy.PassTags {
		rec, f = strip(rec)
		o.tally.extra[Stripped]++
	}
	d := Classify(f, &o.net.Self, t)
	o.tally.count(d.Verdict, len(f))
	switch d.Verdict {
	case Forward:
		o.forward(rec, f, d)
	case Replicate:
		for _, v := range t.FDB.VTEPs(o.net.VNI) {
			o.forward(rec, f, Decision{VTEP: v})
		}
	case Answer:
		b := o.reply[2*len(o.out):][:2]
		b[1] = arpproxy.Reply(b[1], f, d.Binding.MAC)
		o.out = append(o.out, b)
	}
}

// strip takes the VLAN tags out (RFC 7348 §6.1): the addresses move towards
// the type, so the record begins as much later.
func strip(rec []byte) ([]byte, ether.Frame) {
	f := ether.Frame(rec[VnetLen:])
	short := ether.StripTags(f)
	return rec[len(f)-len(short):], short
}

// forward gathers one datagram. The VXLAN header takes the place of the last
// eight of the ten bytes in front of the frame, so the datagram is one slice.
func (o *outbound) forward(rec []byte, f ether.Frame, d Decision) {
	if len(o.ds) == cap(o.ds) {
		o.flush()
	}
	rec = rec[VnetLen-encap.HeaderLen:]
	encap.PutHeader(rec, o.net.VNI)
	n := len(o.data)
	o.data = append(o.data, rec)
	o.ds = append(o.ds, encap.Datagram{
		Peer: d.VTEP.To, Flow: encap.FlowHash(f), TOS: encap.OuterECN(f), Data: o.data[n : n+1 : n+1],
	})
}

// flush sends what is gathered.
func (o *outbound) flush() {
	if len(o.ds) == 0 {
		return
	}
	sent := o.send.Send(o.ds)
	o.tally.extra[Sent] += uint32(sent)
	o.tally.extra[SendRefused] += uint32(len(o.ds) - sent)
	o.ds, o.data = o.ds[:0], o.data[:0]
}

// answer writes the answers back into the TAP.
func (o *outbound) answer() error {
	if len(o.out) == 0 {
		return nil
	}
	n, err := o.back.Write(o.out)
	o.tally.extra[Written] += uint32(n)
	o.tally.extra[WriteRefused] += uint32(len(o.out) - n)
	o.out = o.out[:0]
	return err
}
