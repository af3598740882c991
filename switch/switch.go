package vswitch

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"

	"github.com/uvtep/uvtep/arpproxy"
	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/encap/offload"
	"github.com/uvtep/uvtep/internal/ledger"
)

// Port is one queue of a TAP. A record is a virtio_net_hdr of VnetLen bytes
// (zero on a plain device) followed by a frame.
type Port interface {
	// Read waits for a frame and takes what is waiting into buf: each frames[i]
	// of the n returned is a record within buf, valid until buf is used again.
	Read(buf []byte, frames [][]byte) (n int, err error)
	// Lost returns how many frames the kernel could not hand over since the last
	// call. It is called by the goroutine that reads.
	Lost() int
	// Writer returns the writing end for one goroutine.
	Writer() Writer
}

// Writer is a writing end of a Port.
type Writer interface {
	// Write hands over records, each a gather list whose first slice begins
	// with the header, and returns how many were taken. It stops at one that
	// is refused, records[sent]; an error says that the port is of no more use.
	Write(records [][][]byte) (sent int, err error)
}

// Receiver is a receiving end of the underlay.
type Receiver interface {
	// Recv waits for a datagram and fills as many of ms as are waiting.
	Recv(ms []encap.Message) (n int, err error)
}

// Sender is a sending end of the underlay for one goroutine.
type Sender interface {
	// Send sends the datagrams and returns how many were taken.
	Send(ds []encap.Datagram) (sent int)
}

// counter is a Sender that counts what it sends by VTEP.
type counter interface {
	CountIn(*ledger.Book)
}

// VnetLen is the length in bytes of the header in front of every record.
const VnetLen = offload.VnetHeaderLen

// Network is one VNI on this host.
type Network struct {
	Self
	Ports []Port // one a lane
	// Outer says how the outer headers of what is sent are made.
	Outer encap.Outer
	// MergeUDP says that the TAP takes superframes of UDP (Linux 6.2), where it
	// takes superframes at all: see Tables.Superframes.
	MergeUDP bool
	// Sightings, if not nil, are told which stations are behind the TAP.
	Sightings *Sightings
	// Sent and Heard, if not nil, count by VTEP what leaves (of senders that have
	// CountIn) and what is delivered. They outlive the switch.
	Sent, Heard *ledger.Ledger
}

// Config is what a switch is made of.
type Config struct {
	Networks  []Network
	Receivers [][]Receiver // by lane
	NewSender func() Sender
	// FloodRate is how many copies of flooded frames may leave a second, over
	// all lanes and networks; 0: any number.
	FloodRate int
	// Wake makes all Reads and Recvs that wait return, so that Run can end.
	Wake func()
	// Begin, if not nil, is called by every goroutine of the data path before it
	// works, for its place in the schedule.
	Begin func()
}

// Switch moves frames between TAPs and the underlay.
type Switch struct {
	conf     Config
	networks []*network
	count    *Totals
	floods   *meter

	mu     sync.Mutex
	epochs []*epoch // guarded by mu: of the goroutines that write to the TAPs
	beats  []*epoch // guarded by mu: of the others
}

// network is a Network at work.
type network struct {
	Network
	tables atomic.Pointer[Tables]

	mu    sync.Mutex
	front Writer // guarded by mu: for frames that are not from the underlay
}

// Totals are the counters of all goroutines that ever worked for a switch. It
// outlives the switch, so that a TAP made anew does not begin at zero.
type Totals struct {
	mu  sync.Mutex
	all []*Counters // guarded by mu
}

func (t *Totals) counters() *Counters {
	c := new(Counters)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, c)
	return c
}

// Stats returns a reading. Each count is exact, but not all of one instant
// while traffic flows.
func (t *Totals) Stats() (s Stats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range t.all {
		s.add(c)
	}
	return s
}

// New makes a switch that counts in count. A network's tables are empty, and
// nothing of it is forwarded, until SetTables is called.
func New(c Config, count *Totals) (*Switch, error) {
	s := &Switch{conf: c, count: count, floods: newMeter(c.FloodRate)}
	for _, n := range c.Networks {
		if len(n.Ports) == 0 || len(n.Ports) != len(c.Receivers) {
			return nil, fmt.Errorf("VNI %s: %d TAP queues for %d lanes", n.VNI, len(n.Ports), len(c.Receivers))
		}
		if n.Sightings != nil && len(n.Sightings.rings) != len(n.Ports) {
			return nil, fmt.Errorf("VNI %s: sightings of %d lanes for %d", n.VNI, len(n.Sightings.rings), len(n.Ports))
		}
		w := &network{Network: n, front: n.Ports[0].Writer()}
		w.tables.Store(&Tables{})
		s.networks = append(s.networks, w)
	}
	return s, nil
}

// SetTables puts the tables of a network in force from the next batch on.
func (s *Switch) SetTables(v encap.VNI, t *Tables) {
	if n := s.network(v); n != nil {
		n.tables.Store(t)
	}
}

// Announce tells the stations behind the TAP of a network, by a gratuitous ARP
// (RFC 5227 §2.3) or an unsolicited neighbour advertisement (RFC 4861 §7.2.6),
// that ip has the address mac now.
func (s *Switch) Announce(v encap.VNI, ip netip.Addr, mac ether.Addr) error {
	n := s.network(v)
	if n == nil || !ip.IsValid() {
		return nil
	}
	f := arpproxy.Announce(make([]byte, arpproxy.MaxLen), ip, mac)
	n.mu.Lock()
	defer n.mu.Unlock()
	_, err := n.front.Write([][][]byte{{noVnet, f}})
	return err
}

// Ask asks the station mac behind the TAP of a network whether it still has ip:
// its answer, an ARP reply or a neighbour advertisement, is a sighting, and goes
// no further.
func (s *Switch) Ask(v encap.VNI, ip netip.Addr, mac ether.Addr) error {
	n := s.network(v)
	if n == nil || !ip.IsValid() {
		return nil
	}
	f := arpproxy.Ask(make([]byte, arpproxy.MaxLen), ip, mac, n.asker())
	n.mu.Lock()
	defer n.mu.Unlock()
	_, err := n.front.Write([][][]byte{{noVnet, f}})
	return err
}

func (s *Switch) network(v encap.VNI) *network {
	for _, n := range s.networks {
		if n.VNI == v {
			return n
		}
	}
	return nil
}

// Run switches until ctx ends, which is no error, or a port or receiver fails.
// When it returns, none of its goroutines is left.
func (s *Switch) Run(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var wg sync.WaitGroup
	for lane, receivers := range s.conf.Receivers {
		for _, n := range s.networks {
			o := s.newOutbound(n, lane)
			wg.Go(func() { fail(s.work(o.run)) })
		}
		for _, r := range receivers {
			in := s.newInbound(r, lane)
			wg.Go(func() { fail(s.work(in.run)) })
		}
	}
	<-ctx.Done()
	s.conf.Wake()
	wg.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// work is what a goroutine of the data path does.
func (s *Switch) work(run func() error) error {
	if s.conf.Begin != nil {
		s.conf.Begin()
	}
	return run()
}
