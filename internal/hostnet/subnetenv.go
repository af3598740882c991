package hostnet

import (
	"errors"
	"net/netip"
)

// SubnetEnv is what docker and CNI plugins are told: flannel's subnet.env.
// A zero prefix means that the family is not in use.
type SubnetEnv struct {
	// Network and IPv6Network are the whole overlay.
	Network, IPv6Network netip.Prefix
	// Subnet and IPv6Subnet are this host's leases. In the file stands the
	// first usable address, ours to give to the bridge.
	Subnet, IPv6Subnet netip.Prefix
	// MTU is the overlay's, in bytes.
	MTU int
	// IPMasq says that uvtep masquerades, so that docker must not.
	IPMasq bool
	// IPMasqUnset says that the file leaves the question open.
	IPMasqUnset bool
}

// ReadSubnetEnv reads the file at path, ours or flannel's.
func ReadSubnetEnv(path string) (SubnetEnv, error) { return SubnetEnv{}, errors.ErrUnsupported }

// Write puts e at path, mode 0644, so that a reader sees the old file or the
// new one and nothing in between. Missing folders are made.
func (e SubnetEnv) Write(path string) error { return errors.ErrUnsupported }

// DockerOpts returns dockerd's options in one line:
//
//	--bip=10.99.3.1/24 --ip-masq=true --mtu=1450
func (e SubnetEnv) DockerOpts() (string, error) { return "", errors.ErrUnsupported }
