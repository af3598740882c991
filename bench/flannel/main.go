//go:build linux

// Command flannel is a peer for the tests: flannel's own vxlan backend and etcd
// subnet manager, without the rest of flanneld. It leases a subnet, makes the
// kernel's vxlan device, keeps neighbours, FDB and routes in line with etcd, and
// writes the subnet file. It is a module of its own, so that uvtep does not
// depend on flannel.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/flannel-io/flannel/pkg/backend"
	_ "github.com/flannel-io/flannel/pkg/backend/vxlan"
	"github.com/flannel-io/flannel/pkg/ip"
	"github.com/flannel-io/flannel/pkg/subnet"
	"github.com/flannel-io/flannel/pkg/subnet/etcd"
)

// renewMargin is flanneld's default, in minutes.
const renewMargin = 60

type options struct {
	endpoints, prefix, iface, file string
}

func main() {
	var o options
	flag.StringVar(&o.endpoints, "etcd-endpoints", "http://127.0.0.1:2379", "comma separated")
	flag.StringVar(&o.prefix, "etcd-prefix", "/coreos.com/network", "where the keys lie")
	flag.StringVar(&o.iface, "iface", "eth0", "underlay interface")
	flag.StringVar(&o.file, "subnet-file", "/run/flannel/subnet.env", "written for docker")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := o.run(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "flannel:", err)
		os.Exit(1)
	}
}

// run does what flanneld's main does for a network in etcd.
func (o *options) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	sm, err := o.manager(ctx)
	if err != nil {
		cancel()
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	config, err := sm.GetNetworkConfig(ctx)
	if err != nil {
		return fmt.Errorf("network configuration: %w", err)
	}
	ext, err := external(o.iface)
	if err != nil {
		return err
	}
	be, err := backend.NewManager(ctx, sm, ext).GetBackend(config.BackendType)
	if err != nil {
		return err
	}
	network, err := be.RegisterNetwork(ctx, &wg, config)
	if err != nil {
		return err
	}
	if err := o.writeFile(config, network); err != nil {
		return err
	}
	wg.Go(func() { network.Run(ctx) })
	fmt.Fprintln(os.Stderr, "flannel: running", network.Lease().Subnet, network.Lease().IPv6Subnet)
	err = sm.CompleteLease(ctx, network.Lease(), &wg)
	if ctx.Err() != nil {
		return nil
	}
	return errors.Join(errors.New("lease lost"), err)
}

// manager connects with etcd, asking for the subnet that the file names.
func (o *options) manager(ctx context.Context) (subnet.Manager, error) {
	v4, v6 := o.previous()
	c := &etcd.EtcdConfig{Endpoints: strings.Split(o.endpoints, ","), Prefix: o.prefix}
	return etcd.NewLocalManager(ctx, c, v4, v6, renewMargin)
}

// previous is the subnets of the last run.
func (o *options) previous() (v4 ip.IP4Net, v6 ip.IP6Net) {
	b, _ := os.ReadFile(o.file)
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		_, n, err := net.ParseCIDR(value)
		switch {
		case err != nil:
		case name == "FLANNEL_SUBNET":
			v4 = ip.FromIPNet(n)
		case name == "FLANNEL_IPV6_SUBNET":
			v6 = ip.FromIP6Net(n)
		}
	}
	return v4, v6
}

// external describes the underlay interface with its first global addresses.
func external(name string) (*backend.ExternalInterface, error) {
	iface, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	addrs, err := iface.Addrs()
	if err != nil {
		return nil, err
	}
	e := &backend.ExternalInterface{Iface: iface}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		switch {
		case !ok || !n.IP.IsGlobalUnicast():
		case n.IP.To4() != nil && e.IfaceAddr == nil:
			e.IfaceAddr, e.ExtAddr = n.IP, n.IP
		case n.IP.To4() == nil && e.IfaceV6Addr == nil:
			e.IfaceV6Addr, e.ExtV6Addr = n.IP, n.IP
		}
	}
	return e, nil
}

// writeFile writes subnet.env.
func (o *options) writeFile(c *subnet.Config, n backend.Network) error {
	var b strings.Builder
	if c.EnableIPv4 {
		sn := n.Lease().Subnet
		sn.IncrementIP()
		fmt.Fprintf(&b, "FLANNEL_NETWORK=%s\nFLANNEL_SUBNET=%s\n", c.Network, sn)
	}
	if c.EnableIPv6 {
		sn := n.Lease().IPv6Subnet
		sn.IncrementIP()
		fmt.Fprintf(&b, "FLANNEL_IPV6_NETWORK=%s\nFLANNEL_IPV6_SUBNET=%s\n", c.IPv6Network, sn)
	}
	fmt.Fprintf(&b, "FLANNEL_MTU=%d\nFLANNEL_IPMASQ=false\n", n.MTU())
	if err := os.MkdirAll(filepath.Dir(o.file), 0o755); err != nil {
		return err
	}
	tmp := o.file + ".new"
	if err := os.WriteFile(tmp, []byte(b.String()), 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, o.file)
}
