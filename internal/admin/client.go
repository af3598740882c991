package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"time"
)

// Get asks the agent behind the socket for a view and decodes it into out.
func Get(ctx context.Context, socket, view string, out any) error {
	return request{http.MethodGet, view, nil}.do(ctx, socket, out)
}

// Put asks the agent behind the socket for a change, and decodes its answer
// into out. When it returns without an error the change is in force.
func Put(ctx context.Context, socket, change string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return request{http.MethodPut, change, body}.do(ctx, socket, out)
}

// Ask asks the agent behind the socket a question, and decodes its answer into
// out.
func Ask(ctx context.Context, socket, question string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return request{http.MethodPost, question, body}.do(ctx, socket, out)
}

// Stream begins a stream of the agent behind the socket. It lasts until it is
// closed, ctx ends or the agent has no more.
func Stream(ctx context.Context, socket, stream string) (io.ReadCloser, error) {
	r := request{http.MethodGet, stream, nil}
	resp, err := r.send(ctx, socket, 0)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// request is what is asked of an agent.
type request struct {
	method, path string
	body         []byte
}

func (r request) do(ctx context.Context, socket string, out any) error {
	resp, err := r.send(ctx, socket, requestTimeout)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("agent at %s (%s): %s: %w; %s", socket, agentOf(resp), r.path, err, sameVersion)
	}
	return nil
}

// send sends the request and returns an answer that is one. It may all take so
// long; 0: for ever.
func (r request) send(ctx context.Context, socket string, patience time.Duration) (*http.Response, error) {
	c := http.Client{Timeout: patience, Transport: &http.Transport{
		DisableKeepAlives: true, ResponseHeaderTimeout: requestTimeout, // of a stream too, which begins at once
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, r.method, "http://uvtep"+r.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, explain(socket, err)
	}
	if resp.StatusCode != http.StatusOK {
		defer func() { _ = resp.Body.Close() }()
		return nil, r.refused(socket, resp)
	}
	return resp, nil
}

// sameVersion is what helps when a command and an agent do not understand each
// other.
const sameVersion = "use the `uvtep` that the agent was started with, or restart the agent with this one"

// refused tells of an answer that is no answer, in the agent's words. What an
// agent does not have is in a newer one, or was in an older.
func (r request) refused(socket string, resp *http.Response) error {
	path, _, _ := strings.Cut(r.path, "?")
	if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusMethodNotAllowed {
		return fmt.Errorf("agent at %s (%s) does not know %s %s: it is older or newer than this command; %s", socket, agentOf(resp), r.method, path, sameVersion)
	}
	var f fault
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error == "" {
		return fmt.Errorf("agent at %s (%s): %s %s: %s; %s", socket, agentOf(resp), r.method, path, resp.Status, sameVersion)
	}
	if resp.StatusCode == http.StatusBadRequest { // of whoever asks, not of the agent
		return errors.New(f.Error)
	}
	return fmt.Errorf("agent at %s: %s", socket, f.Error)
}

// agentOf is the version of the agent that an answer is from.
func agentOf(resp *http.Response) string {
	v, ok := strings.CutPrefix(resp.Header.Get("Server"), serverPrefix)
	if !ok {
		return "of an unknown version"
	}
	return "uvtep " + v
}

// explain says what to do about a socket that cannot be reached.
func explain(socket string, err error) error {
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return unreached{fmt.Sprintf("no agent at %s; start `uvtep run`, or say where with --admin-socket (one that waits for etcd the first time has no socket yet: see its log)", socket), err}
	case errors.Is(err, fs.ErrPermission):
		return unreached{fmt.Sprintf("not allowed to open %s: %s", socket, advice(socket)), err}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return unreached{fmt.Sprintf("the agent at %s does not answer: `kill -CONT` it if it was stopped; else its log may say why, or restart it", socket), err}
	}
	return fmt.Errorf("agent at %s: %w; is it an agent's socket?", socket, err)
}

// unreached is an error in words that say what to do next.
type unreached struct {
	text string
	err  error
}

func (u unreached) Error() string { return u.text }

// Unwrap returns the error.
func (u unreached) Unwrap() error { return u.err }
