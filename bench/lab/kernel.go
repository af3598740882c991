//go:build linux

package lab

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

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

// AddKernelPeer makes the device on the host, and gives Subnet and MTU to it, so
// that containers can be added.
func (h *Host) AddKernelPeer(ctx context.Context, cfg KernelConfig) (*KernelPeer, error) {
	return nil, errors.ErrUnsupported
}

// Remote is what a kernel peer must know of another host.
type Remote struct {
	Subnet netip.Prefix
	VTEP   netip.Addr
	MAC    net.HardwareAddr
}

// Remote describes the peer to others.
func (k *KernelPeer) Remote() Remote { return Remote{} }

// Add makes route, neighbour and FDB entry for another host.
func (k *KernelPeer) Add(r Remote) error { return errors.ErrUnsupported }

// Remove takes them away.
func (k *KernelPeer) Remove(r Remote) error { return errors.ErrUnsupported }

// Lease is the peer's registration in flannel's format: the key below the
// prefix, "subnets/10.10.7.0-24", and the value.
func (k *KernelPeer) Lease() (key, value string) { return "", "" }

// KernelMesh gives every host a kernel vxlan device with the subnets 10.10.1.0/24,
// 10.10.2.0/24, … and introduces all to each other. Subnet and MAC of cfg are unused.
func (l *Lab) KernelMesh(ctx context.Context, cfg KernelConfig) ([]*KernelPeer, error) {
	return nil, errors.ErrUnsupported
}
