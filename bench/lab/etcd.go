//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const etcdPort = 2379

// Etcd is one member of an etcd cluster, the real program, on a machine of its own.
type Etcd struct {
	*Node
	URL     string   // for clients on the underlay
	Process *Process // the one started last
	DataDir string   // what the member keeps

	bin  string
	args []string
}

// StartEtcd starts a cluster of members (1, 3, 5) of the program bin, see
// BuildEtcd, and waits until it serves. Agents started later use it instead of
// the first host's embedded one.
func (l *Lab) StartEtcd(ctx context.Context, bin string, members int) ([]*Etcd, error) {
	if len(l.Etcd()) > 0 {
		return nil, errors.New("start etcd: it has been started before")
	}
	var (
		all     []*Etcd
		cluster []string
	)
	for i := range members {
		e, err := l.newEtcd(ctx, bin, i)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
		cluster = append(cluster, e.Name+"="+e.peerURL())
	}
	for _, e := range all {
		e.args = append(e.args, "--initial-cluster", strings.Join(cluster, ","))
		if err := e.start(); err != nil {
			return nil, err
		}
	}
	for _, e := range all {
		if err := e.waitHealthy(ctx); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.etcd = all
	return all, nil
}

// Etcd returns the members that StartEtcd started.
func (l *Lab) Etcd() []*Etcd {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.etcd
}

// newEtcd makes the machine of the i-th member.
func (l *Lab) newEtcd(ctx context.Context, bin string, i int) (*Etcd, error) {
	n, err := l.newNode("e"+strconv.Itoa(i+1), hostSysctls(l.cfg.IPv6))
	if err != nil {
		return nil, err
	}
	if err := l.plug(ctx, n, firstEtcd+i); err != nil {
		return nil, errors.Join(err, l.drop(n, l.fabric, n.Name))
	}
	e := &Etcd{Node: n, URL: etcdURL(n.Addr), DataDir: filepath.Join(l.Dir, n.Name), bin: bin}
	urls := e.URL
	if n.Addr6.IsValid() {
		urls += "," + etcdURL(n.Addr6)
	}
	e.args = []string{
		"--name", n.Name,
		"--data-dir", e.DataDir,
		"--listen-client-urls", urls, "--advertise-client-urls", urls,
		"--listen-peer-urls", e.peerURL(), "--initial-advertise-peer-urls", e.peerURL(),
		"--log-level", "warn",
		"--unsafe-no-fsync", // a killed process loses nothing by it, only a killed machine
	}
	return e, nil
}

func etcdURL(a netip.Addr) string {
	return "http://" + netip.AddrPortFrom(a, etcdPort).String()
}

func (e *Etcd) peerURL() string {
	return "http://" + netip.AddrPortFrom(e.Addr, etcdPort+1).String()
}

func (e *Etcd) start() (err error) {
	e.Process, err = e.Start(e.bin, e.args...)
	return err
}

// Kill ends the member with SIGKILL; Restart brings it back with its data.
func (e *Etcd) Kill() { e.Process.Kill() }

// Pause freezes the member (SIGSTOP): its connections stay open and silent.
func (e *Etcd) Pause() error { return e.Process.Signal(syscall.SIGSTOP) }

// Resume ends Pause.
func (e *Etcd) Resume() error { return e.Process.Signal(syscall.SIGCONT) }

// Restart starts the member again on its data, after Kill, and waits until it
// serves.
func (e *Etcd) Restart(ctx context.Context) error { return e.lab.RestartEtcd(ctx, e) }

// RestartEtcd starts members again, after Kill of each, on what is in their data
// folders, and waits until they serve: where a quorum was lost, none does alone.
func (l *Lab) RestartEtcd(ctx context.Context, members ...*Etcd) error {
	for _, e := range members {
		if err := e.start(); err != nil {
			return err
		}
	}
	for _, e := range members {
		if err := e.waitHealthy(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Status is what a member says of itself.
type Status struct {
	Leads bool // it is the leader
	Led   bool // it knows a leader, perhaps itself
}

// Status asks the member.
func (e *Etcd) Status(ctx context.Context) (Status, error) {
	var s struct {
		Header struct {
			Member string `json:"member_id"`
		} `json:"header"`
		Leader string `json:"leader"` // left out or "0": none
	}
	if err := post(ctx, e.httpClient(), e.URL+"/v3/maintenance/status", []byte("{}"), &s); err != nil {
		return Status{}, fmt.Errorf("status of %s: %w", e.Name, err)
	}
	return Status{Leads: s.Leader == s.Header.Member, Led: s.Leader != "" && s.Leader != "0"}, nil
}

// waitHealthy waits until the member knows a leader.
func (e *Etcd) waitHealthy(ctx context.Context) error {
	client := e.httpClient()
	return poll(ctx, e.Name+" to serve", 20*time.Millisecond, func() (bool, error) {
		if e.Process.Ended() {
			return false, fmt.Errorf("%s ended (%v):\n%s", e.Process.what, e.Process.err, e.Process.Tail(20))
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.URL+"/health", nil)
		if err != nil {
			return false, err
		}
		resp, err := client.Do(req)
		if err != nil {
			return false, nil // not there yet
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	})
}

// httpClient speaks HTTP from within the namespace and keeps no connection.
func (n *Node) httpClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: n.Dial, DisableKeepAlives: true}}
}

// EtcdURLs is where clients on the underlay find etcd: the members that StartEtcd
// started, else the first host.
func (l *Lab) EtcdURLs() []string {
	members := l.Etcd()
	if len(members) == 0 {
		h := l.Hosts[0]
		if !h.Addr.IsValid() {
			return []string{etcdURL(h.Addr6)}
		}
		return []string{etcdURL(h.Addr)}
	}
	var urls []string
	for _, e := range members {
		urls = append(urls, e.URL)
	}
	return urls
}

// EtcdURLs is where the host finds etcd: over IPv4 if it has that.
func (h *Host) EtcdURLs() []string {
	members := h.lab.Etcd()
	if h.Addr.IsValid() || len(members) == 0 {
		return h.lab.EtcdURLs()
	}
	var urls []string
	for _, e := range members {
		urls = append(urls, etcdURL(e.Addr6))
	}
	return urls
}

// EtcdForward is a URL in the caller's namespace that leads to the first of
// EtcdURLs, for a client of etcd in a test.
func (l *Lab) EtcdForward() (string, error) {
	l.forwardOnce.Do(func() {
		var at netip.AddrPort
		to := netip.MustParseAddrPort(strings.TrimPrefix(l.EtcdURLs()[0], "http://"))
		at, l.forwardErr = l.fabric.Forward(to)
		l.forward = "http://" + at.String()
	})
	return l.forward, l.forwardErr
}
