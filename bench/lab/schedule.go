//go:build linux

package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// traceSpace is room for what two busy processors do in a quarter of a minute, KiB.
const traceSpace = 256 << 10

// ScheduleTrace has the kernel write down what its processors do
// (Documentation/trace/events.rst), until End.
type ScheduleTrace struct {
	root string // where tracefs is mounted, for this trace alone
	dir  string // an instance there
	tids []int
}

// TraceSchedule begins a trace that tells about some threads. It needs root and a kernel
// with tracefs.
func TraceSchedule(tids []int) (*ScheduleTrace, error) {
	t := &ScheduleTrace{tids: tids}
	if err := t.begin(); err != nil {
		return nil, fmt.Errorf("trace the scheduler: %w", errors.Join(err, t.leave()))
	}
	return t, nil
}

func (t *ScheduleTrace) begin() (err error) {
	if t.root, err = os.MkdirTemp("", "uvtep-trace-"); err != nil {
		return err
	}
	if err := unix.Mount("tracefs", t.root, "tracefs", 0, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	if t.dir, err = os.MkdirTemp(filepath.Join(t.root, "instances"), "uvtep-"); err != nil {
		return err
	}
	var ours []string
	for _, tid := range t.tids {
		ours = append(ours, fmt.Sprintf("pid==%d", tid))
	}
	for _, set := range []struct{ file, value string }{
		{"trace_clock", "tai"},
		{"buffer_size_kb", strconv.Itoa(traceSpace / runtime.NumCPU())},
		{"events/sched/sched_waking/filter", strings.Join(ours, "||")},
		{"events/sched/sched_migrate_task/filter", strings.Join(ours, "||")},
		{"events/sched/sched_waking/enable", "1"},
		{"events/sched/sched_migrate_task/enable", "1"},
		{"events/sched/sched_stat_runtime/enable", "1"},
		{"events/sched/sched_switch/enable", "1"},
		{"events/irq/softirq_entry/enable", "1"},
		{"events/irq/softirq_exit/enable", "1"},
	} {
		if err := t.set(set.file, set.value); err != nil {
			return err
		}
	}
	return nil
}

// leave takes away what begin made, as far as it came.
func (t *ScheduleTrace) leave() (err error) {
	if t.dir != "" {
		err = os.Remove(t.dir)
	}
	if t.root == "" {
		return err
	}
	if uerr := unix.Unmount(t.root, 0); uerr != nil && !errors.Is(uerr, unix.EINVAL) { // it is not mounted
		return errors.Join(err, os.NewSyscallError("umount", uerr))
	}
	return errors.Join(err, os.Remove(t.root))
}

func (t *ScheduleTrace) set(file, value string) error {
	return os.WriteFile(filepath.Join(t.dir, file), []byte(value), 0)
}

// End ends the trace and reads it.
func (t *ScheduleTrace) End() (*Schedule, error) {
	s, err := t.read()
	return s, errors.Join(err, t.leave())
}

func (t *ScheduleTrace) read() (*Schedule, error) {
	if err := t.set("tracing_on", "0"); err != nil {
		return nil, err
	}
	stats, err := filepath.Glob(filepath.Join(t.dir, "per_cpu", "cpu*", "stats"))
	if err != nil {
		return nil, err
	}
	for _, file := range stats {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if !strings.Contains(string(text), "\noverrun: 0\n") {
			return nil, errors.New("the trace of the scheduler has no room for all")
		}
	}
	f, err := os.Open(filepath.Join(t.dir, "trace"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	ahead, err := aheadOfUTC()
	if err != nil {
		return nil, err
	}
	return readSchedule(f, t.tids, ahead)
}

// aheadOfUTC is by how much TAI is, the trace's clock: whole seconds, or none where
// nobody has told the kernel.
func aheadOfUTC() (time.Duration, error) {
	var tai, utc unix.Timespec
	err := errors.Join(unix.ClockGettime(unix.CLOCK_TAI, &tai), unix.ClockGettime(unix.CLOCK_REALTIME, &utc))
	return time.Duration(tai.Nano() - utc.Nano()).Round(time.Second), err
}

// Schedule is what a thread waited for, the one of those traced that was running most
// often.
type Schedule struct {
	TID      int
	stays    []stay
	withheld []withheld
}

// withheld is that a processor did nothing for a part of a time, in which it was to run
// the thread or had the thread wait.
type withheld struct {
	from, to time.Time // one after another
	part     time.Duration
}

// Withheld is for how much of a time the machine kept the thread from running: its
// processor, awake otherwise, was with the hypervisor's host (steal time, which the
// kernel does not count as what a thread runs), or it was idle although the thread had
// been woken, and did not come back from there. The time that coming back always
// takes, some 20 µs, is among it; what it did in softirqs is not.
func (s *Schedule) Withheld(from, to time.Time) (d time.Duration) {
	i := sort.Search(len(s.withheld), func(i int) bool { return s.withheld[i].to.After(from) })
	for ; i < len(s.withheld) && s.withheld[i].from.Before(to); i++ {
		w := s.withheld[i]
		first, last := common(w.from, w.to, from, to)
		d += share(w.part, last.Sub(first), w.to.Sub(w.from))
	}
	return d
}

func share(part, of, whole time.Duration) time.Duration {
	if whole <= 0 {
		return 0
	}
	return time.Duration(float64(part) * float64(of) / float64(whole))
}

// common is what two times that overlap have in common.
func common(from, to, from2, to2 time.Time) (first, last time.Time) {
	if from2.After(from) {
		from = from2
	}
	if to2.Before(to) {
		to = to2
	}
	return from, to
}

// turn is what a processor did for a while.
type turn struct {
	from, to time.Time
	idle     bool
	stolen   time.Duration
}

// stay is a while in which a thread had a processor or waited for one.
type stay struct {
	from, to time.Time
	cpu      int
}

// schedules is the state of reading a trace.
type schedules struct {
	cpus    map[int]*cpu
	at      map[int]int // the processor that runs a thread
	threads map[int]*thread
}

type cpu struct {
	turns []turn
	since time.Time
	runs  int  // the thread, 0 for none, -1 where it is not known
	soft  bool // it does what the network and others have left to it (softirqs)
}

type thread struct {
	stays []stay
	since time.Time
	state state
	cpu   int
}

type state int

const (
	sleeps state = iota
	waits
	runs
)

var traceLine = regexp.MustCompile(`\[(\d+)\] +\S+ +(\d+)\.(\d{6}): (s(?:ched|oftirq)_\w+): (.*)`)

// readSchedule reads a trace in tracefs's words.
func readSchedule(r io.Reader, tids []int, ahead time.Duration) (*Schedule, error) {
	s := schedules{map[int]*cpu{}, map[int]int{}, map[int]*thread{}}
	for _, tid := range tids {
		s.threads[tid] = &thread{}
	}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		m := traceLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue // a comment
		}
		sec, _ := strconv.ParseInt(m[2], 10, 64) // as the pattern has them
		usec, _ := strconv.ParseInt(m[3], 10, 64)
		c, _ := strconv.Atoi(m[1])
		s.take(time.UnixMicro(sec*1e6+usec).Add(-ahead), c, m[4], m[5])
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	best := &Schedule{}
	for tid, t := range s.threads {
		if most := s.threads[best.TID]; most == nil || len(t.stays) > len(most.stays) {
			best.TID = tid
		}
	}
	if t := s.threads[best.TID]; t == nil || len(t.stays) == 0 {
		return nil, errors.New("the trace of the scheduler has no thread that runs")
	}
	best.stays = s.threads[best.TID].stays
	best.withheld = s.withheld(best.stays)
	return best, nil
}

// take takes an event.
func (s *schedules) take(at time.Time, c int, event, args string) {
	if s.cpus[c] == nil {
		s.cpus[c] = &cpu{since: at, runs: -1}
	}
	switch pid := number(args, " pid="); event {
	case "sched_switch":
		after := sleeps
		if strings.Contains(args, "prev_state=R") {
			after = waits
		}
		s.moves(at, number(args, "prev_pid="), after, c)
		s.turn(at, s.cpus[c], 0)
		next := number(args, "next_pid=")
		s.cpus[c].runs, s.at[next] = next, c
		s.moves(at, next, runs, c)
	case "sched_stat_runtime":
		if on := s.cpus[s.at[pid]]; on != nil && on.runs == pid && pid != 0 {
			s.turn(at, on, max(at.Sub(on.since)-time.Duration(number(args, "runtime=")), 0))
		}
	case "softirq_entry", "softirq_exit":
		if s.cpus[c].runs == 0 { // what others run counts it
			s.turn(at, s.cpus[c], 0)
		}
		s.cpus[c].soft = event == "softirq_entry"
	case "sched_waking":
		if t := s.threads[pid]; t != nil && t.state == sleeps {
			s.moves(at, pid, waits, number(args, "target_cpu="))
		}
	case "sched_migrate_task":
		if t := s.threads[pid]; t != nil && t.state == waits {
			s.moves(at, pid, waits, number(args, "dest_cpu="))
		}
	}
}

// turn ends a processor's turn.
func (s *schedules) turn(at time.Time, c *cpu, stolen time.Duration) {
	c.turns = append(c.turns, turn{c.since, at, c.runs == 0 && !c.soft, stolen})
	c.since = at
}

// moves has a thread in another state, or on another processor.
func (s *schedules) moves(at time.Time, tid int, to state, c int) {
	t := s.threads[tid]
	if t == nil {
		return
	}
	if t.state != sleeps {
		t.stays = append(t.stays, stay{t.since, at, t.cpu})
	}
	t.since, t.state, t.cpu = at, to, c
}

// withheld finds when the processors where a thread was to run did not.
func (s *schedules) withheld(stays []stay) (ws []withheld) {
	next := map[int]int{} // turn of each processor
	for _, st := range stays {
		c := s.cpus[st.cpu]
		if c == nil {
			continue
		}
		i := next[st.cpu]
		for i < len(c.turns) && !c.turns[i].to.After(st.from) {
			i++
		}
		next[st.cpu] = i
		for ; i < len(c.turns) && c.turns[i].from.Before(st.to); i++ {
			if w := c.turns[i].within(st); w.part > 0 {
				ws = append(ws, w)
			}
		}
	}
	return ws
}

// within is what a processor's turn kept from a thread's stay.
func (t turn) within(st stay) withheld {
	var w withheld
	w.from, w.to = common(t.from, t.to, st.from, st.to)
	if t.idle {
		w.part = w.to.Sub(w.from)
	} else {
		w.part = share(t.stolen, w.to.Sub(w.from), t.to.Sub(t.from))
	}
	return w
}

// number is the one behind a key, 0 without.
func number(args, key string) int {
	_, after, _ := strings.Cut(" "+args, key)
	digits, _, _ := strings.Cut(after, " ")
	n, _ := strconv.Atoi(digits)
	return n
}
