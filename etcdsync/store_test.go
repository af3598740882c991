package etcdsync

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A member that takes a connection and never answers a login holds up the one who
// logs in, and nobody else.
func TestALoginThatLastsHoldsUpNobodyElse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Dial(Options{Endpoints: []string{"http://" + l.Addr().String()}, Username: "u", PasswordFile: password, DialTimeout: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	login, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := s.dial(login)
		first <- err
	}()
	if _, err := l.Accept(); err != nil { // it is under way
		t.Fatal(err)
	}
	over, release := context.WithTimeout(t.Context(), 10*time.Second)
	defer release()
	soon := func(what string, do func() error, want error) {
		t.Helper()
		done := make(chan error, 1)
		go func() { done <- do() }()
		select {
		case err := <-done:
			if !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", what, err, want)
			}
		case <-over.Done():
			t.Errorf("%s waits for the login of another", what)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	soon("a caller whose ctx ended", func() error { _, err := s.dial(ended); return err }, context.Canceled)
	soon("Redial", func() error { s.Redial(); return nil }, nil)
	soon("Close", s.Close, nil)
	soon("a caller after Close", func() error { _, err := s.dial(ended); return err }, errClosed)
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the login: got %v, want %v", err, context.Canceled)
	}
}

// A token that runs out under a request is replaced, once: one that etcd will not
// have twice in a row is a fault to tell of.
func TestATokenThatRanOutIsReplacedOnce(t *testing.T) {
	s, err := Dial(Options{Endpoints: []string{"http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	other := errors.New("another fault")
	tests := []struct {
		name    string
		answers []error // in order
		want    error
	}{
		{"once", []error{rpctypes.ErrInvalidAuthToken, nil}, nil},
		{"twice", []error{rpctypes.ErrInvalidAuthToken, rpctypes.ErrInvalidAuthToken}, rpctypes.ErrInvalidAuthToken},
		{"another fault", []error{other}, other},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			made := 0
			err := s.do(t.Context(), func(context.Context, *clientv3.Client) error {
				made++
				if made > len(tt.answers) {
					t.Fatalf("%d requests were made, want %d", made, len(tt.answers))
				}
				return tt.answers[made-1]
			})
			if made != len(tt.answers) || !errors.Is(err, tt.want) {
				t.Errorf("%d requests and %v, want %d and %v", made, err, len(tt.answers), tt.want)
			}
		})
	}
}
