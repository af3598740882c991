package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/uvtep/uvtep/internal/admin"
	"github.com/uvtep/uvtep/internal/pcapng"
)

// captureFlags are those of `uvtep capture`.
type captureFlags struct {
	socket              string
	file                string
	ring                int
	ringSize            int // MiB
	inner, outer, both  bool
	drops               bool
	mac, ip, vtep       string
	verdicts            []string
	vni                 uint32
	direction           string
	count               uint64
	snapLen             uint32
	hasVNI, ringSizeSet bool
}

func newCapture() *cobra.Command {
	f := new(captureFlags)
	c := &cobra.Command{
		Use:   "capture",
		Short: "What passes through a running agent, frame by frame, each with its verdict",
		Long: "Prints a line a frame, or writes pcapng with the verdict as each frame's comment, until\n" +
			"SIGINT. Frames are seen where the agent decides about them: superframes in one piece.\n" +
			"When there is more than can be written, the capture loses samples; frames are never\n" +
			"held up. With --drops it shows what is dropped and why.",
		Example: "  uvtep capture --drops\n" +
			"  uvtep capture -w dump.pcapng --both --ip 10.10.2.7\n" +
			"  uvtep capture -w - | wireshark -k -i -",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.hasVNI, f.ringSizeSet = cmd.Flags().Changed("vni"), cmd.Flags().Changed("ring-size")
			if err := f.validate(); err != nil {
				return usageError{err}
			}
			return f.run(cmd)
		},
	}
	f.register(c.Flags())
	return c
}

func (f *captureFlags) register(s *pflag.FlagSet) {
	adminFlag(s, &f.socket)
	s.StringVarP(&f.file, "write", "w", "", "write pcapng to this file, - for stdout, instead of lines")
	s.IntVar(&f.ring, "ring", 0, "with -w FILE: write FILE.1 to FILE.N in turn, so many files (default one, FILE, of any size)")
	s.IntVar(&f.ringSize, "ring-size", 10, "how large each file of --ring becomes, in MiB")
	s.BoolVar(&f.inner, "inner", false, "inner frames (the default)")
	s.BoolVar(&f.outer, "outer", false, "outer datagrams, with headers made of what the sockets tell")
	s.BoolVar(&f.both, "both", false, "inner frames and outer datagrams, two interfaces in one file")
	s.BoolVar(&f.drops, "drops", false, "only what is dropped, with the reason")
	s.StringVar(&f.mac, "mac", "", "only inner frames from or to this MAC address")
	s.StringVar(&f.ip, "ip", "", "only inner frames from, to or about this IP address")
	s.StringVar(&f.vtep, "vtep", "", "only what comes from or goes to this VTEP")
	s.StringSliceVar(&f.verdicts, "verdict", nil, "only these verdicts, by their `names` in the stats")
	s.Uint32Var(&f.vni, "vni", 0, "only this network; 0: what belongs to none")
	s.StringVar(&f.direction, "direction", "", "in: only from the underlay; out: only from the TAP")
	s.Uint64VarP(&f.count, "count", "c", 0, "end after so many frames (default never)")
	s.Uint32Var(&f.snapLen, "snaplen", 0, "keep so many bytes of each frame (default all)")
}

// validate reports all faults that can be seen without the agent.
func (f *captureFlags) validate() error {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf(format, a...)) }
	views := 0
	for _, on := range []bool{f.inner, f.outer, f.both} {
		if on {
			views++
		}
	}
	if views > 1 {
		fault("say one of --inner, --outer and --both")
	}
	if f.ring < 0 || f.ring > 0 && (f.file == "" || f.file == "-") {
		fault("--ring %d: want a number of files, and -w FILE", f.ring)
	}
	if f.ringSize < 1 || f.ringSizeSet && f.ring == 0 {
		fault("--ring-size %d: want MiB, and --ring", f.ringSize)
	}
	if _, err := parseCapture(f.query()); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// query is what the agent is asked.
func (f *captureFlags) query() url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	switch {
	case f.outer:
		v.Set("view", viewOuter)
	case f.both:
		v.Set("view", viewBoth)
	}
	if f.drops {
		v.Set("drops", "true")
	}
	set("mac", f.mac)
	set("ip", f.ip)
	set("vtep", f.vtep)
	set("direction", f.direction)
	for _, name := range f.verdicts {
		v.Add("verdict", name)
	}
	if f.hasVNI {
		v.Set("vni", strconv.FormatUint(uint64(f.vni), 10))
	}
	if f.count > 0 {
		v.Set("count", strconv.FormatUint(f.count, 10))
	}
	if f.snapLen > 0 {
		v.Set("snaplen", strconv.FormatUint(uint64(f.snapLen), 10))
	}
	return v
}

// errCaptureCut says that the agent ended before the capture did.
var errCaptureCut = errors.New("the agent has ended; what was captured until then is there")

// captured takes the blocks of a capture.
type captured interface {
	block(pcapng.Block) error
	flush() error
	close() error
}

// run captures until it is told to stop, has as many as it wants, or the agent
// ends.
func (f *captureFlags) run(cmd *cobra.Command) error {
	ctx := cmd.Context()
	in, err := admin.Stream(ctx, f.socket, capturePath+"?"+f.query().Encode())
	if err != nil {
		return stopped(ctx, err)
	}
	defer func() { _ = in.Close() }()
	out, err := f.sink(cmd.OutOrStdout())
	if err != nil {
		return err
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "capturing; ^C ends it")
	t := &tallying{captured: out}
	err = errors.Join(f.copy(ctx, in, t), t.finish())
	fmt.Fprintf(cmd.ErrOrStderr(), "%s captured, %d lost for want of room\n", counted(int(t.frames), "frame"), t.lost)
	return err
}

// sink is where blocks go.
func (f *captureFlags) sink(stdout io.Writer) (captured, error) {
	switch {
	case f.file == "":
		return &captureLines{w: stdout}, nil
	case f.file == "-" && onTerminal(stdout):
		return nil, usageError{errors.New("-w - on a terminal: pcapng is not to be read by people; pipe it on, as in `uvtep capture -w - | wireshark -k -i -`, or leave -w out")}
	case f.file == "-":
		return &captureFile{w: bufio.NewWriter(stdout), end: func() error { return nil }}, nil
	case f.ring > 0:
		return newCaptureRing(f.file, f.ring, int64(f.ringSize)<<20)
	}
	return createCapture(f.file)
}

// copy passes blocks on until there are no more.
func (f *captureFlags) copy(ctx context.Context, in io.Reader, out *tallying) error {
	r := bufio.NewReaderSize(in, captureChunk)
	for {
		b, err := pcapng.ReadBlock(r)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil // told to stop
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return errCaptureCut
		default:
			return err
		}
		if err := out.block(b); err != nil {
			return err
		}
		if r.Buffered() == 0 {
			if err := out.flush(); err != nil {
				return err
			}
		}
	}
}

// tallying counts what it passes on. A frame whose inner and outer side are both
// there is one.
type tallying struct {
	captured
	frames, lost uint64
	last         uint64       // ID of the last frame
	stats        pcapng.Block // of the last block of them, which goes to the end
}

func (t *tallying) block(b pcapng.Block) error {
	if _, lost, ok := b.Statistics(); ok {
		t.lost, t.stats = lost, b
		return nil
	}
	if x, ok := b.Frame(); ok {
		if x.ID == 0 || x.ID != t.last {
			t.frames++
		}
		t.last = x.ID
	}
	return t.captured.block(b)
}

// finish writes what comes last.
func (t *tallying) finish() (err error) {
	if t.stats != nil {
		err = t.captured.block(t.stats)
	}
	return errors.Join(err, t.flush(), t.close())
}
