package admin

import (
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
	c := http.Client{Timeout: requestTimeout, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://uvtep"+view, nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return explain(socket, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("agent at %s: %s: %s", socket, view, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("agent at %s: %s: %w", socket, view, err)
	}
	return nil
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
