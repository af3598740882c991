package vswitch

import (
	"net/netip"
	"slices"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/echo"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
	"github.com/uvtep/uvtep/internal/ledger"
)

const (
	// inMessages is how many messages one batch takes from a socket.
	inMessages = 64
	// messageSize is the longest message, in bytes: UDP's own limit.
	messageSize = 64 << 10
	// inBudget is about how many bytes one batch takes from a socket: what stays
	// in a core's L2 cache until it is written. While messages are long, fewer
	// than inMessages are asked for, but leastMessages at least.
	inBudget      = 256 << 10
	leastMessages = 4
	// inFrames is how many frames are gathered before they are written.
	inFrames = 1024
)

// inbound moves datagrams from one socket to the TAPs.
type inbound struct {
	sw     *Switch
	lane   int
	recv   Receiver
	ms     []encap.Message
	want   int         // messages to ask for next
	nets   *[]*Network // that ports are of
	ports  []*inPort
	stray  tally      // of what belongs to no network
	strays bool       // there is some
	runs   ledger.Few // of the messages of a batch
	count  *Counters
	epoch  *epoch

	sample *sampler
}

// inPort is one network as the socket of a lane sees it.
type inPort struct {
	net    *Network
	tables *Tables // of the batch under way
	write  Writer
	merge  *offload.Merger   // for a TAP that takes superframes
	split  *offload.Splitter // for one that does not
	vnet   offload.VnetHeader
	whole  [][][]byte // what goes to such a one
	last   headers    // of the last datagram of the message under way that was delivered
	busy   bool       // it has part in the batch under way
	tally  tally
	count  *Counters
	book   *ledger.Book
	heard  ledger.Sum // of the message under way: what was delivered
}

// headers are what the verdict on a datagram rests on, besides its sender and
// its congestion mark: the VXLAN and the inner Ethernet header.
type headers [encap.HeaderLen + ether.HeaderLen]byte

// noVnet is the header of a frame without offloads. It is only read.
var noVnet = make([]byte, VnetLen)

func (s *Switch) newInbound(r Receiver, lane int) *inbound {
	in := &inbound{sw: s, lane: lane, recv: r, ms: make([]encap.Message, inMessages), want: inMessages, count: s.count.counters(lane), epoch: s.newEpoch(), sample: s.conf.Captures.join()}
	for i := range in.ms {
		in.ms[i].Data = make([]byte, messageSize)
	}
	in.attend(s.networks.Load())
	return in
}

// attend makes these the networks that datagrams are taken for.
func (in *inbound) attend(nets *[]*Network) {
	ports := make([]*inPort, len(*nets))
	for i, n := range *nets {
		if was := slices.IndexFunc(in.ports, func(p *inPort) bool { return p.net == n }); was >= 0 {
			ports[i] = in.ports[was]
			continue
		}
		ports[i] = newInPort(n, in.lane)
	}
	for _, p := range in.ports {
		if !slices.Contains(ports, p) {
			p.close()
		}
	}
	in.nets, in.ports = nets, ports
}

func newInPort(n *Network, lane int) *inPort {
	return &inPort{
		net: n, write: n.Ports[lane].Writer(),
		merge: offload.NewMerger(offload.MergeConfig{Frames: inFrames, UDP: n.MergeUDP}),
		split: offload.NewSplitter(inFrames),
		vnet:  make(offload.VnetHeader, VnetLen),
		whole: make([][][]byte, 0, inFrames),
		count: n.Count.counters(lane),
		book:  n.Heard.Open(),
	}
}

func (in *inbound) run() error {
	defer in.close()
	for {
		n, err := in.recv.Recv(in.ms[:in.want])
		if err != nil {
			return err
		}
		in.want = wanted(in.ms[:n])
		in.batch(n)
	}
}

// close gives back what the goroutine had of its own.
func (in *inbound) close() {
	in.sample.leave()
	for _, p := range in.ports {
		p.close()
	}
}

func (p *inPort) close() { p.net.Heard.Close(p.book) }

// wanted is how many messages like these fill a batch.
func wanted(ms []encap.Message) int {
	bytes := 1
	for i := range ms {
		bytes += ms[i].N
	}
	return min(max(inBudget*len(ms)/bytes, leastMessages), inMessages)
}

// batch does away with the n messages received.
func (in *inbound) batch(n int) {
	in.epoch.turn()
	defer in.epoch.turn()
	in.sample.begin()
	if nets := in.sw.networks.Load(); nets != in.nets {
		in.attend(nets)
	}
	for _, p := range in.ports {
		p.tables = p.net.tables.Load()
	}
	for i := range in.ms[:n] {
		in.message(&in.ms[i])
	}
	for _, p := range in.ports {
		p.finish()
	}
	in.count.sizes[Messages].Add(n)
	in.count.runs.AddFew(&in.runs)
	in.runs = ledger.Few{}
	if in.strays {
		in.stray.publish(in.count)
		in.strays = false
	}
}

// finish is the end of a batch.
func (p *inPort) finish() {
	if p.busy {
		p.flush()
		p.tally.publish(p.count)
		p.book.Settle()
		p.busy = false
	}
}

// message takes a message apart into the datagrams that the kernel joined. One
// that a kernel peer on the same machine left undivided is a single datagram,
// and its segment size that of the superframe within.
func (in *inbound) message(m *encap.Message) {
	b := m.Data[:m.N]
	size, segment := m.Segment, 0
	switch {
	case size <= 0:
		size = max(len(b), 1)
	case offload.Undivided(b, size):
		size, segment = len(b), size
	}
	for _, p := range in.ports {
		p.last = headers{} // another sender may not send what this one may
	}
	n := 0
	for more := true; more; more = len(b) > 0 { // a datagram of no bytes is one too
		n++
		d := b[:min(size, len(b))]
		b = b[len(d):]
		in.datagram(d, m, segment)
	}
	in.runs.Add(n)
	for _, p := range in.ports {
		p.settle(m.Peer.Addr())
	}
}

// settle counts what a message from src brought.
func (p *inPort) settle(src netip.Addr) {
	if p.heard.Frames > 0 {
		p.book.Add(src, int(p.heard.Frames), int(p.heard.Bytes))
		p.heard = ledger.Sum{}
	}
}

// datagram decides about one datagram and gathers its frame. segment is the
// payload of each datagram inside, in bytes, when the frame is a superframe of
// UDP, else 0.
func (in *inbound) datagram(d []byte, m *encap.Message, segment int) {
	p := in.port(d)
	if p == nil {
		in.stray.count(strayed(d), 1, max(len(d)-encap.HeaderLen, 0))
		in.strays = true
		if in.sample.wanted() {
			in.sample.take(&Sample{Verdict: strayed(d), Peer: m.Peer, Outer: encap.Datagram{TOS: m.TOS}, Data: d})
		}
		return
	}
	p.busy = true
	v := p.accept(d, m)
	p.tally.count(v, 1, max(len(d)-encap.HeaderLen, 0))
	if in.sample.wanted() {
		in.sample.take(&Sample{Verdict: v, VNI: p.net.VNI, Peer: m.Peer, Outer: encap.Datagram{TOS: m.TOS}, Segment: segment, Data: d})
	}
	h := encap.Header(d)
	switch v {
	case Deliver:
	case Echoed:
		p.net.Echoes.push(h.Payload(), m.Peer.Addr(), &p.tally)
		return
	default:
		return
	}
	p.heard.Frames++
	p.heard.Bytes += uint64(len(d) - encap.HeaderLen)
	if !h.ReservedClear() {
		p.tally.extra[Reserved]++
	}
	p.deliver(h.Payload(), segment)
}

// accept is Accept, which a datagram with the headers of one that was delivered
// needs not go through again.
func (p *inPort) accept(d []byte, m *encap.Message) Verdict {
	if len(d) >= len(p.last) && headers(d) == p.last {
		return concede(encap.Header(d).Payload(), m.Peer.Addr(), m.TOS, &p.net.Self, p.tables)
	}
	v := Accept(d, m.Peer.Addr(), m.TOS, &p.net.Self, p.tables)
	if v == Deliver && encap.Header(d).Payload().Type() != echo.EtherType { // of those some are not to be delivered
		p.last = headers(d)
	}
	return v
}

// port returns the network of the datagram's VNI, nil when it is none's. A
// network that is alone takes all: its Accept says what is wrong.
func (in *inbound) port(d []byte) *inPort {
	if len(in.ports) == 1 {
		return in.ports[0]
	}
	if h := encap.Header(d); h.Valid() {
		for _, p := range in.ports {
			if p.net.VNI == h.VNI() {
				return p
			}
		}
	}
	return nil
}

// strayed is the verdict on a datagram that is no network's.
func strayed(d []byte) Verdict {
	h := encap.Header(d)
	switch {
	case !h.Valid():
		return DropRuntDatagram
	case !h.HasVNI():
		return DropNoVNI
	}
	return DropForeignVNI
}

// deliver gathers a frame for the TAP.
func (p *inPort) deliver(f ether.Frame, segment int) {
	if !p.tables.Superframes {
		p.deliverWhole(f, segment)
		return
	}
	a := offload.Arrival{Frame: f, MTU: p.tables.MTU, Segment: segment}
	if p.merge.Add(a) {
		return
	}
	p.flush()
	p.merge.Add(a)
}

// deliverWhole gathers a frame for a TAP that takes only what is whole and
// finished: what a kernel peer on the same machine left to an offload is done
// here.
func (p *inPort) deliverWhole(f ether.Frame, segment int) {
	p.vnet.Clear()
	offload.Unfinished(p.vnet, f, p.tables.MTU, segment)
	lists, fate := p.split.Split(noVnet, p.vnet, f)
	if fate == offload.Full || fate == offload.Ready && len(p.whole)+len(lists) > cap(p.whole) {
		p.flush()
		lists, fate = p.split.Split(noVnet, p.vnet, f)
	}
	if fate != offload.Ready {
		p.tally.extra[WriteRefused]++
		return
	}
	p.tally.frames[Deliver] += uint32(len(lists) - 1) // a superframe counts as its frames
	p.heard.Frames += uint64(len(lists) - 1)
	p.whole = append(p.whole, lists...)
}

// flush writes what is gathered. A TAP that takes nothing any more is reported to
// who serves it.
func (p *inPort) flush() {
	err := writeAll(p.write, p.merge.Finish(), p.merge, &p.tally)
	p.merge.Reset()
	if e := writeAll(p.write, p.whole, nil, &p.tally); e != nil {
		err = e
	}
	p.whole = p.whole[:0]
	p.split.Reset()
	if err != nil {
		p.net.fail(err)
	}
}

// writeAll writes records and counts their frames; m, if any, made them and
// knows how many frames each stands for. One that is refused is left out.
func writeAll(w Writer, records [][][]byte, m *offload.Merger, t *tally) error {
	for done := 0; done < len(records); {
		n, err := w.Write(records[done:])
		t.extra[Records] += uint32(n)
		t.extra[Written] += frames(m, done, done+n)
		if done += n; done < len(records) {
			t.extra[WriteRefused] += frames(m, done, done+1)
			done++
		}
		if err != nil {
			t.extra[WriteRefused] += frames(m, done, len(records))
			return err
		}
	}
	return nil
}

// frames counts the frames in records from to till.
func frames(m *offload.Merger, from, till int) uint32 {
	if m == nil {
		return uint32(till - from)
	}
	n := 0
	for i := from; i < till; i++ {
		n += m.Frames(i)
	}
	return uint32(n)
}
