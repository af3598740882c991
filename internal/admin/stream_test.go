package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
)

// serveAll runs a server with requests until the test ends, and returns its
// socket.
func serveAll(t *testing.T, q Requests) (socket string, end func()) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "a.sock")
	s, err := Listen(Config{Path: socket, Version: "1.2"}, q)
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

func TestAQuestionHasABody(t *testing.T) {
	socket, end := serveAll(t, Requests{Questions: Questions{"/v1/length": Decoded(func(_ context.Context, words []string) (any, error) {
		if len(words) == 0 {
			return nil, BadRequest{errors.New("say something")}
		}
		return len(words), nil
	})}})
	defer end()
	long := strings.Split(strings.Repeat("word ", 10000), " ")
	n := 0
	if err := Ask(t.Context(), socket, "/v1/length", long, &n); err != nil || n != len(long) {
		t.Errorf("got %d, %v, want %d", n, err, len(long))
	}
	if err := Ask(t.Context(), socket, "/v1/length", []string{}, &n); err == nil || err.Error() != "say something" {
		t.Errorf("got %v, want what the agent said", err)
	}
}

func TestAStreamLastsUntilOneOfBothEndsIt(t *testing.T) {
	more, ended := make(chan string), make(chan error, 1)
	socket, end := serveAll(t, Requests{Streams: Streams{"/v1/words": func(v url.Values) (Open, error) {
		if v.Get("bad") != "" {
			return Open{}, BadRequest{errors.New("no bad words")}
		}
		if v.Get("many") != "" {
			return Open{}, Busy{errors.New("too many listen; end one")}
		}
		return Open{"text/plain", func(ctx context.Context, w StreamWriter) (err error) {
			defer func() { ended <- ctx.Err() }()
			for {
				select {
				case word, ok := <-more:
					if !ok {
						return nil
					}
					if _, err := fmt.Fprintln(w, word); err != nil {
						return err
					}
					if err := w.Flush(); err != nil {
						return err
					}
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}}, nil
	}}})
	if _, err := Stream(t.Context(), socket, "/v1/words?bad=1"); err == nil || err.Error() != "no bad words" {
		t.Errorf("got %v, want what the agent said", err)
	}
	if _, err := Stream(t.Context(), socket, "/v1/words?many=1"); err == nil || !strings.HasSuffix(err.Error(), socket+": too many listen; end one") {
		t.Errorf("got %v, want what the agent said", err)
	}
	begin := func() (io.ReadCloser, *bufio.Reader) {
		s, err := Stream(t.Context(), socket, "/v1/words")
		if err != nil {
			t.Fatal(err)
		}
		return s, bufio.NewReader(s)
	}
	say := func(r *bufio.Reader, word string) {
		t.Helper()
		more <- word
		if got, err := r.ReadString('\n'); got != word+"\n" {
			t.Errorf("got %q, %v, want %q at once", got, err, word)
		}
	}
	s, r := begin()
	say(r, "one")
	say(r, "two")
	_ = s.Close()
	if err := <-ended; err == nil {
		t.Error("the stream's context did not end with the client")
	}

	s, r = begin()
	close(more)
	if rest, err := io.ReadAll(r); err != nil || len(rest) != 0 {
		t.Errorf("a stream that has no more: got %q, %v, want its end", rest, err)
	}
	_ = s.Close()
	<-ended

	more = make(chan string)
	s, r = begin()
	end()
	if _, err := io.ReadAll(r); err == nil {
		t.Error("the end of the agent is not seen")
	}
	_ = s.Close()
	<-ended
}
