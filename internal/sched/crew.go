package sched

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// lookEvery is how often Watch looks: how long a crew may be first that moves many
// frames.
const lookEvery = 250 * time.Millisecond

// foremost is the place of a crew that goes first, before all that is not in real
// time itself, and second that of the process's other threads then: Go's collector
// has the crew wait for them when it stops the world.
var (
	foremost = attr{policy: unix.SCHED_FIFO, priority: 2}
	second   = attr{policy: unix.SCHED_RR, priority: 1}
)

// Crew is the threads of a data path. Its methods may be called by several
// goroutines.
type Crew struct {
	nice int  // of its threads in their ordinary place
	base attr // that of the process's other threads

	mu      sync.Mutex
	members []*member // guarded by mu, as all below
	astray  bool      // another thread may have begun in the place of a moment ago
	rule    rule      // which says whether they go first
	looked  time.Time
	process time.Duration // processor time that the process had then
}

// member is a thread of a crew.
type member struct {
	tid  int
	stat *os.File // what the kernel counts of it; an error tells that it has ended
	was  usage
}

// usage is what a thread had since it began (/proc/PID/task/TID/schedstat; the
// kernel's Documentation/scheduler/sched-stats.rst).
type usage struct {
	ran   time.Duration
	woken int
}

// New returns a crew without threads, which are to have the given niceness, Rudest
// to Nicest; 0 leaves them to the kernel, and above 0 they never go first.
func New(nice int) *Crew {
	base, err := attrOf(os.Getpid())
	if err != nil {
		base = attr{policy: unix.SCHED_NORMAL} // what there is where it cannot be asked for
	}
	return &Crew{nice: nice, base: base, looked: time.Now(), process: processTime()}
}

// Join gives the calling goroutine a thread of its own, for good, which ends with
// the goroutine, and its place in the crew. With an error the thread stays where it
// was, which costs speed under load, nothing else. In a process that was started in
// real time (`chrt -r 1 uvtep run`) it comes one priority before the others, for good.
func (c *Crew) Join() error {
	runtime.LockOSThread()
	if c.base.realTime() && c.nice != 0 {
		return c.lead()
	}
	if is, err := attrOf(0); err == nil && is == second {
		_ = c.base.give(0) // what the thread that made this one has for a while
	}
	if ours, err := c.ordinary(); err != nil || !ours {
		return err
	}
	return c.enroll()
}

// lead puts the calling thread before the others of a process in real time.
func (c *Crew) lead() error {
	is, err := attrOf(0)
	if err != nil || is.priority > c.base.priority {
		return err // it was here before, or somebody has raised it since
	}
	return c.base.next().give(0)
}

// enroll makes the calling thread one of the crew's. Where the kernel does not count
// what it does it stays where it is.
func (c *Crew) enroll() error {
	m := &member{tid: unix.Gettid()}
	stat, err := os.Open(fmt.Sprintf("/proc/self/task/%d/schedstat", m.tid))
	if err != nil {
		return nil //nolint:nilerr // see above
	}
	m.stat = stat
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.was, err = m.usage(); err != nil {
		_ = stat.Close()
		return nil
	}
	c.members = append(c.members, m)
	if c.rule.first {
		return c.place(m)
	}
	return nil
}

// Watch moves the crew between its places until ctx ends, which is no error, and
// tells where it goes. It ends with an error where the kernel does not let the crew
// go first.
func (c *Crew) Watch(ctx context.Context, tell func(first bool)) error {
	if c.nice >= 0 {
		return nil
	}
	defer c.leave()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			moved, err := c.look(now)
			if err != nil {
				return err
			}
			if moved {
				tell(c.First())
			}
		}
	}
}

// First reports whether the crew goes first now.
func (c *Crew) First() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rule.first
}

// look sees what the threads did, and moves them if that asks for another place.
func (c *Crew) look(now time.Time) (moved bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	process := processTime()
	l := look{took: now.Sub(c.looked), others: process - c.process}
	c.looked, c.process = now, process
	c.members = slices.DeleteFunc(c.members, func(m *member) bool { return !m.look(&l) })
	return c.follow(c.rule.next(l))
}

// look adds what the thread did to l. False: it has ended.
func (m *member) look(l *look) bool {
	is, err := m.usage()
	if err != nil {
		_ = m.stat.Close()
		return false
	}
	l.busiest = max(l.busiest, is.ran-m.was.ran)
	l.others -= is.ran - m.was.ran
	l.woken = max(l.woken, is.woken-m.was.woken)
	m.was = is
	return true
}

// usage reads what the thread had.
func (m *member) usage() (u usage, err error) {
	var b [64]byte // three numbers, of which the second is how long it waited
	n, err := m.stat.ReadAt(b[:], 0)
	if n == 0 {
		return u, err
	}
	var waited time.Duration
	_, err = fmt.Sscan(string(b[:n]), &u.ran, &waited, &u.woken)
	return u, err
}

// processTime is the processor time that all threads of the process had.
func processTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// follow has all go where a rule says. When that is refused they are back among the
// others.
func (c *Crew) follow(to rule) (moved bool, err error) {
	was := c.rule
	c.rule = to
	if to.first != was.first {
		for _, m := range c.members {
			if err := c.place(m); err != nil {
				c.back()
				return false, err
			}
		}
	}
	if was.second || to.second || c.astray {
		c.rest()
	}
	c.astray = was.second
	return to.first != was.first, nil
}

// back has all go back among the others, which nobody refuses.
func (c *Crew) back() {
	c.rule = rule{}
	for _, m := range c.members {
		_ = c.place(m)
	}
	c.rest()
}

// leave is the end of the watch.
func (c *Crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rule.first {
		c.back()
	}
}

// place puts a thread where the crew is. One that has ended is no error.
func (c *Crew) place(m *member) error {
	at := attr{policy: unix.SCHED_BATCH, nice: c.nice}
	if c.rule.first {
		at = foremost
	}
	if err := at.give(m.tid); !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// rest gives the process's other threads the place that goes with the crew's. A
// thread that somebody has given another one keeps it; new ones begin with that of
// the thread that made them.
func (c *Crew) rest() {
	from, to := second, c.base
	if c.rule.second {
		from, to = to, from
	}
	list, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return // their place is a help, no more
	}
	for _, e := range list {
		tid, _ := strconv.Atoi(e.Name())
		if is, err := attrOf(tid); err == nil && is == from {
			_ = to.give(tid)
		}
	}
}
