package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/bench/lab"
)

func TestDataPathGoesFirstWhileItHasFewFrames(t *testing.T) {
	l, ctx := newNetwork(t, lab.Config{Hosts: 2})
	h := l.Hosts[0]
	trickling(ctx, t, l, func() {
		crowded(func() { eventually(ctx, t, "the data path goes first", first(ctx, t, h, true)) })
		transferring(ctx, t, l, func() {
			eventually(ctx, t, "it is back when there are many frames", first(ctx, t, h, false))
		})
	})
}

// trickling calls during while a datagram leaves the first host's container for the
// second's every millisecond.
func trickling(ctx context.Context, t *testing.T, l *lab.Lab, during func()) {
	t.Helper()
	from, to := l.Hosts[0].Containers[0], l.Hosts[1].Containers[0]
	c, err := from.Dial(ctx, "udp4", netip.AddrPortFrom(to.Addr, 9).String())
	must(t, err)
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = c.Write([]byte("one")) // nobody listens, which the kernel tells sometimes
			case <-end:
				return
			}
		}
	})
	defer func() { close(end); wg.Wait(); _ = c.Close() }()
	during()
}

// crowded calls during while others want every processor.
func crowded(during func()) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(labThreads))
	var end atomic.Bool
	var wg sync.WaitGroup
	for range 2 * runtime.NumCPU() {
		wg.Go(func() {
			for !end.Load() {
				runtime.Gosched()
			}
		})
	}
	defer wg.Wait()
	defer end.Store(true)
	during()
}

// first tells whether the data path goes first, or does not, by the agent's words and
// by where the kernel has its threads.
func first(ctx context.Context, t *testing.T, h *lab.Host, want bool) func() (bool, string) {
	ours, others := place{unix.SCHED_BATCH, -5, 0}, place{unix.SCHED_NORMAL, 0, 0}
	if want {
		ours, others = place{unix.SCHED_FIFO, 0, 2}, place{unix.SCHED_RR, 0, 1}
	}
	return func() (bool, string) {
		said, are := realTime(ctx, t, h), places(t, h)
		all := len(are) == 2 && are[ours] > 0 && are[others] > 0
		return said == want && all, fmt.Sprintf("the agent says %v, and its threads are %+v, want %+v and %+v", said, are, ours, others)
	}
}

// realTime asks the agent whether its data path goes first.
func realTime(ctx context.Context, t *testing.T, h *lab.Host) bool {
	t.Helper()
	var vs []struct {
		Features map[string]struct{ Active bool }
	}
	must(t, json.Unmarshal([]byte(uvtep(ctx, t, h, "link", "show", "-j")), &vs))
	return vs[0].Features["real_time"].Active
}

// place is one in the kernel's schedule (sched(7)).
type place struct {
	policy, nice, priority int
}

// places counts an agent's threads by their place.
func places(t *testing.T, h *lab.Host) map[place]int {
	t.Helper()
	count := map[place]int{}
	for _, p := range threads(t, h) {
		count[p]++
	}
	return count
}

// threads is where each of an agent's threads is.
func threads(t testing.TB, h *lab.Host) map[int]place {
	t.Helper()
	is := map[int]place{}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", h.Agent.PID))
	must(t, err)
	for _, e := range tasks {
		tid, err := strconv.Atoi(e.Name())
		must(t, err)
		at, err := unix.SchedGetAttr(tid, 0)
		if !errors.Is(err, unix.ESRCH) { // it has ended
			must(t, err)
			is[tid] = place{int(at.Policy), int(at.Nice), int(at.Priority)}
		}
	}
	return is
}

// ofTheDataPath are an agent's threads that carry frames.
func ofTheDataPath(t testing.TB, h *lab.Host) (tids []int) {
	t.Helper()
	for tid, p := range threads(t, h) {
		if p.policy == unix.SCHED_FIFO || p.policy == unix.SCHED_BATCH {
			tids = append(tids, tid)
		}
	}
	return tids
}
