//go:build linux

package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"github.com/vishvananda/netlink"
)

// Host is a machine of the underlay: one namespace with eth0 on the fabric, a
// default route through it, and IP forwarding on.
type Host struct {
	*Node
	ID         int          // from 1; its address is 192.0.2.<ID>
	Subnet     netip.Prefix // the bridge's address and prefix, "10.10.3.1/24"; known once the agent is ready
	Subnet6    netip.Prefix // its IPv6 twin, if any
	MTU        int          // of containers, bytes; known once the agent is ready
	Containers []*Container
	Agent      *Process // the agent started last
	TAP        string   // name of the agent's device

	StateDir, SubnetFile, AdminSocket string // what the agent is told
}

// AddHost adds one more host, wired as the others.
func (l *Lab) AddHost(ctx context.Context) (*Host, error) {
	id := len(l.Hosts) + 1
	if id > maxHosts {
		return nil, fmt.Errorf("no more than %d hosts", maxHosts)
	}
	n, err := l.newNode("h"+strconv.Itoa(id), hostSysctls(l.cfg.IPv6))
	if err != nil {
		return nil, err
	}
	h := &Host{
		Node: n, ID: id, TAP: "uvtep.1",
		StateDir:    filepath.Join(l.Dir, n.Name, "state"),
		SubnetFile:  filepath.Join(l.Dir, n.Name, "subnet.env"),
		AdminSocket: filepath.Join(l.short, n.Name+".sock"),
	}
	if err := errors.Join(l.plug(ctx, n, id), os.MkdirAll(h.StateDir, 0o700)); err != nil {
		return nil, errors.Join(err, l.drop(n, l.fabric, n.Name))
	}
	l.Hosts = append(l.Hosts, h)
	return h, nil
}

// Container is a namespace behind a host's bridge, as docker makes them: eth0
// with an address of the host's subnet and a default route to the bridge.
type Container struct {
	*Node
	Host *Host
}

// containerBridge is docker's name for it; dockerd gets its address by --bip.
const containerBridge = "docker0"

// AddContainers adds n containers with the next free addresses of the subnet.
func (h *Host) AddContainers(ctx context.Context, n int) error {
	if !h.Subnet.IsValid() && !h.Subnet6.IsValid() {
		return fmt.Errorf("add containers to %s: it has no subnet yet: start its agent first", h.Name)
	}
	if err := h.makeContainerBridge(); err != nil {
		return err
	}
	for range n {
		if err := h.addContainer(ctx); err != nil {
			return err
		}
	}
	return nil
}

// makeContainerBridge makes the bridge once.
func (h *Host) makeContainerBridge() error {
	if _, err := h.find(containerBridge); !errors.Is(err, ErrNoLink) {
		return err
	}
	if err := h.addBridge(containerBridge, h.MTU); err != nil {
		return err
	}
	for _, s := range []netip.Prefix{h.Subnet, h.Subnet6} {
		if !s.IsValid() {
			continue
		}
		if err := h.AddAddr(containerBridge, s); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) addContainer(ctx context.Context) error {
	port := "c" + strconv.Itoa(len(h.Containers)+1)
	n, err := h.lab.newNode(h.Name+port, plainSysctls(h.Subnet6.IsValid()))
	if err != nil {
		return err
	}
	if err := h.connect(ctx, n, port); err != nil {
		return errors.Join(err, h.lab.drop(n, h.Node, port))
	}
	h.Containers = append(h.Containers, &Container{Node: n, Host: h})
	return nil
}

// connect wires a container to the bridge and gives it the next addresses.
func (h *Host) connect(ctx context.Context, n *Node, port string) (err error) {
	if err := h.addPort(ctx, containerBridge, port, n, hostDev, h.MTU); err != nil {
		return err
	}
	i := len(h.Containers) + 1
	if h.Subnet.IsValid() {
		if n.Addr, err = n.join(h.Subnet, i, default4); err != nil {
			return err
		}
	}
	if !h.Subnet6.IsValid() {
		return nil
	}
	if n.Addr6, err = n.join(h.Subnet6, i, default6); err != nil {
		return err
	}
	return n.waitSolicitable(ctx, hostDev, n.Addr6)
}

// join gives eth0 the i-th address after the bridge's and a default route to it.
func (n *Node) join(bridge netip.Prefix, i int, everywhere netip.Prefix) (netip.Addr, error) {
	a := bridge.Addr()
	for range i {
		a = a.Next()
	}
	if !bridge.Contains(a.Next()) { // the last one is IPv4's broadcast address
		return a, fmt.Errorf("no address left in %v for %s", bridge.Masked(), n.Name)
	}
	if err := n.AddAddr(hostDev, netip.PrefixFrom(a, bridge.Bits())); err != nil {
		return a, err
	}
	return a, n.addRoute(hostDev, everywhere, bridge.Addr(), false)
}

// LinkDown sets eth0 down; the kernel drops its routes.
func (h *Host) LinkDown() error { return h.SetUp(hostDev, false) }

// LinkUp sets eth0 up again, waits for its carrier, and puts back the addresses
// and routes that LinkDown cost, as a network manager would.
func (h *Host) LinkUp(ctx context.Context) error {
	if err := h.SetUp(hostDev, true); err != nil {
		return err
	}
	if err := h.waitRunning(ctx, hostDev); err != nil {
		return err
	}
	if err := h.lab.fabric.waitRunning(ctx, h.Name); err != nil {
		return err
	}
	return h.address(ctx)
}

// Cut takes the host off the fabric without the host noticing: silence.
func (h *Host) Cut() error {
	return h.lab.fabric.on(h.Name, "cut", h.lab.fabric.nl.LinkSetNoMaster)
}

// Mend undoes Cut.
func (h *Host) Mend() error {
	f := h.lab.fabric
	br, err := f.find(fabricBridge)
	if err != nil {
		return err
	}
	return f.on(h.Name, "mend", func(l netlink.Link) error { return f.nl.LinkSetMaster(l, br) })
}

// Narrow makes the fabric's port of the host take no more than so many bytes of
// IP. What is larger is dropped in silence, both ways: no router tells.
func (h *Host) Narrow(mtu int) error {
	const tag = 4 // a device takes as much more, for a VLAN tag (is_skb_forwardable in net/core/dev.c)
	return h.lab.fabric.SetMTU(h.Name, mtu-tag)
}

// Readdress replaces the host's address of a family by another of the underlay,
// with the default route.
func (h *Host) Readdress(ctx context.Context, addr netip.Addr) error {
	was, old := &h.Addr, netip.PrefixFrom(h.Addr, bits4)
	if addr.Is6() {
		was, old = &h.Addr6, netip.PrefixFrom(h.Addr6, bits6)
	}
	if err := h.DeleteAddr(hostDev, old); err != nil {
		return err
	}
	*was = addr
	return h.address(ctx)
}

// AddNIC gives the host another interface on the fabric, with an IPv4 address of
// the underlay and no default route through it.
func (h *Host) AddNIC(ctx context.Context, dev string, addr netip.Addr) error {
	f := h.lab.fabric
	port := h.Name + "-" + dev
	if err := f.addPort(ctx, fabricBridge, port, h.Node, dev, h.lab.cfg.UnderlayMTU); err != nil {
		return err
	}
	if err := h.setOffloads(dev, h.lab.cfg.Underlay.hosts()); err != nil {
		return err
	}
	if err := f.setOffloads(port, h.lab.cfg.Underlay.fabric()); err != nil {
		return err
	}
	return h.AddAddr(dev, netip.PrefixFrom(addr, bits4))
}

// AddWorseDefault adds an IPv4 default route through an interface, for when the
// better one is gone.
func (h *Host) AddWorseDefault(dev string) error {
	return h.on(dev, "add route through", func(l netlink.Link) error {
		return h.nl.RouteAdd(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: ipNet(default4), Gw: underlay4(gatewayNumber).AsSlice(), Priority: 500})
	})
}

// AddDefault makes an interface the one of the IPv4 default route.
func (h *Host) AddDefault(dev string) error {
	return h.addRoute(dev, default4, underlay4(gatewayNumber), false)
}

// AddDefault6 makes an interface the one of the IPv6 default route.
func (h *Host) AddDefault6(dev string) error {
	return h.addRoute(dev, default6, underlay6(gatewayNumber), false)
}
