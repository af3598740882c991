package lab

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Thread 7, woken on processor 1.
const traceHead = `# tracer: nop
          <idle>-0       [001] d..2.   100.000000: sched_switch: prev_comm=x prev_pid=9 prev_prio=120 prev_state=S ==> next_comm=swapper/1 next_pid=0 next_prio=120
             tap-5       [000] d..2.   100.000000: sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=tap next_pid=5 next_prio=120
             tap-5       [000] d..4.   100.010000: sched_waking: comm=a thread pid=7 prio=97 target_cpu=001
`

func TestScheduleTellsWhatTheMachineWithheld(t *testing.T) {
	ms := func(n int) time.Time { return time.Unix(100, 0).Add(time.Duration(n) * time.Millisecond) }
	for _, tt := range []struct {
		name, lines string
		from, to    time.Time
		want        time.Duration
	}{
		{"a processor that sleeps on",
			`          <idle>-0       [001] d..2.   100.016000: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=a thread next_pid=7 next_prio=97
`, ms(0), ms(20), 6 * time.Millisecond},
		{"a part of that",
			`          <idle>-0       [001] d..2.   100.016000: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=a thread next_pid=7 next_prio=97
`, ms(12), ms(14), 2 * time.Millisecond},
		{"a processor that sleeps while the thread does",
			`          <idle>-0       [001] d..2.   100.016000: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=a thread next_pid=7 next_prio=97
`, ms(0), ms(10), 0},
		{"a processor that has work of the network's",
			`          <idle>-0       [001] ..s1.   100.012000: softirq_entry: vec=3 [action=NET_RX]
          <idle>-0       [001] ..s1.   100.015000: softirq_exit: vec=3 [action=NET_RX]
          <idle>-0       [001] d..2.   100.016000: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=a thread next_pid=7 next_prio=97
`, ms(0), ms(20), 3 * time.Millisecond},
		{"somebody else's processor",
			`             tap-5       [000] d..4.   100.010000: sched_migrate_task: comm=a thread pid=7 prio=97 orig_cpu=1 dest_cpu=0
             tap-5       [000] d..2.   100.018000: sched_stat_runtime: comm=tap pid=5 runtime=18000000 [ns]
             tap-5       [000] d..2.   100.018000: sched_switch: prev_comm=tap prev_pid=5 prev_prio=120 prev_state=R+ ==> next_comm=a thread next_pid=7 next_prio=97
`, ms(0), ms(20), 0},
		{"one that fetches the thread from a processor that sleeps on",
			`             tap-5       [000] d..4.   100.012000: sched_migrate_task: comm=a thread pid=7 prio=97 orig_cpu=1 dest_cpu=0
             tap-5       [000] d..2.   100.018000: sched_stat_runtime: comm=tap pid=5 runtime=18000000 [ns]
             tap-5       [000] d..2.   100.018000: sched_switch: prev_comm=tap prev_pid=5 prev_prio=120 prev_state=R+ ==> next_comm=a thread next_pid=7 next_prio=97
          <idle>-0       [001] d..2.   100.019000: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=x next_pid=9 next_prio=120
`, ms(0), ms(20), 2 * time.Millisecond},
		{"a stolen processor that somebody else has",
			`             tap-5       [000] d..4.   100.010000: sched_migrate_task: comm=a thread pid=7 prio=97 orig_cpu=1 dest_cpu=0
             tap-5       [000] d..2.   100.010000: sched_stat_runtime: comm=tap pid=5 runtime=10000000 [ns]
             tap-5       [000] ..s1.   100.016000: softirq_entry: vec=3 [action=NET_RX]
             tap-5       [000] ..s1.   100.017000: softirq_exit: vec=3 [action=NET_RX]
             tap-5       [000] d..2.   100.018000: sched_stat_runtime: comm=tap pid=5 runtime=3000000 [ns]
             tap-5       [000] d..2.   100.018000: sched_switch: prev_comm=tap prev_pid=5 prev_prio=120 prev_state=R+ ==> next_comm=a thread next_pid=7 next_prio=97
`, ms(0), ms(20), 5 * time.Millisecond},
		{"its own processor, stolen, told on another one",
			`          <idle>-0       [001] d..2.   100.010000: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=a thread next_pid=7 next_prio=97
             tap-5       [000] d..2.   100.014000: sched_stat_runtime: comm=a thread pid=7 runtime=1000000 [ns]
        a thread-7       [001] d..2.   100.018000: sched_stat_runtime: comm=a thread pid=7 runtime=4000000 [ns]
        a thread-7       [001] d..2.   100.018000: sched_switch: prev_comm=a thread prev_pid=7 prev_prio=97 prev_state=S ==> next_comm=swapper/1 next_pid=0 next_prio=120
`, ms(0), ms(20), 3 * time.Millisecond},
		{"one that waits again, since another came first",
			`          <idle>-0       [001] d..2.   100.010000: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=a thread next_pid=7 next_prio=97
        a thread-7       [001] d..2.   100.011000: sched_switch: prev_comm=a thread prev_pid=7 prev_prio=97 prev_state=R ==> next_comm=x next_pid=9 next_prio=1
               x-9       [001] d..2.   100.017000: sched_stat_runtime: comm=x pid=9 runtime=2000000 [ns]
               x-9       [001] d..2.   100.017000: sched_switch: prev_comm=x prev_pid=9 prev_prio=1 prev_state=S ==> next_comm=a thread next_pid=7 next_prio=97
`, ms(0), ms(20), 4 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, err := readSchedule(strings.NewReader(traceHead+tt.lines), []int{6, 7}, 0)
			if err != nil {
				t.Fatal(err)
			}
			if s.TID != 7 {
				t.Errorf("got thread %d, want the one that ran, 7", s.TID)
			}
			if got := s.Withheld(tt.from, tt.to); (got - tt.want).Abs() > time.Microsecond {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestScheduleNeedsAThreadThatRuns(t *testing.T) {
	if _, err := readSchedule(strings.NewReader(traceHead), []int{6}, 0); err == nil {
		t.Error("no error for a thread that did not run")
	}
}

func TestScheduleOfAThreadThatRuns(t *testing.T) {
	needRoot(t)
	tids, end := make(chan int), make(chan struct{})
	go func() {
		runtime.LockOSThread() // and not unlocked
		tids <- unix.Gettid()
		for {
			select {
			case <-end:
				return
			default:
				_ = unix.Nanosleep(&unix.Timespec{Nsec: 1_000_000}, nil)
			}
		}
	}()
	tid := <-tids
	defer close(end)
	trace, err := TraceSchedule([]int{os.Getpid(), tid})
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	for time.Since(from) < 100*time.Millisecond { // in which the other sleeps most of the time
	}
	to := time.Now()
	s, err := trace.End()
	if err != nil {
		t.Fatal(err)
	}
	if s.TID != tid {
		t.Errorf("got thread %d, want %d", s.TID, tid)
	}
	if len(s.stays) < 20 {
		t.Errorf("it had a processor or waited for one %d times, want some 90", len(s.stays))
	}
	for _, st := range s.stays {
		if st.from.Before(from.Add(-time.Second)) || st.to.After(to.Add(time.Second)) {
			t.Fatalf("%v to %v is not within %v to %v", st.from, st.to, from, to)
		}
	}
	if _, err := os.Stat(trace.root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the trace is still there: %v", err)
	}
}
