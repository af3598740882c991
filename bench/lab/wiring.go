//go:build linux

package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The underlay's addresses, from the prefixes that RFC 5737 and RFC 3849 set
// aside for documentation: hosts count from 1, etcd machines from 201, and the
// fabric's bridge is the gateway that the default route names. Nothing lies
// behind it.
const (
	hostDev       = "eth0"
	fabricBridge  = "br0"
	firstEtcd     = 201
	gatewayNumber = 254
	bits4, bits6  = 24, 64
)

func underlay4(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}) }

func underlay6(n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 15: byte(n)})
}

// makeFabric makes the bridge that joins all hosts.
func (l *Lab) makeFabric() error {
	f := l.fabric
	if err := f.addBridge(fabricBridge, l.cfg.UnderlayMTU); err != nil {
		return err
	}
	if err := f.AddAddr(fabricBridge, netip.PrefixFrom(underlay4(gatewayNumber), bits4)); err != nil {
		return err
	}
	if !l.cfg.IPv6 {
		return nil
	}
	if err := f.Sysctl("net/ipv6/conf/"+fabricBridge+"/disable_ipv6", "0"); err != nil {
		return err
	}
	return f.AddAddr(fabricBridge, netip.PrefixFrom(underlay6(gatewayNumber), bits6))
}

// addBridge makes a bridge that forwards at once and floods multicast.
func (n *Node) addBridge(name string, mtu int) error {
	a := netlink.NewLinkAttrs()
	a.Name = name
	snooping := false
	if err := n.nl.LinkAdd(&netlink.Bridge{LinkAttrs: a, MulticastSnooping: &snooping}); err != nil {
		return fmt.Errorf("make bridge %q in %s: %w", name, n.Name, err)
	}
	// Set by hand it stays: a bridge follows the smallest of its ports otherwise.
	if err := n.SetMTU(name, mtu); err != nil {
		return err
	}
	return n.SetUp(name, true)
}

// addPort joins a new veth to a bridge of n: one end, called port, is a port of
// the bridge, the other is dev in far. Both are up and forward on return.
func (n *Node) addPort(ctx context.Context, bridge, port string, far *Node, dev string, mtu int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	br, err := n.find(bridge)
	if err != nil {
		return err
	}
	if n.lab.cfg.UnderlaySteered {
		unsteer, err := steer(n, far)
		if err != nil {
			return err
		}
		defer func() { _ = unsteer() }()
	}
	a := netlink.NewLinkAttrs()
	a.Name, a.MTU, a.MasterIndex = port, mtu, br.Attrs().Index
	veth := netlink.NewVeth(a)
	veth.PeerName, veth.PeerNamespace = dev, far.fd()
	if err := n.nl.LinkAdd(veth); err != nil {
		return fmt.Errorf("make veth %q in %s to %q in %s: %w", port, n.Name, dev, far.Name, err)
	}
	if err := n.SetUp(port, true); err != nil {
		return err
	}
	if err := far.SetUp(dev, true); err != nil {
		return err
	}
	if err := far.waitRunning(ctx, dev); err != nil {
		return err
	}
	return n.waitRunning(ctx, port)
}

// plug wires a node to the fabric under a number of the underlay.
func (l *Lab) plug(ctx context.Context, n *Node, number int) error {
	if err := l.fabric.addPort(ctx, fabricBridge, n.Name, n, hostDev, l.cfg.UnderlayMTU); err != nil {
		return err
	}
	if err := n.setOffloads(hostDev, l.cfg.Underlay.hosts()); err != nil {
		return err
	}
	if err := l.fabric.setOffloads(n.Name, l.cfg.Underlay.fabric()); err != nil {
		return err
	}
	if !slices.Contains(l.cfg.Without4, number) {
		n.Addr = underlay4(number)
	}
	if l.cfg.IPv6 && !slices.Contains(l.cfg.Without6, number) {
		n.Addr6 = underlay6(number)
	}
	return n.address(ctx)
}

// steer makes the devices that are made from here on hand what they receive to a
// CPU chosen by its flow, until the function it returns is called. A veth's
// frames go on where their sender runs otherwise: a flow whose sender moves to
// another CPU overtakes itself, for which nobody above is to blame.
func steer(nodes ...*Node) (unsteer func() error, err error) {
	set := func(mask uint64) (errs error) {
		for _, n := range nodes {
			errs = errors.Join(errs, n.Sysctl("net/core/rps_default_mask", fmt.Sprintf("%x", mask)))
		}
		return errs
	}
	return func() error { return set(0) }, set(1<<min(runtime.NumCPU(), 32) - 1)
}

// address gives eth0 the node's addresses, and default routes through it. What
// is there already is left.
func (n *Node) address(ctx context.Context) error {
	if n.Addr.IsValid() {
		if err := n.AddAddr(hostDev, netip.PrefixFrom(n.Addr, bits4)); err != nil && !exists(err) {
			return err
		}
		if err := n.addRoute(hostDev, default4, underlay4(gatewayNumber), false); err != nil {
			return err
		}
	}
	if !n.Addr6.IsValid() {
		return nil
	}
	if err := n.AddAddr(hostDev, netip.PrefixFrom(n.Addr6, bits6)); err != nil && !exists(err) {
		return err
	}
	if err := n.waitSolicitable(ctx, hostDev, n.Addr6); err != nil {
		return err
	}
	return n.addRoute(hostDev, default6, underlay6(gatewayNumber), false)
}

// waitSolicitable waits until a device listens to the solicited-node multicast
// address (RFC 4291 §2.7.1) of an IPv6 address. The kernel joins it in the
// background, and a neighbour that asks before asks again only a second later.
func (n *Node) waitSolicitable(ctx context.Context, dev string, a netip.Addr) error {
	b := a.As16()
	group := fmt.Sprintf("ff0200000000000000000001ff%x", b[13:])
	what := fmt.Sprintf("%q in %s to answer for %v", dev, n.Name, a)
	return poll(ctx, what, time.Millisecond, func() (bool, error) {
		var joined []byte
		err := n.Do(func() (err error) {
			joined, err = os.ReadFile("/proc/thread-self/net/igmp6")
			return err
		})
		return bytes.Contains(joined, []byte(group)), err
	})
}

var (
	default4 = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	default6 = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
)

func exists(err error) bool { return isErrno(err, unix.EEXIST) }
