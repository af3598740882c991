package main

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// manager is a service manager that hears what it is told.
func manager(t *testing.T) *net.UnixConn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return c
}

func heardBy(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 4096)
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(b[:n])
}

func TestAServiceManagerIsToldFromStartToStop(t *testing.T) {
	c := manager(t)
	a := &agent{runFlags: &runFlags{log: zerolog.Nop()}, web: newWeb(&vitals{planes: noPlanes, beats: hearts{}})} // no networks: it is ready
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- a.notify(ctx) }()
	if got := heardBy(t, c); got != "STATUS=starting" {
		t.Errorf("first: got %q", got)
	}
	if got := heardBy(t, c); !strings.Contains(got, "READY=1\n") {
		t.Errorf("then: got %q, want that it is ready", got)
	}
	cancel()
	if got := heardBy(t, c); got != "STOPPING=1" {
		t.Errorf("last: got %q", got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWithoutAServiceManagerNobodyIsTold(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	a := &agent{runFlags: &runFlags{log: zerolog.Nop()}, web: newWeb(&vitals{planes: noPlanes, beats: hearts{}})}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.notify(ctx); err != nil {
		t.Error(err)
	}
}

func TestTheWatchdogIsFedWhileTheAgentIsWell(t *testing.T) {
	var sick, lost, unready error = nil, nil, errors.New("no tables yet")
	line := "waiting"
	n := notifier{sick: func() error { return sick }, lost: func() error { return lost }, unready: func() error { return unready }, line: func() string { return line }, watchdog: 10 * time.Second, every: time.Second}
	begin := time.Unix(1000, 0)
	at := func(seconds int, want string) {
		t.Helper()
		if got := n.words(begin.Add(time.Duration(seconds) * time.Second)); got != want {
			t.Errorf("after %d s: got %q, want %q", seconds, got, want)
		}
	}
	at(0, "STATUS=waiting\nWATCHDOG=1\n")
	at(1, "")
	unready, line = nil, "3 peers"
	at(2, "READY=1\nSTATUS=3 peers\n")
	at(5, "WATCHDOG=1\n")
	sick = errors.New("one of two does not run")
	at(10, "STATUS=one of two does not run\nWATCHDOG=1\n")
	sick = errors.New("a goroutine hangs")
	lost = sick
	at(15, "STATUS=a goroutine hangs\n")
	at(20, "")
	sick, lost = nil, nil
	at(21, "STATUS=3 peers\nWATCHDOG=1\n")
	unready, line = errors.New("the TAP is not open"), "waiting"
	at(22, "STATUS=waiting\n")
	unready, line = nil, "3 peers"
	at(23, "STATUS=3 peers\n") // ready is told once
}
