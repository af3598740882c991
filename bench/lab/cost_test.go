//go:build linux

package lab

import (
	"os"
	"testing"
	"time"
)

func TestBusyCountsWorkAndNoIdleness(t *testing.T) {
	got, err := busy([]byte("cpu  1 20 300 4000 50000 600000 7000000 80000000 0 0\ncpu0 9 9 9 9 9 9 9 9 0 0\n"))
	if want := 7600321 * 10 * time.Millisecond; err != nil || got != want {
		t.Errorf("got %v, error %v, want %v", got, err, want)
	}
	if _, err := busy([]byte("cpu0 1 2\n")); err == nil {
		t.Error("something else was taken for the machine's sum")
	}
	before, err := Busy()
	if err != nil || before <= 0 {
		t.Fatalf("got %v, error %v", before, err)
	}
	for { // ends when the kernel has counted some of this very loop
		now, err := Busy()
		if err != nil {
			t.Fatal(err)
		}
		if now > before {
			return
		}
	}
}

func TestMemoryOfAProcess(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	p, err := l.Hosts[0].Start(os.Args[0], "role-wait")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitOutput(patient(t), "waiting"); err != nil {
		t.Fatal(err)
	}
	got, err := p.Memory()
	if err != nil || got.Now < 1<<20 || got.Now > 1<<30 || got.Peak < got.Now {
		t.Errorf("got %+v, error %v; want a Go program's memory", got, err)
	}
	if err := p.Stop(patient(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Memory(); err == nil {
		t.Error("a process that has ended has memory")
	}
}

func TestProcessorTimeOfAProcess(t *testing.T) {
	l := newLab(t, Config{Hosts: 1})
	p, err := l.Hosts[0].Start(os.Args[0], "role-wait")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.WaitOutput(patient(t), "waiting"); err != nil {
		t.Fatal(err)
	}
	all, err := Busy()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := p.CPU(); err != nil || got < 0 || got > all {
		t.Errorf("got %v, error %v; want less than the whole machine's %v", got, err, all)
	}
	if err := p.Stop(patient(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := p.CPU(); err == nil {
		t.Error("a process that has ended takes processor time")
	}
}
