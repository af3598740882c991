package admin

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server with one view and returns its socket and its end.
func serve(t *testing.T, view func() any) (socket string, end func()) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "run", "a.sock")
	s, err := Listen(socket, Views{"/v1/thing": view}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	return socket, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestViewIsReadThroughTheSocket(t *testing.T) {
	n := 0
	socket, end := serve(t, func() any { n++; return map[string]int{"n": n} })
	for want := 1; want <= 2; want++ {
		var got map[string]int
		if err := Get(t.Context(), socket, "/v1/thing", &got); err != nil || got["n"] != want {
			t.Errorf("got %v, %v; want n %d: each request is answered anew", got, err, want)
		}
	}
	if err := Get(t.Context(), socket, "/v1/other", nil); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("an unknown view: got %v, want 404", err)
	}
	i, err := os.Stat(socket)
	if err != nil || i.Mode().Perm() != 0o660 {
		t.Errorf("got mode %v, %v; want 0660", i.Mode().Perm(), err)
	}
	end()
	if err := Get(t.Context(), socket, "/v1/thing", nil); err == nil || !strings.Contains(err.Error(), "no agent at") {
		t.Errorf("after the end: got %v, want one that says that there is no agent", err)
	}
}

func TestSocketThatIsServedIsLeftAlone(t *testing.T) {
	socket, end := serve(t, func() any { return 1 })
	defer end()
	if _, err := Listen(socket, nil, nil); err == nil || !strings.Contains(err.Error(), "another agent") {
		t.Errorf("got %v, want one that names the other agent", err)
	}
	var got int
	if err := Get(t.Context(), socket, "/v1/thing", &got); err != nil || got != 1 {
		t.Errorf("the first one: got %d, %v", got, err)
	}
}

func TestDeadSocketIsReplaced(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "a.sock")
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Listen(socket, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
