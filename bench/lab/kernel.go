//go:build linux

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// overhead4 is what VXLAN over IPv4 costs of the underlay's MTU (RFC 7348 §5).
// The kernel peer is the independent one: it takes nothing from our encap package.
const overhead4 = 50

// KernelConfig describes a vxlan device of the kernel.
type KernelConfig struct {
	Name    string           // empty means "flannel.1"
	VNI     int              // 0 means 1
	Port    int              // 0 means 4789
	Subnet  netip.Prefix     // the lease, "10.10.7.0/24"
	MAC     net.HardwareAddr // nil: the kernel chooses
	UDPCSum bool             // send outer checksums; flannel's devices send zero
}

// KernelPeer is a host whose overlay is the kernel's vxlan device, set up as
// flannel does it: nolearning, static FDB and neighbour entries, one route a peer.
type KernelPeer struct {
	Host *Host
	KernelConfig
}

// AddKernelPeer makes the device on the host, and gives Subnet and MTU to the
// host, so that containers can be added.
func (h *Host) AddKernelPeer(cfg KernelConfig) (*KernelPeer, error) {
	if cfg.Name == "" {
		cfg.Name = "flannel.1"
	}
	if cfg.VNI == 0 {
		cfg.VNI = 1
	}
	if cfg.Port == 0 {
		cfg.Port = 4789
	}
	under, err := h.find(hostDev)
	if err != nil {
		return nil, err
	}
	a := netlink.NewLinkAttrs()
	a.Name, a.HardwareAddr, a.MTU = cfg.Name, cfg.MAC, under.Attrs().MTU-overhead4
	err = h.nl.LinkAdd(&netlink.Vxlan{
		LinkAttrs: a, VxlanId: cfg.VNI, VtepDevIndex: under.Attrs().Index, SrcAddr: h.Addr.AsSlice(),
		Port: cfg.Port, UDPCSum: cfg.UDPCSum,
	})
	if err != nil {
		return nil, fmt.Errorf("make vxlan device %q in %s: %w", cfg.Name, h.Name, err)
	}
	base := cfg.Subnet.Masked().Addr()
	if err := h.AddAddr(cfg.Name, netip.PrefixFrom(base, base.BitLen())); err != nil {
		return nil, err
	}
	if err := h.SetUp(cfg.Name, true); err != nil {
		return nil, err
	}
	made, err := h.Link(cfg.Name)
	if err != nil {
		return nil, err
	}
	cfg.MAC = made.MAC
	h.Subnet, h.MTU = netip.PrefixFrom(base.Next(), cfg.Subnet.Bits()), a.MTU
	return &KernelPeer{Host: h, KernelConfig: cfg}, nil
}

// Remote is what a kernel peer must know of another host.
type Remote struct {
	Subnet netip.Prefix     // its lease, "10.10.8.0/24"
	VTEP   netip.Addr       // its address on the underlay
	MAC    net.HardwareAddr // of its vxlan device or TAP
}

// Remote describes the peer to others.
func (k *KernelPeer) Remote() Remote {
	return Remote{Subnet: k.Subnet.Masked(), VTEP: k.Host.Addr, MAC: k.MAC}
}

// entries are the neighbour and the FDB entry for another host.
func (k *KernelPeer) entries(l netlink.Link, r Remote) [2]*netlink.Neigh {
	index := l.Attrs().Index
	return [2]*netlink.Neigh{
		{
			LinkIndex: index, State: netlink.NUD_PERMANENT, Type: unix.RTN_UNICAST,
			IP: r.Subnet.Masked().Addr().AsSlice(), HardwareAddr: r.MAC,
		},
		{
			LinkIndex: index, State: netlink.NUD_PERMANENT, Family: unix.AF_BRIDGE, Flags: netlink.NTF_SELF,
			IP: r.VTEP.AsSlice(), HardwareAddr: r.MAC,
		},
	}
}

// Add makes neighbour, FDB entry and route for another host, in this order, or
// changes those that are there.
func (k *KernelPeer) Add(r Remote) error {
	err := k.Host.on(k.Name, "add peer to", func(l netlink.Link) error {
		for _, n := range k.entries(l, r) {
			if err := k.Host.nl.NeighSet(n); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return k.Host.addRoute(k.Name, r.Subnet.Masked(), r.Subnet.Masked().Addr(), true)
}

// Remove takes them away.
func (k *KernelPeer) Remove(r Remote) error {
	return k.Host.on(k.Name, "remove peer from", func(l netlink.Link) error {
		dst := ipNet(r.Subnet.Masked())
		if err := k.Host.nl.RouteDel(&netlink.Route{LinkIndex: l.Attrs().Index, Dst: dst}); err != nil {
			return err
		}
		for _, n := range k.entries(l, r) {
			if err := k.Host.nl.NeighDel(n); err != nil {
				return err
			}
		}
		return nil
	})
}

// Lease is the peer's registration in flannel's format: the key below the
// prefix, "subnets/10.10.7.0-24", and the value.
func (k *KernelPeer) Lease() (key, value string) {
	key = "subnets/" + strings.ReplaceAll(k.Subnet.Masked().String(), "/", "-")
	value = fmt.Sprintf(`{"PublicIP":%q,"PublicIPv6":null,"BackendType":"vxlan","BackendData":{"VNI":%d,"VtepMAC":%q}}`,
		k.Host.Addr, k.VNI, k.MAC)
	return key, value
}

// KernelSubnet is the n-th subnet of the overlay, 10.10.n.0/24.
func KernelSubnet(n int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 10, byte(n), 0}), 24)
}

// KernelMesh gives every host a kernel vxlan device, with the subnets
// 10.10.1.0/24, 10.10.2.0/24 and so on, and introduces all to each other. Subnet
// and MAC of cfg are not used.
func (l *Lab) KernelMesh(cfg KernelConfig) ([]*KernelPeer, error) {
	var peers []*KernelPeer
	for _, h := range l.Hosts {
		cfg.Subnet = KernelSubnet(h.ID)
		cfg.MAC = nil
		k, err := h.AddKernelPeer(cfg)
		if err != nil {
			return nil, err
		}
		peers = append(peers, k)
	}
	for _, k := range peers {
		for _, other := range peers {
			if k == other {
				continue
			}
			if err := k.Add(other.Remote()); err != nil {
				return nil, err
			}
		}
	}
	return peers, nil
}
