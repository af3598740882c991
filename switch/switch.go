package vswitch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/uvtep/uvtep/encap"
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

// Config is what a switch is made of.
type Config struct {
	// Lanes is how many queues every network's TAP has here.
	Lanes     int
	NewSender func() Sender
	// FloodRate is how many copies of flooded frames may leave a second, over
	// all lanes and networks; 0: any number.
	FloodRate int
	// Captures, if not nil, are handed samples of what passes.
	Captures *Captures
	// Wake makes all Recvs that wait return, so that Run can end.
	Wake func()
	// Begin, if not nil, is called by every goroutine of the data path before it
	// works, for its place in the schedule.
	Begin func()
}

// Switch moves frames between the TAPs of networks and the underlay that they
// share.
type Switch struct {
	conf   Config
	count  *Totals // of what belongs to no network
	floods *meter
	first  chan struct{} // closed when a network is served

	networks atomic.Pointer[[]*Network] // that are served; replaced, never changed

	mu     sync.Mutex
	epochs []*epoch // guarded by mu: of the goroutines that write to the TAPs
	beats  []*epoch // guarded by mu: of the others
}

// Totals are the counters of all goroutines that ever worked for a network, or
// for a switch. It outlives them, so that a TAP made anew does not begin at zero.
type Totals struct {
	mu  sync.Mutex
	all []*Counters // guarded by mu
}

func (t *Totals) counters(lane int) *Counters {
	c := &Counters{lane: lane}
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

// Lanes returns a reading of each lane, from the first on.
func (t *Totals) Lanes() []Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Stats
	for _, c := range t.all {
		if c.lane == noLane {
			continue
		}
		for len(out) <= c.lane {
			out = append(out, Stats{})
		}
		out[c.lane].add(c)
	}
	return out
}

// New makes a switch without a network. What belongs to none is counted in count.
func New(c Config, count *Totals) *Switch {
	s := &Switch{conf: c, count: count, floods: newMeter(c.FloodRate), first: make(chan struct{})}
	s.networks.Store(new([]*Network))
	return s
}

// Run takes what arrives at the receivers, which are given by lane, until ctx
// ends, which is no error, or one of them fails. It begins when there is a network
// to take it for. When it returns, none of its goroutines is left. It may be
// called again, with others.
func (s *Switch) Run(ctx context.Context, receivers [][]Receiver) error {
	select {
	case <-s.first:
	case <-ctx.Done():
		return nil
	}
	crew := newCrew(ctx, s.conf.Begin)
	for lane, rs := range receivers {
		for _, r := range rs {
			in := s.newInbound(r, lane)
			defer s.leave(in.epoch)
			crew.add(in.run)
		}
	}
	return crew.end(s.conf.Wake)
}

// Serve moves the frames of a network until ctx ends, which is no error, or its
// TAP fails, which is nothing to other networks. When it returns, nobody reads or
// writes the TAP any more.
func (s *Switch) Serve(ctx context.Context, n *Network) error {
	if err := s.add(n); err != nil {
		return err
	}
	crew := newCrew(ctx, s.conf.Begin)
	for lane := range n.Ports {
		o := s.newOutbound(n, lane)
		defer s.leave(o.beat)
		crew.add(o.run)
	}
	crew.watch(n.failed)
	err := crew.end(func() {
		s.remove(n)
		n.Wake()
	})
	_ = s.Settle(context.Background()) // batches are short, and theirs is the last look at n
	select {
	case <-n.failed: // it was told more than once
	default:
	}
	return err
}

// add has what arrives for a network delivered to it.
func (s *Switch) add(n *Network) error {
	if len(n.Ports) != s.conf.Lanes {
		return fmt.Errorf("VNI %s: %d TAP queues for %d lanes", n.VNI, len(n.Ports), s.conf.Lanes)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	was := *s.networks.Load()
	if slices.ContainsFunc(was, func(o *Network) bool { return o.VNI == n.VNI }) {
		return fmt.Errorf("VNI %s is served already", n.VNI)
	}
	next := append(slices.Clone(was), n)
	s.networks.Store(&next)
	select {
	case <-s.first:
	default:
		close(s.first)
	}
	return nil
}

// remove undoes add. A batch under way may still be delivered.
func (s *Switch) remove(n *Network) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := slices.DeleteFunc(slices.Clone(*s.networks.Load()), func(o *Network) bool { return o == n })
	s.networks.Store(&next)
}

// crew is goroutines of the data path that end together.
type crew struct {
	ctx   context.Context
	fail  context.CancelCauseFunc
	begin func()
	wg    sync.WaitGroup
}

func newCrew(ctx context.Context, begin func()) *crew {
	c := &crew{begin: begin}
	c.ctx, c.fail = context.WithCancelCause(ctx)
	return c
}

// add has run done by one more. Its end is that of all.
func (c *crew) add(run func() error) {
	c.wg.Go(func() {
		if c.begin != nil {
			c.begin()
		}
		c.fail(run())
	})
}

// watch ends all with what comes from failed.
func (c *crew) watch(failed <-chan error) {
	c.wg.Go(func() {
		select {
		case err := <-failed:
			c.fail(err)
		case <-c.ctx.Done():
		}
	})
}

// end waits for the end, wakes all who wait for frames and returns when none is
// left. That they were woken is no error.
func (c *crew) end(wake func()) error {
	<-c.ctx.Done()
	wake()
	c.wg.Wait()
	c.fail(nil)
	if err := context.Cause(c.ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}
