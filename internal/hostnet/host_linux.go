package hostnet

import (
	"fmt"
	"sync"

	"github.com/rs/zerolog"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Config says which network a Host stands for. The zero Config is the
// process's own network and a logger that discards.
type Config struct {
	// Namespace is the path of a network namespace, as in /run/netns/blue.
	// Empty means the one the process runs in.
	Namespace string
	// Log receives one line an event.
	Log zerolog.Logger
}

// Host is the network of one namespace: its interfaces, addresses, routes and
// nftables rules. It may be used by several goroutines at once.
type Host struct {
	log    zerolog.Logger
	ns     netns.NsHandle
	handle *netlink.Handle
	strict *netlink.Handle  // its listings are filtered by the kernel
	socket *nl.SocketHandle // for requests that netlink.Handle has no words for
	port   uint32           // socket's number: announcements of our own changes bear it

	mu     sync.Mutex // held while an interface is dressed, or looked at by Watch
	attire map[int]attire
	turn   uint64 // counts EnsureLink
}

// Open returns the network that c names. Close releases it.
func Open(c Config) (*Host, error) {
	ns, err := openNamespace(c.Namespace)
	if err != nil {
		return nil, err
	}
	h := &Host{log: c.Log, ns: ns, attire: map[int]attire{}}
	if err := h.dial(); err != nil {
		h.Close()
		return nil, fmt.Errorf("open netlink: %w", err)
	}
	return h, nil
}

func openNamespace(path string) (netns.NsHandle, error) {
	if path == "" {
		return netns.None(), nil
	}
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return netns.None(), fmt.Errorf("open network namespace %q: %w", path, err)
	}
	return ns, nil
}

func (h *Host) dial() error {
	var err error
	if h.handle, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE); err != nil {
		return err
	}
	if h.strict, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE); err != nil {
		return err
	}
	// Older kernels (before Linux 4.20) filter nothing; the listing is only
	// longer then.
	_ = h.strict.SetStrictCheck(true)
	s, err := nl.GetNetlinkSocketAt(h.ns, netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	h.socket = &nl.SocketHandle{Socket: s}
	_ = s.SetExtAck(true) // the kernel's reasons in words, where it has any
	h.port, err = s.GetPid()
	return err
}

// Close releases the Host's sockets. It changes nothing in the network.
func (h *Host) Close() {
	if h.handle != nil {
		h.handle.Close()
	}
	if h.strict != nil {
		h.strict.Close()
	}
	if h.socket != nil {
		h.socket.Close()
	}
	if h.ns.IsOpen() {
		h.ns.Close()
	}
}
