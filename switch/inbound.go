package vswitch

import (
	"github.com/uvtep/uvtep/encap"
)

const (
	// inMessages is how many messages one batch takes from a socket.
	inMessages = 64
	// messageSize is the longest message, in bytes: UDP's own limit.
	messageSize = 64 << 10
	// inRecords is how many records are gathered before they are written.
	inRecords = 512
)

// inbound moves datagrams from one socket to the TAPs.
type inbound struct {
	recv  Receiver
	ms    []encap.Message
	ports []inPort
	tally tally
	count *Counters
}

// inPort is one network as the socket of a lane sees it.
type inPort struct {
	net     *network
	tables  *Tables // of the batch under way
	write   Writer
	records [][][]byte
	data    [][]byte // backs records
}

// noVnet is the header of a frame without offloads. It is only read.
var noVnet = make([]byte, VnetLen)

func (s *Switch) newInbound(r Receiver, lane int) *inbound {
	in := &inbound{recv: r, ms: make([]encap.Message, inMessages), count: s.count.counters()}
	for i := range in.ms {
		in.ms[i].Data = make([]byte, messageSize)
	}
	for _, n := range s.networks {
		in.ports = append(in.ports, inPort{
			net: n, write: n.Ports[lane].Writer(),
			records: make([][][]byte, 0, inRecords), data: make([][]byte, 0, 2*inRecords),
		})
	}
	return in
}

func (in *inbound) run() error {
	for {
		n, err := in.recv.Recv(in.ms)
		if err != nil {
			return err
		}
		if err := in.batch(n); err != nil {
			return err
		}
	}
}

// batch does away with the n messages received.
func (in *inbound) batch(n int) error {
	for i := range in.ports {
		in.ports[i].tables = in.ports[i].net.tables.Load()
	}
	var err error
	for i := range in.ms[:n] {
		if e := in.message(&in.ms[i]); e != nil {
			err = e
		}
	}
	for i := range in.ports {
		if e := in.flush(&in.ports[i]); e != nil {
			err = e
		}
	}
	in.tally.publish(in.count)
	return err
}

// message takes a message apart into the datagrams that the kernel joined.
func (in *inbound) message(m *encap.Message) error {
	b := m.Data[:m.N]
	size := m.Segment
	if size <= 0 {
		size = max(len(b), 1)
	}
	var err error
	for ok := true; ok; ok = len(b) > 0 { // a datagram of no bytes is one too
		d := b[:min(size, len(b))]
		b = b[len(d):]
		if e := in.datagram(d, m); e != nil {
			err = e
		}
	}
	return err
}

func (in *inbound) datagram(d []byte, m *encap.Message) error {
	p := in.port(d)
	v := Accept(d, m.Peer.Addr(), m.TOS, &p.net.Self, p.tables)
	in.tally.count(v, max(len(d)-encap.HeaderLen, 0))
	if v != Deliver {
		return nil
	}
	h := encap.Header(d)
	if !h.ReservedClear() {
		in.tally.extra[Reserved]++
	}
	n := len(p.data)
	p.data = append(p.data, noVnet, h.Payload())
	p.records = append(p.records, p.data[n:n+2:n+2])
	if len(p.records) == cap(p.records) {
		return in.flush(p)
	}
	return nil
}

// port returns the network of the datagram's VNI, or the first one, whose
// Accept then says what is wrong with it.
func (in *inbound) port(d []byte) *inPort {
	if h := encap.Header(d); len(in.ports) > 1 && h.Valid() {
		for i := range in.ports {
			if in.ports[i].net.VNI == h.VNI() {
				return &in.ports[i]
			}
		}
	}
	return &in.ports[0]
}

// flush writes what is gathered for one network.
func (in *inbound) flush(p *inPort) error {
	if len(p.records) == 0 {
		return nil
	}
	n, err := p.write.Write(p.records)
	in.tally.extra[Written] += uint32(n)
	in.tally.extra[WriteRefused] += uint32(len(p.records) - n)
	p.records, p.data = p.records[:0], p.data[:0]
	return err
}
