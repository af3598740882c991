package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/admin"
	"github.com/uvtep/uvtep/internal/pcapng"
	vswitch "github.com/uvtep/uvtep/switch"
)

const (
	// capturePath is where an agent streams what passes, as pcapng.
	capturePath = "/v1/capture"
	// drainEvery is how often samples are collected while somebody captures.
	drainEvery = 5 * time.Millisecond
)

// What of a frame is captured.
const (
	viewInner = "inner"
	viewOuter = "outer"
	viewBoth  = "both"
)

// captureWish is what is asked of a capture.
type captureWish struct {
	view   string
	filter vswitch.Filter
	count  uint64 // of frames, then it ends; 0: it does not
}

// parseCapture reads the parameters of a request, and reports all faults.
func parseCapture(v url.Values) (w captureWish, err error) {
	var faults []error
	fault := func(name, want string) { faults = append(faults, fmt.Errorf("%s %q: %s", name, v.Get(name), want)) }
	number := func(name string, bits int) uint64 {
		n, err := strconv.ParseUint(v.Get(name), 10, bits)
		if v.Has(name) && err != nil {
			fault(name, fmt.Sprintf("want a number of %d bits", bits))
		}
		return n
	}
	addr := func(name string) netip.Addr {
		a, err := netip.ParseAddr(v.Get(name))
		if v.Has(name) && err != nil {
			fault(name, "want an IP address")
		}
		return a
	}
	switch w.view = v.Get("view"); w.view {
	case "":
		w.view = viewInner
	case viewInner, viewOuter, viewBoth:
	default:
		fault("view", "say inner, outer or both")
	}
	f := &w.filter
	f.VNI, f.HasVNI, f.IP, f.VTEP = encap.VNI(number("vni", 24)), v.Has("vni"), addr("ip"), addr("vtep")
	if v.Has("mac") {
		if f.MAC, err = ether.ParseAddr(v.Get("mac")); err != nil {
			fault("mac", "want a MAC address")
		}
	}
	w.count, f.SnapLen = number("count", 63), int(number("snaplen", 31))
	verdicts, err := wantedVerdicts(v)
	if f.Verdicts = verdicts; err != nil {
		faults = append(faults, err)
	}
	return w, errors.Join(faults...)
}

// wantedVerdicts are those that the parameters name, of the direction they name,
// and drops alone where they want that.
func wantedVerdicts(v url.Values) (set vswitch.VerdictSet, err error) {
	named := vswitch.VerdictSet(0)
	for _, name := range v["verdict"] {
		x, ok := vswitch.VerdictNamed(name)
		if !ok {
			return 0, fmt.Errorf("verdict %q: there is none; `uvtep stats -j` has them all", name)
		}
		named = named.Add(x)
	}
	drops, err := strconv.ParseBool(v.Get("drops"))
	if v.Has("drops") && err != nil {
		return 0, fmt.Errorf("drops %q: say true or false", v.Get("drops"))
	}
	direction := v.Get("direction")
	if direction != "" && direction != "in" && direction != "out" {
		return 0, fmt.Errorf("direction %q: say in or out", direction)
	}
	for _, x := range vswitch.Verdicts() {
		if named != 0 && !named.Has(x) || drops && !x.Drop() || direction != "" && x.Inbound() != (direction == "in") {
			continue
		}
		set = set.Add(x)
	}
	if set == 0 {
		return 0, errors.New("no verdict is left: what is named is no drop, or of the other direction")
	}
	return set, nil
}

// capture opens the stream of a capture.
func (a *agent) capture(v url.Values) (admin.Open, error) {
	w, err := parseCapture(v)
	if err != nil {
		return admin.Open{}, admin.BadRequest{Err: err}
	}
	k, err := a.trunk.captures.Start(w.filter)
	if err != nil {
		return admin.Open{}, admin.Busy{Err: err}
	}
	return admin.Open{Type: "application/x-pcapng", Write: func(ctx context.Context, out admin.StreamWriter) error {
		defer k.Stop()
		a.log.Info().Str("view", w.view).Msg("capture begins")
		s := &captureStream{agent: a, wish: w, from: k, out: out, inner: map[encap.VNI]uint32{}}
		err := s.run(ctx)
		a.log.Info().Uint64("frames", s.taken).Uint64("lost", k.Lost()).Msg("capture ends")
		return err
	}}, nil
}

// captureStream writes one capture.
type captureStream struct {
	*agent
	wish captureWish
	from *vswitch.Capture
	out  admin.StreamWriter

	b          []byte // written next
	interfaces uint32
	inner      map[encap.VNI]uint32 // interface of a network's TAP
	outer      uint32               // interface of the underlay
	taken      uint64
	lost       uint64 // that was told
}

// run writes samples until ctx ends or there are as many as were wished for.
func (s *captureStream) run(ctx context.Context) error {
	s.b = pcapng.AppendSection(nil, "uvtep "+version)
	if s.wish.view != viewOuter {
		for _, p := range s.working() {
			s.tap(p.network.VNI)
		}
	}
	if s.wish.view != viewInner {
		s.outer = s.describe(pcapng.Interface{Name: s.trunk.where().Name, Description: "underlay of uvtep; outer headers as its sockets know them", Link: pcapng.RawIP})
	}
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	for {
		s.from.Drain(s.sample)
		if lost := s.from.Lost(); s.interfaces > 0 && (lost != s.lost || s.done()) {
			s.lost = lost
			s.b = pcapng.AppendStatistics(s.b, 0, time.Now(), s.taken, lost)
		}
		if err := s.flush(); err != nil || s.done() {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (s *captureStream) done() bool { return s.wish.count > 0 && s.taken >= s.wish.count }

// captureChunk is how much is gathered before it is written, in bytes.
const captureChunk = 256 << 10

func (s *captureStream) flush() error {
	if len(s.b) == 0 {
		return nil
	}
	_, err := s.out.Write(s.b)
	s.b = s.b[:0]
	return errors.Join(err, s.out.Flush())
}

// sample appends what is wanted of a sample.
func (s *captureStream) sample(x *vswitch.Sample) {
	if s.done() {
		return
	}
	var d []byte
	if s.wish.view != viewInner {
		d = s.outerDatagram(x)
	}
	if s.wish.view == viewOuter && d == nil {
		return // it never was on the underlay
	}
	s.taken++
	f := pcapng.Frame{Time: x.Time, Direction: pcapng.Outbound, Comment: captureComment(x)}
	if x.Verdict.Inbound() {
		f.Direction = pcapng.Inbound
	}
	if s.wish.view != viewOuter {
		g := f
		g.Interface = s.tap(x.VNI)
		inner, length := x.Inner()
		if g.Data, g.Len = inner, length; d != nil {
			g.ID = s.taken
		}
		s.b = pcapng.AppendFrame(s.b, &g)
	}
	if d != nil {
		f.Interface, f.Data, f.Len = s.outer, d, len(d)+x.Len-len(x.Data)
		if s.wish.view == viewBoth {
			f.ID = s.taken
		}
		s.b = pcapng.AppendFrame(s.b, &f)
	}
	if len(s.b) > captureChunk {
		_ = s.flush() // an error is there at the next flush as well
	}
}

// tap is the interface of a network, described when it is first seen.
func (s *captureStream) tap(v encap.VNI) uint32 {
	if i, ok := s.inner[v]; ok {
		return i
	}
	i := pcapng.Interface{Name: "none", Description: "of no network of this agent", Link: pcapng.Ethernet}
	if p, err := s.planeOf(v); err == nil && v != 0 {
		i.Name, i.Description = p.name, "VNI "+v.String()
	}
	s.inner[v] = s.describe(i)
	return s.inner[v]
}

func (s *captureStream) describe(i pcapng.Interface) uint32 {
	s.b = pcapng.AppendInterface(s.b, i)
	s.interfaces++
	return s.interfaces - 1
}

// captureComment says what became of a frame, where to or from where, and if it
// was dropped why.
func captureComment(x *vswitch.Sample) string {
	c := x.Verdict.String()
	switch {
	case x.Verdict.Inbound():
		c += " from " + x.Peer.String()
	case x.Peer.IsValid():
		c += " to " + x.Peer.String()
	case x.Verdict == vswitch.Replicate:
		c += fmt.Sprintf(" to %d VTEPs", x.VTEPs)
	}
	if x.Verdict.Drop() {
		c += ": " + x.Verdict.Reason()
	}
	if x.Stripped {
		c += "; tags stripped"
	}
	if x.Segment > 0 {
		c += fmt.Sprintf("; superframe, cut every %d bytes of payload", x.Segment)
	}
	return c
}
