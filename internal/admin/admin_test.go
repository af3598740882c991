package admin

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs a server with one view and returns its socket and its end.
func serve(t *testing.T, view func() any) (socket string, end func()) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "run", "a.sock")
	s, err := Listen(Config{Path: socket, Version: "1.2"}, Requests{Views: Views{"/v1/thing": view}})
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
	if err := Get(t.Context(), socket, "/v1/other", nil); err == nil || !strings.Contains(err.Error(), "(uvtep 1.2) does not know GET /v1/other: it is older or newer") {
		t.Errorf("an unknown view: got %v, want one that says which agent does not know it", err)
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

func TestAQueryTakesParametersAndMayBeWrong(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "a.sock")
	s, err := Listen(Config{Path: socket}, Requests{Queries: Queries{"/v1/echo": func(_ context.Context, v url.Values) (any, error) {
		if v.Get("say") == "" {
			return nil, BadRequest{errors.New("say what")}
		}
		return v.Get("say"), nil
	}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	var got string
	if err := Get(ctx, socket, "/v1/echo?say=hello", &got); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := Get(ctx, socket, "/v1/echo", &got); err == nil || err.Error() != "say what" {
		t.Errorf("got %v, want what the agent said", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTheSocketIsForItsOwnerAndAGroup(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	mine, err := user.LookupGroupId(me.Gid)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range []string{mine.Name, "no such group"} {
		socket := filepath.Join(t.TempDir(), "run", "a.sock")
		s, err := Listen(Config{Path: socket, Group: group}, Requests{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(Access{Owner: me.Username, Group: mine.Name}, s.Access); diff != "" {
			t.Errorf("group %q (-want +got):\n%s", group, diff)
		}
		for path, want := range map[string]fs.FileMode{socket: 0o660, filepath.Dir(socket): 0o750} {
			if i, err := os.Stat(path); err != nil || i.Mode().Perm() != want {
				t.Errorf("%s: got %v, %v; want %v", path, i.Mode().Perm(), err, want)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Only root can give a socket to a group that it is not in.
func TestTheGroupIsToldWhatIsInItsWay(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("UVTEP_LAB") == "require" {
			t.Fatal("needs root: UVTEP_LAB=require says that there is")
		}
		t.Skip("needs root")
	}
	g, err := user.LookupGroup("daemon")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // there before: not the agent's to give away
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s, err := Listen(Config{Path: filepath.Join(dir, "a.sock"), Group: g.Name}, Requests{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if s.Access.Group != g.Name || !strings.Contains(s.Access.Fault, "`chgrp "+g.Name+" "+dir) {
		t.Errorf("got %+v, want one that says how to let the group in", s.Access)
	}
	if got, want := advice(filepath.Join(dir, "a.sock")), "join the group (`usermod -aG "+g.Name+" $USER`"; !strings.Contains(got, want) {
		t.Errorf("advice: got %q, want %q in it", got, want)
	}
	if got := advice(filepath.Join(t.TempDir(), "a.sock")); !strings.Contains(got, "groupadd --system uvtep") {
		t.Errorf("advice for root's: got %q", got)
	}
}

func TestSocketThatIsServedIsLeftAlone(t *testing.T) {
	socket, end := serve(t, func() any { return 1 })
	defer end()
	if _, err := Listen(Config{Path: socket}, Requests{}); err == nil || !strings.Contains(err.Error(), "another agent") {
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
	s, err := Listen(Config{Path: socket}, Requests{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
