package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/uvtep/uvtep/bench/lab"
)

// seen is how many frames of a transfer a look at the TAP takes.
const seen = 2000

// uvtep runs a command of uvtep beside a host's agent and returns what it wrote.
func uvtep(ctx context.Context, t *testing.T, h *lab.Host, args ...string) string {
	t.Helper()
	p, err := h.Start(program, append(args, "--admin-socket", h.AdminSocket)...)
	must(t, err)
	if err := p.Wait(ctx); err != nil {
		t.Fatalf("uvtep %v on %s: %v\n%s", args, h.Name, err, p.Output())
	}
	return p.Output()
}

// setOffload switches the agents of all hosts.
func setOffload(ctx context.Context, t *testing.T, l *lab.Lab, wish string) {
	t.Helper()
	for _, h := range l.Hosts {
		uvtep(ctx, t, h, "link", "set", "offload", wish)
	}
}

// longFrame finds a frame longer than the MTU among the next on a host's TAP,
// under a transfer that goes on. A raw socket sees only what passes after it
// was opened.
func longFrame(ctx context.Context, h *lab.Host) (int, error) {
	w, err := h.Wire(h.TAP)
	if err != nil {
		return 0, err
	}
	defer func() { _ = w.Close() }()
	for range seen {
		f, err := w.Next(ctx)
		if err != nil {
			return 0, err
		}
		if n := len(f.Data) - 14; n > h.MTU {
			return n, nil
		}
	}
	return 0, nil
}

// checkFrames looks at the TAPs of both hosts: one sends superframes, into the
// other they are written.
func checkFrames(ctx context.Context, t *testing.T, l *lab.Lab, super bool) {
	t.Helper()
	for _, h := range l.Hosts {
		n, err := longFrame(ctx, h)
		must(t, err)
		if n > 0 != super {
			t.Errorf("%s: the longest of %d frames has %d bytes at an MTU of %d; superframes: want %v", h.Name, seen, n, h.MTU, super)
		}
	}
}

// transferring calls during while TCP streams go from the first host's
// container to the second's, whose sums are compared.
func transferring(ctx context.Context, t *testing.T, l *lab.Lab, during func()) {
	t.Helper()
	run, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for run.Err() == nil { // each stream to its end: one that is cut proves nothing
			if _, err := l.Hosts[0].Containers[0].TCP(ctx, l.Hosts[1].Containers[0].Node, lab.Flow{Bytes: 64 << 20}); err != nil {
				t.Errorf("while offloads were switched: %v", err)
				return
			}
		}
	})
	defer wg.Wait()
	defer stop()
	during()
}

func TestOffloadIsSwitchedUnderATransfer(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	transferring(ctx, t, l, func() {
		checkFrames(ctx, t, l, true)
		for range 2 {
			setOffload(ctx, t, l, "off")
			checkFrames(ctx, t, l, false)
			setOffload(ctx, t, l, "auto")
			checkFrames(ctx, t, l, true)
		}
	})
	for _, h := range l.Hosts {
		if s := readStats(ctx, t, h); s.Counts["WriteRefused"]+s.Counts["SendRefused"] > 0 {
			t.Errorf("%s: frames were lost: %v", h.Name, s.Counts)
		}
	}
}

func TestOffloadWishOutlivesTheTAP(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	setOffload(ctx, t, l, "off")
	for _, h := range l.Hosts {
		routes := routesOf(t, h)
		must(t, h.DeleteLink(h.TAP))
		back(ctx, t, h, routes)
	}
	transferring(ctx, t, l, func() { checkFrames(ctx, t, l, false) })
	setOffload(ctx, t, l, "auto")
	transferring(ctx, t, l, func() { checkFrames(ctx, t, l, true) })
}

func TestAgentThatBeganWithAPlainTAPGetsOffloads(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2, AgentArgs: []string{"--offload", "off"}})
	transferring(ctx, t, l, func() {
		checkFrames(ctx, t, l, false)
		setOffload(ctx, t, l, "auto")
		checkFrames(ctx, t, l, true)
	})
}

func TestLinkTellsHowTheDataPathStands(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[1]
	first, _, _ := strings.Cut(uvtep(ctx, t, h, "link"), "\n")
	if want := "vxlan id 1 local 192.0.2.2 dev eth0 srcport 49152 65535 dstport 4789 nolearning ttl 64 udpcsum"; first != want {
		t.Errorf("got %q, want %q", first, want)
	}
	for _, wish := range []string{"off", "auto"} {
		setOffload(ctx, t, l, wish)
		if err := offloadIs(uvtep(ctx, t, h, "link", "show", "-j"), h, wish); err != nil {
			t.Errorf("after offload %s: %v", wish, err)
		}
	}
}

// offloadIs checks what `uvtep link -j` says of the offloads and the TAP.
func offloadIs(out string, h *lab.Host, wish string) error {
	var list []struct {
		Ifname  string
		MTU     int
		Offload struct {
			Wish   string
			Active bool
			Reason string
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		return fmt.Errorf("%w:\n%s", err, out)
	}
	v := list[0]
	on := wish == "auto"
	if v.Ifname != h.TAP || v.MTU != h.MTU || v.Offload.Wish != wish || v.Offload.Active != on || (v.Offload.Reason == "") != on {
		return errors.New(out)
	}
	return nil
}
