package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/uvtep/uvtep/internal/admin"
)

const (
	// probeAtOnce is how many peers are probed at the same time by --all.
	probeAtOnce = 16
	// leastBetween keeps one probe from using up what a peer's agent answers.
	leastBetween = 20 * time.Millisecond
	maxCount     = 100000
)

// probeFlags say how to probe.
type probeFlags struct {
	socket   string
	all      bool
	count    int
	interval string
	wait     string
	size     int
	json     bool
	network  string

	every, patience time.Duration // what validate makes of the above
}

func newProbe() *cobra.Command {
	f := new(probeFlags)
	c := &cobra.Command{
		Use:   "probe PEER",
		Short: "Whether datagrams get through to another host, and if not, where they are lost",
		Long: "Has the running agent ask a peer for echoes: in VXLAN, through the very sockets of the\n" +
			"data path; in plain UDP; by ICMP through the overlay and by ICMP to its public address.\n" +
			"Tells round-trip times, loss, the path MTU both ways, and what all that means.\n\n" +
			"PEER is a subnet, an address in the overlay, a public address, a node id or a MAC address.\n" +
			"Hosts that run flannel answer ICMP alone. Size is that of an IP packet in the overlay.\n\n" +
			"Exit status: 0 all is well, 1 it could not be tried, 2 something is lost.",
		Example: "  uvtep probe 10.10.3.0/24\n  uvtep probe -c 100 -i 0.05 192.0.2.3\n  uvtep probe --all -j",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.validate(args); err != nil {
				return usageError{err}
			}
			return f.run(cmd, args)
		},
	}
	adminFlag(c.Flags(), &f.socket)
	c.Flags().BoolVarP(&f.all, "all", "a", false, "probe every peer")
	c.Flags().IntVarP(&f.count, "count", "c", 5, "how many echoes of each kind")
	c.Flags().StringVarP(&f.interval, "interval", "i", "0.2", "seconds between them, 0.02 at least")
	c.Flags().StringVarP(&f.wait, "wait", "W", "1", "seconds that an answer is waited for, 5 at most")
	c.Flags().IntVarP(&f.size, "size", "s", 100, fmt.Sprintf("size in bytes of IP in the overlay, %d to %d", leastEchoSize, mostEchoSize))
	c.Flags().BoolVarP(&f.json, "json", "j", false, "print JSON")
	c.Flags().StringVar(&f.network, "network-name", "", "only peers in the network of this name (default all of the agent's)")
	return c
}

func (f *probeFlags) validate(args []string) (err error) {
	var errs []error
	fault := func(format string, a ...any) { errs = append(errs, fmt.Errorf(format, a...)) }
	if f.all == (len(args) == 1) {
		fault("say which peer to probe, or --all, and not both")
	}
	if f.count < 1 || f.count > maxCount {
		fault("--count %d: want 1 to %d", f.count, maxCount)
	}
	if f.every, err = seconds(f.interval); err != nil || f.every < leastBetween || f.every > time.Hour {
		fault("--interval %q: want seconds, 0.02 to 3600", f.interval)
	}
	if f.patience, err = seconds(f.wait); err != nil || f.patience <= 0 || f.patience > maxRoundWait {
		fault("--wait %q: want seconds, 5 at most", f.wait)
	}
	if f.size < leastEchoSize || f.size > mostEchoSize {
		fault("--size %d: want %d to %d bytes", f.size, leastEchoSize, mostEchoSize)
	}
	return errors.Join(errs...)
}

// seconds reads "0.2", as ping does, or "200ms".
func seconds(s string) (time.Duration, error) {
	if v, err := strconv.ParseFloat(s, 64); err == nil {
		if !(v >= 0 && v <= 1e6) {
			return 0, fmt.Errorf("%q is no time", s)
		}
		return time.Duration(v * float64(time.Second)), nil
	}
	return time.ParseDuration(s)
}

func (f *probeFlags) run(cmd *cobra.Command, args []string) error {
	peers, err := f.peers(cmd.Context(), args)
	if err != nil {
		return err
	}
	results := make([]*probeResult, len(peers))
	errs := make([]error, len(peers))
	var wg sync.WaitGroup
	slots := make(chan struct{}, probeAtOnce)
	for i := range peers {
		slots <- struct{}{}
		wg.Go(func() {
			results[i], errs[i] = f.probe(cmd.Context(), peers[i])
			<-slots
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := f.print(cmd, results); err != nil {
		return err
	}
	return lossOf(results)
}

func (f *probeFlags) print(cmd *cobra.Command, results []*probeResult) error {
	switch {
	case f.json:
		return printJSON(cmd.OutOrStdout(), results)
	case f.all:
		return printProbes(cmd.OutOrStdout(), results)
	}
	return printProbe(cmd.OutOrStdout(), results[0])
}

// lossOf is the exit status that says that something is lost, nil when nothing is.
func lossOf(results []*probeResult) error {
	for _, r := range results {
		if !r.OK {
			return statusError(exitLoss)
		}
	}
	return nil
}

func (f *probeFlags) peers(ctx context.Context, args []string) (out []peerView, err error) {
	if f.all {
		if err := admin.Get(ctx, f.socket, peersPath, &out); err != nil || f.network == "" {
			return out, err
		}
		out = slices.DeleteFunc(out, func(v peerView) bool { return v.Network != f.network })
		if len(out) == 0 {
			err = fmt.Errorf("the agent has no peer in a network %q; `uvtep status` tells of its networks", f.network)
		}
		return out, err
	}
	var v peerView
	err = admin.Ask(ctx, f.socket, findPeerPath, findRequest{args[0], f.network}, &v)
	return []peerView{v}, err
}

// probe probes one peer. What it has when ctx ends is the result too.
func (f *probeFlags) probe(ctx context.Context, peer peerView) (*probeResult, error) {
	r := &probeResult{Peer: peer, Size: f.size}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var failed error
	tick := time.NewTicker(f.every)
	defer tick.Stop()
	for i := 0; i < f.count && ctx.Err() == nil; i++ {
		if i > 0 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				continue
			}
		}
		wg.Go(func() {
			var v roundView
			err := admin.Ask(ctx, f.socket, roundPath, roundRequest{peer, f.size, f.patience.Seconds()}, &v)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				r.add(&v)
			} else if ctx.Err() == nil {
				failed = err
			}
		})
	}
	wg.Wait()
	if failed != nil {
		return r, failed
	}
	if r.through() && ctx.Err() == nil {
		r.MTU = new(mtuView)
		if err := admin.Ask(ctx, f.socket, roundMTUPath, mtuRequest{peer}, r.MTU); err != nil {
			return r, err
		}
	}
	r.diagnose()
	return r, nil
}
