//go:build linux

package lab

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// tick is what /proc/stat counts in: USER_HZ is 100 on every architecture that Go
// runs on.
const tick = 10 * time.Millisecond

// Busy is the processor time that this machine has spent since its start, all
// processors and all programs together, the kernel's own work included. Take the
// difference of two calls. What a hypervisor gave to others is not counted.
func Busy() (time.Duration, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return busy(b)
}

// busy reads the first line of /proc/stat (proc_stat(5)).
func busy(stat []byte) (time.Duration, error) {
	var user, nice, system, idle, iowait, irq, softirq int64
	line, _, _ := bytes.Cut(stat, []byte("\n"))
	_, err := fmt.Sscanf(string(line), "cpu %d %d %d %d %d %d %d", &user, &nice, &system, &idle, &iowait, &irq, &softirq)
	if err != nil {
		return 0, fmt.Errorf("read /proc/stat: %q: %w", line, err)
	}
	return time.Duration(user+nice+system+irq+softirq) * tick, nil
}

// Memory is what a process has in RAM, in bytes: its own pages and those of its
// program that it has touched.
type Memory struct {
	Now  int64 // VmRSS
	Peak int64 // VmHWM: the most that it ever was
}

// Memory asks the kernel; the process must still run.
func (p *Process) Memory() (Memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
	if err != nil {
		return Memory{}, err
	}
	var m Memory
	for line := range bytes.Lines(b) {
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch string(name) {
		case "VmRSS":
			_, err = fmt.Sscanf(string(value), "%d kB", &m.Now)
		case "VmHWM":
			_, err = fmt.Sscanf(string(value), "%d kB", &m.Peak)
		}
		if err != nil {
			return m, fmt.Errorf("memory of %s: %q: %w", p.what, line, err)
		}
	}
	return Memory{Now: m.Now << 10, Peak: m.Peak << 10}, nil
}

// CPU is the processor time that the process has taken since its start, the
// kernel's work for it included; it must still run. Take the difference of two
// calls.
func (p *Process) CPU() (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
	if err != nil {
		return 0, err
	}
	// The program's name comes second, in brackets, and may hold anything: after
	// the last bracket are the state, ten numbers, utime and stime (proc_pid_stat(5)).
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("processor time of %s: %q is too short", p.what, b)
	}
	var user, system int64
	if _, err := fmt.Sscan(string(fields[11])+" "+string(fields[12]), &user, &system); err != nil {
		return 0, fmt.Errorf("processor time of %s: %q: %w", p.what, b, err)
	}
	return time.Duration(user+system) * tick, nil
}
