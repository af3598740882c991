//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ErrClosed says that the lab is closed.
var ErrClosed = errors.New("lab is closed")

// Node is one network namespace of a lab. A Host, a Container and an Etcd each
// embed one.
type Node struct {
	Name  string     // within the lab: "h1", "h1c2", "e1"
	NS    string     // of the namespace, for `ip netns exec`
	Addr  netip.Addr // IPv4 address that the others know it by
	Addr6 netip.Addr // IPv6 address, if any

	lab *Lab
	nl  *netlink.Handle // its sockets live in the namespace

	blocks atomic.Int64 // numbers the tables of Block, so that each can be taken back by itself

	mu     sync.Mutex
	space  netns.NsHandle // guarded by mu; closed with the lab
	closed bool           // guarded by mu
}

// newNode makes a namespace with lo up, and remembers it for Close.
func (l *Lab) newNode(name string, sysctls []sysctl) (*Node, error) {
	n := &Node{Name: name, NS: l.Name + "-" + name, lab: l, space: netns.None()}
	if !spacePattern.MatchString(n.NS) {
		return nil, fmt.Errorf("namespace %q: want small letters and digits in the name, for Sweep finds no other", n.NS)
	}
	if err := isolated(func() error { return n.make(sysctls) }); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.Join(ErrClosed, n.close())
	}
	l.nodes = append(l.nodes, n)
	return n, nil
}

// drop takes back a node that could not be finished, with the port that it has on
// another, if it got that far.
func (l *Lab) drop(n, on *Node, port string) error {
	l.mu.Lock()
	l.nodes = slices.DeleteFunc(l.nodes, func(other *Node) bool { return other == n })
	l.mu.Unlock()
	err := on.DeleteLink(port) // its namespace would take it along, some time later
	if errors.Is(err, ErrNoLink) {
		err = nil
	}
	return errors.Join(err, n.close())
}

// make fills in n on a thread that may be moved.
func (n *Node) make(sysctls []sysctl) (err error) {
	if n.space, err = makeSpace(n.NS); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = n.close()
		}
	}()
	if n.nl, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("open netlink in %s: %w", n.NS, err)
	}
	for _, s := range sysctls {
		if err := s.write(); err != nil {
			return err
		}
	}
	return n.SetUp("lo", true)
}

// close lets go of the namespace and removes its name.
func (n *Node) close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	if n.nl != nil {
		n.nl.Close()
	}
	err := removeSpace(n.NS)
	n.space.Close() // after the name is gone: the fabric's carries the lab's lock
	return err
}

// enter moves the calling thread into the namespace.
func (n *Node) enter() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return ErrClosed
	}
	if err := netns.Set(n.space); err != nil {
		return fmt.Errorf("enter network namespace %s: %w", n.NS, err)
	}
	return nil
}

// fd is the namespace for netlink to put a device into; -1 after the end.
func (n *Node) fd() netlink.NsFd {
	n.mu.Lock()
	defer n.mu.Unlock()
	return netlink.NsFd(n.space)
}

// Do calls fn on a thread that is locked into the namespace and returns its
// error. Sockets opened by fn belong to the namespace for good; goroutines
// started by fn do not run in it. A panic in fn arrives in the caller.
func (n *Node) Do(fn func() error) error {
	return isolated(func() error {
		if err := n.enter(); err != nil {
			return err
		}
		return fn()
	})
}

// Dial connects from within the namespace. It fits http.Transport.DialContext
// and, wrapped, grpc.WithContextDialer. addr must hold an IP address, no name.
func (n *Node) Dial(ctx context.Context, network, addr string) (conn net.Conn, err error) {
	// One address, given as such: Dialer opens the socket on this goroutine.
	if _, err := netip.ParseAddrPort(addr); err != nil {
		return nil, fmt.Errorf("dial from %s: %w", n.Name, err)
	}
	err = n.Do(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// Sysctl writes a value below /proc/sys as the namespace sees it; the name has
// slashes: "net/ipv4/ip_forward".
func (n *Node) Sysctl(name, value string) error {
	return n.Do(sysctl{name: name, value: value}.write)
}

// sysctl is one setting; an optional one may be missing from the kernel.
type sysctl struct {
	name, value string
	optional    bool
}

// write acts on the namespace of the calling thread.
func (s sysctl) write() error {
	err := os.WriteFile(filepath.Join("/proc/sys", s.name), []byte(s.value), 0)
	if s.optional && errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// hostSysctls makes a router that adds no noise of its own to the wire.
func hostSysctls(ipv6 bool) []sysctl {
	return append(plainSysctls(ipv6),
		sysctl{name: "net/ipv4/ip_forward", value: "1"},
		sysctl{name: "net/ipv4/conf/all/rp_filter", value: "0"},
		sysctl{name: "net/ipv4/conf/default/rp_filter", value: "0"},
		sysctl{name: "net/ipv6/conf/all/forwarding", value: "1", optional: true},
	)
}

// plainSysctls makes a machine that says nothing unasked.
func plainSysctls(ipv6 bool) []sysctl {
	s := append(quiet("all"), quiet("default")...)
	if ipv6 {
		return s
	}
	// 1 = none: no link-local addresses, so no router solicitation, DAD or MLD.
	return append(s, sysctl{name: "net/ipv6/conf/default/addr_gen_mode", value: "1", optional: true})
}

// quiet switches off what IPv6 does unasked on an interface.
func quiet(conf string) []sysctl {
	var s []sysctl
	for _, key := range []string{"accept_dad", "accept_ra", "autoconf", "router_solicitations"} {
		s = append(s, sysctl{name: "net/ipv6/conf/" + conf + "/" + key, value: "0", optional: true})
	}
	return s
}

// fabricSysctls makes a wire: it bridges, and looks into nothing.
func fabricSysctls() []sysctl {
	return []sysctl{
		{name: "net/ipv6/conf/all/disable_ipv6", value: "1", optional: true},
		{name: "net/ipv6/conf/default/disable_ipv6", value: "1", optional: true},
		{name: "net/bridge/bridge-nf-call-iptables", value: "0", optional: true},
		{name: "net/bridge/bridge-nf-call-ip6tables", value: "0", optional: true},
		{name: "net/bridge/bridge-nf-call-arptables", value: "0", optional: true},
	}
}
