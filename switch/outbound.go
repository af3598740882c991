package vswitch

import (
	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
	"github.com/uvtep/uvtep/internal/ledger"
)

const (
	// readBudget is how many bytes one batch takes from a TAP: a few
	// superframes, which stay in a core's L2 cache, or outFrames small frames.
	readBudget = 4 * (64<<10 + 64)
	outFrames  = 128
	// outDatagrams is how many datagrams are gathered before they are sent. A
	// superframe of TCP's smallest segments (88 bytes on Linux) has 745.
	outDatagrams = 768
)

// outbound moves frames from one TAP queue to the underlay.
type outbound struct {
	net  *Network
	port Port
	back Writer // for answers
	send Sender

	buf    []byte
	frames [][]byte
	split  *offload.Splitter
	header []byte // the VXLAN header of the network
	ds     []encap.Datagram
	data   [][]byte   // backs Data of datagrams that are one slice
	reply  [][]byte   // two slices for each answer of a batch
	out    [][][]byte // the answers of this batch
	curb   curb       // on those to frames that are too big
	floods *meter
	spot   *spotter
	tally  tally
	count  *Counters
	beat   *epoch
	book   *ledger.Book // the sender's
	sample *sampler
}

func (s *Switch) newOutbound(n *Network, lane int) *outbound {
	o := &outbound{
		net: n, port: n.Ports[lane], back: n.Ports[lane].Writer(), send: s.conf.NewSender(), book: n.Sent.Open(),
		buf:    make([]byte, readBudget),
		frames: make([][]byte, outFrames),
		split:  offload.NewSplitter(outDatagrams),
		header: make([]byte, encap.HeaderLen),
		ds:     make([]encap.Datagram, 0, outDatagrams),
		data:   make([][]byte, 0, outDatagrams),
		reply:  make([][]byte, 2*outFrames),
		out:    make([][][]byte, 0, outFrames),
		curb:   newCurb(),
		floods: s.floods,
		spot:   newSpotter(n.Sightings, lane, n.MAC),
		count:  n.Count.counters(lane),
		beat:   s.newBeat(),
		sample: s.conf.Captures.join(),
	}
	if c, ok := o.send.(counter); ok {
		c.CountIn(o.book)
	}
	encap.PutHeader(o.header, n.VNI)
	replies := make([]byte, outFrames*arpproxy.MaxLen)
	for i := range outFrames {
		o.reply[2*i] = noVnet
		o.reply[2*i+1] = replies[i*arpproxy.MaxLen : (i+1)*arpproxy.MaxLen : (i+1)*arpproxy.MaxLen]
	}
	return o
}

// run works until the port fails or is woken to stop.
func (o *outbound) run() error {
	defer o.net.Sent.Close(o.book)
	defer o.sample.leave()
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
	o.beat.turn()
	defer o.beat.turn()
	t := o.net.tables.Load()
	o.spot.begin()
	o.sample.begin()
	for _, rec := range o.frames[:n] {
		o.frame(rec, t)
	}
	o.flush()
	err := o.answer()
	o.tally.extra[ReadLost] += uint32(o.port.Lost())
	o.tally.publish(o.count)
	o.count.sizes[FramesRead].Add(n)
	return err
}

// frame decides about one record and does what was decided.
func (o *outbound) frame(rec []byte, t *Tables) {
	rec, h, f, stripped := untag(rec, t)
	if stripped {
		o.tally.extra[Stripped]++
	}
	d := Classify(f, &o.net.Self, t).Fit(packetLen(h, f), t)
	if d.Verdict.fromStation() {
		o.spot.look(f)
	}
	if !o.sample.wanted() {
		o.act(d, rec, h, f, t)
		return
	}
	s := o.newSample(d, f, t)
	s.Stripped = stripped
	if h.Super() {
		s.Segment = h.GSOSize()
	}
	s.Verdict = o.act(d, rec, h, f, t)
	o.sample.take(&s)
}

// act does what was decided about a record, and returns the verdict that was
// counted.
func (o *outbound) act(d Decision, rec []byte, h offload.VnetHeader, f ether.Frame, t *Tables) Verdict {
	switch d.Verdict {
	case Forward:
		return o.forward(rec, h, f, d.VTEP.To)
	case Replicate:
		return o.replicate(rec, h, f, t)
	case Answer:
		b := o.reply[2*len(o.out):][:2]
		b[1] = arpproxy.Reply(b[1], f, d.Binding.MAC)
		o.out = append(o.out, b)
		o.tally.count(Answer, 1, len(f))
	case DropTooBig:
		o.tally.count(DropTooBig, 1, len(f))
		o.tellFit(f, d.MTU)
	default:
		o.tally.count(d.Verdict, 1, len(f))
	}
	return d.Verdict
}

// untag takes a record apart, and the VLAN tags out of it unless the network
// carries them.
func untag(rec []byte, t *Tables) (_ []byte, h offload.VnetHeader, f ether.Frame, stripped bool) {
	h, f = offload.VnetHeader(rec[:VnetLen]), ether.Frame(rec[VnetLen:])
	if f.Valid() && f.Tagged() && !t.Policy.PassTags {
		rec, h, f = strip(h, rec)
		return rec, h, f, true
	}
	return rec, h, f, false
}

// strip takes the VLAN tags out (RFC 7348 §6.1): the addresses move towards
// the type, so the record begins as much later, and its header moves along.
func strip(h offload.VnetHeader, rec []byte) ([]byte, offload.VnetHeader, ether.Frame) {
	f := offload.StripTags(h, rec[VnetLen:])
	short := rec[len(rec)-len(f)-VnetLen:]
	copy(short, h)
	return short, offload.VnetHeader(short[:VnetLen]), f
}

// answer writes the answers back into the TAP.
func (o *outbound) answer() error {
	err := writeAll(o.back, o.out, nil, &o.tally)
	o.out, o.curb.used = o.out[:0], 0
	return err
}
