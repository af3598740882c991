package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"github.com/uvtep/uvtep/bench/lab"
	"github.com/uvtep/uvtep/encap/ether"
	"github.com/uvtep/uvtep/internal/pcapng"
)

// startCapture runs `uvtep capture` on a host and returns once it captures.
func startCapture(ctx context.Context, t *testing.T, h *lab.Host, args ...string) *lab.Process {
	t.Helper()
	p, err := h.Start(program, append([]string{"capture", "--admin-socket", h.AdminSocket}, args...)...)
	must(t, err)
	must(t, p.WaitOutput(ctx, "capturing; ^C ends it"))
	return p
}

// capturedIn reads the frames of a capture file of uvtep's, as far as it is whole.
func capturedIn(t *testing.T, path string) (frames []pcapng.Frame) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	for in := bytes.NewReader(b); ; {
		block, err := pcapng.ReadBlock(in)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return frames
		}
		must(t, err)
		if f, ok := block.Frame(); ok {
			frames = append(frames, f)
		}
	}
}

// commented reports whether a file has a frame with a comment that begins so.
func commented(t *testing.T, path, comment string) bool {
	return slices.ContainsFunc(capturedIn(t, path), func(f pcapng.Frame) bool { return strings.HasPrefix(f.Comment, comment) })
}

// interrupt ends a capture as ^C does, and returns what it said.
func interrupt(ctx context.Context, t *testing.T, p *lab.Process) string {
	t.Helper()
	must(t, p.Signal(syscall.SIGINT), p.Wait(ctx))
	return p.Output()
}

// readAsOthers reads a whole capture as another program does, and returns the
// innermost layers of its frames by interface.
func readAsOthers(t *testing.T, path string) (frames [2]int, vxlan int) {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer func() { _ = f.Close() }()
	r, err := pcapgo.NewNgReader(f, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	must(t, err)
	for {
		data, ci, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return frames, vxlan
		}
		must(t, err)
		frames[ci.InterfaceIndex]++
		if ci.InterfaceIndex == 1 && len(data) > 0 {
			p := gopacket.NewPacket(data, layers.LayerTypeIPv4, gopacket.Default)
			if v, ok := p.Layer(layers.LayerTypeVXLAN).(*layers.VXLAN); ok && v.VNI == 1 && v.ValidIDFlag {
				vxlan++
			}
		}
	}
}

func TestCaptureShowsFramesWithTheirVerdicts(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h, far := l.Hosts[0], l.Hosts[1]
	from, to := h.Containers[0], far.Containers[0]
	inside, err := h.Wire(h.TAP)
	must(t, err)
	defer func() { _ = inside.Close() }()
	nobody := ether.Addr{2, 9, 9, 9, 9, 9}
	drop := func() { must(t, inside.Send(strange(nobody, someone))) }

	both, drops := filepath.Join(l.Dir, "both.pcapng"), filepath.Join(l.Dir, "drops.pcapng")
	all := startCapture(ctx, t, h, "-w", both, "--both")
	dropped := startCapture(ctx, t, h, "-w", drops, "--drops")
	lines := startCapture(ctx, t, h, "--ip", to.Addr.String(), "--verdict", "Forward,Deliver")
	_, err = from.Ping(ctx, to.Addr, lab.Pings{Count: 2})
	must(t, err)
	drop()
	eventually(ctx, t, "all is captured", func() (bool, string) {
		return commented(t, both, "DropUnknownUnicast: nobody in etcd") && commented(t, drops, "DropUnknownUnicast: nobody in etcd") && commented(t, both, "Deliver from 192.0.2.2:"), lines.Output()
	})
	must(t, lines.WaitOutput(ctx, from.Addr.String()+" > "+to.Addr.String()+", ICMP EchoRequest id"))
	must(t, lines.WaitOutput(ctx, "| Forward to 192.0.2.2:4789"))
	must(t, lines.WaitOutput(ctx, " in  "))
	if out := interrupt(ctx, t, lines); !strings.Contains(out, "0 lost for want of room") || strings.Contains(out, "Drop") {
		t.Errorf("lines: got\n%s", out)
	}
	for _, p := range []*lab.Process{all, dropped} {
		if out := interrupt(ctx, t, p); !regexp.MustCompile(`\n\d+ frames? captured, 0 lost for want of room\n`).MatchString(out) {
			t.Errorf("got %q at the end", out)
		}
	}
	frames, vxlan := readAsOthers(t, both)
	if frames[0] < 5 || frames[1] < 4 || vxlan != frames[1] {
		t.Errorf("inner and outer: got %v frames, %d of VXLAN", frames, vxlan)
	}
	for _, f := range capturedIn(t, both) {
		if twins := strings.HasPrefix(f.Comment, "Forward") || strings.HasPrefix(f.Comment, "Deliver"); twins != (f.ID != 0) {
			t.Errorf("%s: ID %d", f.Comment, f.ID)
		}
	}
	for _, f := range capturedIn(t, drops) {
		if !strings.HasPrefix(f.Comment, "Drop") || !strings.Contains(f.Comment, ": ") {
			t.Errorf("among the drops: %q", f.Comment)
		}
	}
	readAsOthers(t, drops)

	// So many, and then it ends by itself.
	some := startCapture(ctx, t, h, "--drops", "--mac", nobody.String(), "-c", "2")
	drop()
	drop()
	drop()
	must(t, some.Wait(ctx))
	if out := some.Output(); strings.Count(out, "| DropUnknownUnicast: nobody in etcd") != 2 || !strings.Contains(out, "2 frames captured") {
		t.Errorf("two drops: got\n%s", out)
	}

	// Superframes are seen in one piece.
	super := filepath.Join(l.Dir, "super.pcapng")
	p := startCapture(ctx, t, h, "-w", super, "--direction", "out", "--snaplen", "100")
	if _, err := from.TCP(ctx, to.Node, lab.Flow{Bytes: 8 << 20}); err != nil {
		t.Fatal(err)
	}
	long := func(f pcapng.Frame) bool {
		return f.Len > h.MTU+ether.HeaderLen && len(f.Data) == 100 && strings.Contains(f.Comment, "; superframe, cut every ")
	}
	eventually(ctx, t, "a superframe is captured", func() (bool, string) {
		return slices.ContainsFunc(capturedIn(t, super), long), fmt.Sprint(len(capturedIn(t, super)))
	})
	interrupt(ctx, t, p)
	readAsOthers(t, super)

	// A ring of files, each whole.
	ring := filepath.Join(l.Dir, "ring")
	p = startCapture(ctx, t, h, "-w", ring, "--ring", "2", "--ring-size", "1")
	if _, err := from.TCP(ctx, to.Node, lab.Flow{Bytes: 16 << 20}); err != nil {
		t.Fatal(err)
	}
	eventually(ctx, t, "both files are there", func() (bool, string) {
		_, err := os.Stat(ring + ".2")
		return err == nil, p.Tail(3)
	})
	interrupt(ctx, t, p)
	for _, name := range []string{ring + ".1", ring + ".2"} {
		i, err := os.Stat(name)
		must(t, err)
		if frames, _ := readAsOthers(t, name); frames[0] == 0 || i.Size() > 1<<20 {
			t.Errorf("%s: %d frames in %d bytes", name, frames[0], i.Size())
		}
	}

	// An agent that ends leaves a capture that is whole.
	cut := filepath.Join(l.Dir, "cut.pcapng")
	p = startCapture(ctx, t, h, "-w", cut)
	drop()
	eventually(ctx, t, "the drop is captured", func() (bool, string) { return commented(t, cut, "DropUnknownUnicast"), p.Tail(3) })
	must(t, h.Agent.Stop(ctx))
	if err := p.Wait(ctx); err == nil || !strings.Contains(p.Output(), "the agent has ended") {
		t.Errorf("got %v, %q", err, p.Output())
	}
	readAsOthers(t, cut)
}
