//go:build linux

package lab

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// backendRunning is the log line with which an agent says that it forwards.
const backendRunning = "Running backend"

// StartAgents starts an agent on every host, the first host's first, and returns
// when all are ready.
func (l *Lab) StartAgents(ctx context.Context, extra ...string) error {
	if err := l.Hosts[0].StartAgent(ctx, extra...); err != nil {
		return err
	}
	return l.each(func(h *Host) error {
		if h.ID == 1 {
			return nil
		}
		return h.StartAgent(ctx, extra...)
	})
}

// AgentArgs is the command line that StartAgent gives to uvtep, without extras.
// The first host's says how the network is made, and runs the embedded etcd
// unless StartEtcd was called before.
func (h *Host) AgentArgs() []string {
	args := []string{
		"run",
		"--state-dir", h.StateDir,
		"--subnet-file", h.SubnetFile,
		"--admin-socket", h.AdminSocket,
		"--tap", h.TAP,
		"--etcd-endpoints", strings.Join(h.EtcdURLs(), ","),
	}
	if h.ID != 1 {
		return args
	}
	args = append(args, "--network", h.lab.cfg.Network.String())
	if len(h.lab.Etcd()) > 0 {
		return args
	}
	return append(args, "--embedded-etcd", "--embedded-etcd-listen", h.lab.EtcdURLs()[0])
}

// StartAgent runs `uvtep run` with AgentArgs, Config.AgentArgs and extra, and
// returns when it is ready: it says that it runs or has written its subnet file,
// and the TAP is up. Subnet and MTU are known then. With --no-subnet among the
// extras there is no subnet file to wait for.
func (h *Host) StartAgent(ctx context.Context, extra ...string) error {
	if h.lab.cfg.Bin == "" {
		return errors.New("start agent: Config.Bin names no uvtep program")
	}
	old, _ := os.Stat(h.SubnetFile)
	args := append(append(h.AgentArgs(), h.lab.cfg.AgentArgs...), extra...)
	p, err := h.Start(h.lab.cfg.Bin, args...)
	if err != nil {
		return err
	}
	h.Agent = p
	started := time.Now()
	if err := h.waitAgent(ctx, old); err != nil {
		return err
	}
	h.lab.cfg.Log.Info().Str("host", h.Name).Stringer("subnet", h.Subnet).Int("mtu", h.MTU).
		Dur("took", time.Since(started)).Msg("agent ready")
	return nil
}

// waitAgent waits until the agent is ready; old is the subnet file that an
// earlier run left.
func (h *Host) waitAgent(ctx context.Context, old os.FileInfo) error {
	p := h.Agent
	err := poll(ctx, p.what+" to be ready", 10*time.Millisecond, func() (bool, error) {
		if p.Ended() {
			return false, fmt.Errorf("%s ended (%v)", p.what, p.err)
		}
		if !strings.Contains(p.Output(), backendRunning) && !newer(h.SubnetFile, old) {
			return false, nil
		}
		tap, err := h.Link(h.TAP)
		if errors.Is(err, ErrNoLink) || err == nil && !tap.Up {
			return false, nil
		}
		return err == nil, err
	})
	if err == nil {
		err = h.readSubnetFile()
	}
	if err != nil {
		return fmt.Errorf("%w; it wrote last:\n%s", err, p.Tail(20))
	}
	return nil
}

// newer tells whether a file is there that is not the old one.
func newer(path string, old os.FileInfo) bool {
	now, err := os.Stat(path)
	if err != nil {
		return false
	}
	return old == nil || !os.SameFile(old, now) || !old.ModTime().Equal(now.ModTime())
}

// readSubnetFile takes over what the agent wrote for docker, flannel's
// subnet.env. A host without a subnet has none.
func (h *Host) readSubnetFile() error {
	b, err := os.ReadFile(h.SubnetFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), "=")
		switch key {
		case "FLANNEL_SUBNET":
			h.Subnet, err = netip.ParsePrefix(value)
		case "FLANNEL_IPV6_SUBNET":
			h.Subnet6, err = netip.ParsePrefix(value)
		case "FLANNEL_MTU":
			h.MTU, err = strconv.Atoi(value)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", h.SubnetFile, key, err)
		}
	}
	return nil
}
