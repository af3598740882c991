//go:build linux

package lab

import (
	"bufio"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"hash"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// roles are the programs that the test binary plays when its first argument names
// one. "run" is the agent's own first argument.
var roles = map[string]func(args []string) int{
	"role-wait":     roleWait,
	"role-stubborn": roleStubborn,
	"role-fail":     roleFail,
	"role-owner":    roleOwner,
	"run":           roleAgent,
}

// roleWait says that it is there and ends at SIGTERM.
func roleWait([]string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Println("waiting")
	<-ctx.Done()
	fmt.Fprintln(os.Stderr, "terminated")
	return 0
}

// roleStubborn does not end at SIGTERM.
func roleStubborn([]string) int {
	signal.Ignore(syscall.SIGTERM)
	fmt.Println("waiting")
	select {}
}

// roleFail complains and ends with 3.
func roleFail([]string) int {
	fmt.Fprintln(os.Stderr, "this went wrong")
	return 3
}

// roleOwner makes a lab with a process in it, says both, and waits to be killed.
func roleOwner([]string) int {
	l, err := New(context.Background(), Config{Hosts: 2})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	p, err := l.Hosts[0].Start(os.Args[0], "role-stubborn")
	if err == nil {
		err = p.WaitOutput(context.Background(), "waiting")
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("owner", l.Name, p.PID)
	_, _ = io.Copy(io.Discard, bufio.NewReader(os.Stdin)) // until the test closes it or dies
	return 0
}

// roleAgent plays `uvtep run` with a kernel vxlan device in the TAP's place, and
// with peers known by arithmetic instead of etcd: host N has 10.10.N.0/24 and the
// MAC 02:00:00:00:00:N.
func roleAgent(args []string) int {
	flags := flag.NewFlagSet("run", flag.ExitOnError)
	stateDir := flags.String("state-dir", "", "")
	subnetFile := flags.String("subnet-file", "", "")
	flags.String("admin-socket", "", "")
	tap := flags.String("tap", "", "")
	flags.String("etcd-endpoints", "", "")
	flags.String("network", "", "")
	flags.String("embedded-etcd-listen", "", "")
	flags.Bool("embedded-etcd", false, "")
	hosts := flags.Int("hosts", 3, "")
	broken := flags.String("broken", "", "")
	_ = flags.Parse(args)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Println("agent with", args)
	switch *broken {
	case "ends":
		fmt.Println("cannot go on")
		return 2
	case "hangs":
		<-ctx.Done()
		return 0
	}
	if err := playAgent(*tap, *subnetFile, *stateDir, *hosts); err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("Running backend")
	<-ctx.Done()
	return 0
}

func playAgent(tap, subnetFile, stateDir string, hosts int) error {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	h := &Host{Node: &Node{Name: "self", nl: nl}}
	eth0, err := h.Link("eth0")
	if err != nil {
		return err
	}
	h.Addr = eth0.Addrs[0].Addr()
	me := int(h.Addr.As4()[3])
	if err := os.WriteFile(filepath.Join(stateDir, "node"), nil, 0o600); err != nil {
		return err
	}
	_ = h.DeleteLink(tap) // left by the run before
	k, err := h.AddKernelPeer(KernelConfig{Name: tap, Subnet: KernelSubnet(me), MAC: playMAC(me)})
	if err != nil {
		return err
	}
	for id := 1; id <= hosts; id++ {
		if id == me {
			continue
		}
		if err := k.Add(Remote{Subnet: KernelSubnet(id), VTEP: underlay4(id), MAC: playMAC(id)}); err != nil {
			return err
		}
	}
	env := fmt.Sprintf("FLANNEL_NETWORK=10.10.0.0/16\nFLANNEL_SUBNET=%v\nFLANNEL_MTU=%d\nFLANNEL_IPMASQ=false\n", h.Subnet, h.MTU)
	tmp := subnetFile + ".new"
	if err := os.WriteFile(tmp, []byte(env), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, subnetFile)
}

func playMAC(id int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 0, byte(id)} }

// ownNames are the words of the line that roleOwner writes.
func ownNames(line string) (lab string, pid int, err error) {
	_, err = fmt.Sscanf(strings.TrimSpace(line), "owner %s %d", &lab, &pid)
	return lab, pid, err
}

// mustRoute is the node's IPv4 default route.
func mustRoute(t testing.TB, n *Node) *netlink.Route {
	t.Helper()
	routes, err := n.nl.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range routes {
		if r.Dst == nil || r.Dst.IP.IsUnspecified() {
			return &r
		}
	}
	t.Fatalf("no default route in %s", n.Name)
	return nil
}

// sum hashes a text.
func sum(s string) hash.Hash {
	h := sha256.New()
	h.Write([]byte(s))
	return h
}
