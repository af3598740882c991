//go:build linux

package lab

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// Node is one network namespace of a lab. A Host, a Container and an Etcd each
// embed one.
type Node struct {
	Name  string     // within the lab: "h1", "h1c2", "etcd1"
	NS    string     // of the namespace, for `ip netns exec`
	Addr  netip.Addr // IPv4 address that the others know it by
	Addr6 netip.Addr // IPv6 address, if any
}

// Do calls fn on a thread that is locked into the namespace and returns its
// error. Sockets opened by fn belong to the namespace for good; goroutines
// started by fn do not run in it. A panic in fn arrives in the caller.
func (n *Node) Do(fn func() error) error { return errors.ErrUnsupported }

// Start starts a program in the namespace. Its output goes to NAME.log in the
// lab's folder. The process lives until it ends, is stopped, or the lab closes.
func (n *Node) Start(program string, args ...string) (*Process, error) {
	return nil, errors.ErrUnsupported
}

// Dial connects from within the namespace. It fits http.Transport.DialContext
// and, wrapped, grpc.WithContextDialer. addr must hold an IP address, no name.
func (n *Node) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return nil, errors.ErrUnsupported
}

// Forward listens on a free port of the caller's own namespace, on loopback, and
// carries each connection to addr as seen from the node. It ends with the lab.
func (n *Node) Forward(addr netip.AddrPort) (netip.AddrPort, error) {
	return netip.AddrPort{}, errors.ErrUnsupported
}

// Sysctl writes a value below /proc/sys as the namespace sees it; the name has
// slashes: "net/ipv4/ip_forward".
func (n *Node) Sysctl(name, value string) error { return errors.ErrUnsupported }

// Link is what the kernel says of one device.
type Link struct {
	Name  string
	Type  string // "veth", "bridge", "tuntap", "vxlan", …
	Index int
	MTU   int
	MAC   net.HardwareAddr
	Up    bool // set up by its administrator
	Addrs []netip.Prefix
}

// Route is one route of the main table.
type Route struct {
	Dst      netip.Prefix
	Via      netip.Addr // the zero Addr for a route without gateway
	Dev      string
	Onlink   bool
	Protocol int // rtnetlink's rtm_protocol
}

// Links returns the devices of the namespace.
func (n *Node) Links() ([]Link, error) { return nil, errors.ErrUnsupported }

// Link returns one device; the error is ErrNoLink if there is none.
func (n *Node) Link(name string) (Link, error) { return Link{}, errors.ErrUnsupported }

// ErrNoLink says that a namespace has no device of that name.
var ErrNoLink = errors.New("no such link")

// DeleteLink removes a device.
func (n *Node) DeleteLink(name string) error { return errors.ErrUnsupported }

// SetUp sets a device up or down.
func (n *Node) SetUp(name string, up bool) error { return errors.ErrUnsupported }

// SetMTU sets a device's MTU in bytes.
func (n *Node) SetMTU(name string, mtu int) error { return errors.ErrUnsupported }

// SetMAC changes a device's MAC address.
func (n *Node) SetMAC(name string, mac net.HardwareAddr) error { return errors.ErrUnsupported }

// Routes returns the IPv4 and IPv6 routes of the main table through one device.
func (n *Node) Routes(dev string) ([]Route, error) { return nil, errors.ErrUnsupported }
