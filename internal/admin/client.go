package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"syscall"
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

// request is what is asked of an agent.
type request struct {
	method, path string
	body         []byte
}

func (r request) do(ctx context.Context, socket string, out any) error {
	c := http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, r.method, "http://uvtep"+r.path, bytes.NewReader(r.body))
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return explain(socket, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("agent at %s: %s: %s", socket, r.path, said(resp))
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("agent at %s: %s: %w", socket, r.path, err)
	}
	return nil
}

// said is what the agent says of a request that it refused.
func said(resp *http.Response) string {
	var f fault
	if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error == "" {
		return resp.Status
	}
	return fmt.Sprintf("%s (%s)", f.Error, resp.Status)
}

// explain says what to do about a socket that cannot be reached.
func explain(socket string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no agent at %s; start `uvtep run`, or say where with --admin-socket", socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("not allowed to open %s; run as root, or join the group that owns it", socket)
	}
	return err
}
