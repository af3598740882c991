package etcdsync

import (
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

func TestNamesOfNetworksAreOnePartOfAKey(t *testing.T) {
	for _, name := range []string{"blue", "a", "Team-7_x.y", strings.Repeat("n", maxName), "hosts"} {
		if err := ValidName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", ".x", "a/b", "/", "a b", "é", "a,b", strings.Repeat("n", maxName+1), "config", "subnets", "uvtep"} {
		if ValidName(name) == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

// What is closed is the connection, once, whoever uses it.
func TestNamedNetworksShareOneConnection(t *testing.T) {
	s, err := Dial(Options{Endpoints: []string{"http://127.0.0.1:1"}, Prefix: "/p/"})
	if err != nil {
		t.Fatal(err)
	}
	a, none := s.Named("a", zerolog.Nop()), s.Named("", zerolog.Nop())
	if a.KeyPrefix() != "/p/a" || none.KeyPrefix() != "/p" || a.connection != s.connection {
		t.Errorf("got %q and %q, want /p/a and /p over one connection", a.KeyPrefix(), none.KeyPrefix())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Network(t.Context()); err == nil || !strings.Contains(err.Error(), errClosed.Error()) {
		t.Errorf("got %v, want %v", err, errClosed)
	}
}
