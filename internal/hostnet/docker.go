package hostnet

import (
	"errors"
	"fmt"
	"strings"
)

// DockerOpts returns dockerd's options for the lease in one line:
//
//	--bip=10.99.3.1/24 --ip-masq=true --mtu=1450
//
// Somebody must masquerade what leaves the overlay, and only one: docker does
// it where uvtep does not, so its flag is the opposite of IPMasq. A file that
// leaves the question open gets no flag, and dockerd's own default holds. These
// are the rules of flannel's mk-docker-opts.sh.
func (e SubnetEnv) DockerOpts() (string, error) {
	if !e.Subnet.IsValid() {
		return "", errors.New("docker's bridge needs an IPv4 subnet, and the lease has none")
	}
	opts := []string{fmt.Sprintf("--bip=%s", firstUsable(e.Subnet))}
	if !e.IPMasqUnset {
		opts = append(opts, fmt.Sprintf("--ip-masq=%t", !e.IPMasq))
	}
	opts = append(opts, fmt.Sprintf("--mtu=%d", e.MTU))
	return strings.Join(opts, " "), nil
}
