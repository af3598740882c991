package hostnet

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/uvtep/uvtep/internal/state"
)

// SubnetEnv is what docker and CNI plugins are told: flannel's subnet.env.
// A zero prefix means that the family is not in use.
type SubnetEnv struct {
	// Network and IPv6Network are the whole overlay.
	Network, IPv6Network netip.Prefix
	// Subnet and IPv6Subnet are this host's leases. In the file stands the
	// first usable address, meant for the bridge.
	Subnet, IPv6Subnet netip.Prefix
	// MTU is the overlay's, in bytes.
	MTU int
	// IPMasq says that uvtep masquerades, so that docker must not.
	IPMasq bool
	// IPMasqUnset says that the file leaves the question open; IPMasq is
	// false then.
	IPMasqUnset bool
}

// The names in the file, flannel's, in its order.
const (
	envNetwork     = "FLANNEL_NETWORK"
	envSubnet      = "FLANNEL_SUBNET"
	envIPv6Network = "FLANNEL_IPV6_NETWORK"
	envIPv6Subnet  = "FLANNEL_IPV6_SUBNET"
	envMTU         = "FLANNEL_MTU"
	envIPMasq      = "FLANNEL_IPMASQ"
)

// Write puts e at path, mode 0644, so that a reader sees the old file or the
// new one and nothing in between. Missing folders are made.
func (e SubnetEnv) Write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write subnet file: %w", err)
	}
	if err := state.WriteFile(path, e.text(), 0o644); err != nil {
		return fmt.Errorf("write subnet file: %w", err)
	}
	return nil
}

// text is the file's content.
func (e SubnetEnv) text() []byte {
	var b bytes.Buffer
	line := func(used bool, name string, value any) {
		if used {
			fmt.Fprintf(&b, "%s=%v\n", name, value)
		}
	}
	line(e.Network.IsValid(), envNetwork, e.Network)
	line(e.Subnet.IsValid(), envSubnet, firstUsable(e.Subnet))
	line(e.IPv6Network.IsValid(), envIPv6Network, e.IPv6Network)
	line(e.IPv6Subnet.IsValid(), envIPv6Subnet, firstUsable(e.IPv6Subnet))
	line(true, envMTU, e.MTU)
	line(!e.IPMasqUnset, envIPMasq, e.IPMasq)
	return b.Bytes()
}

// firstUsable is the address after the subnet's own, with the subnet's length.
func firstUsable(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(p.Masked().Addr().Next(), p.Bits())
}

// ReadSubnetEnv reads the file at path, ours or flannel's. The error wraps
// fs.ErrNotExist when there is none; otherwise it holds all faults at once.
func ReadSubnetEnv(path string) (SubnetEnv, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return SubnetEnv{}, fmt.Errorf("read subnet file: %w", err)
	}
	e, err := parseSubnetEnv(string(b))
	if err != nil {
		return SubnetEnv{}, fmt.Errorf("subnet file %s: %w", path, err)
	}
	return e, nil
}

// parseSubnetEnv reads the lines that matter as a shell would: comments, blank
// lines, quotes and names of others are no fault.
func parseSubnetEnv(text string) (SubnetEnv, error) {
	e := SubnetEnv{IPMasqUnset: true}
	var errs []error
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok {
			continue
		}
		if err := e.set(name, unquote(value)); err != nil {
			errs = append(errs, fmt.Errorf("%s=%s: %w", name, value, err))
		}
	}
	if !e.Subnet.IsValid() && !e.IPv6Subnet.IsValid() {
		errs = append(errs, errors.New("neither "+envSubnet+" nor "+envIPv6Subnet))
	}
	if e.MTU == 0 {
		errs = append(errs, errors.New("no "+envMTU))
	}
	if len(errs) > 0 {
		return SubnetEnv{}, errors.Join(errs...)
	}
	return e, nil
}

// set takes one variable.
func (e *SubnetEnv) set(name, value string) error {
	switch name {
	case envNetwork:
		value, _, _ = strings.Cut(value, ",") // flannel may list several
		return setPrefix(&e.Network, value, true)
	case envSubnet:
		return setPrefix(&e.Subnet, value, true)
	case envIPv6Network:
		value, _, _ = strings.Cut(value, ",")
		return setPrefix(&e.IPv6Network, value, false)
	case envIPv6Subnet:
		return setPrefix(&e.IPv6Subnet, value, false)
	case envMTU:
		return e.setMTU(value)
	case envIPMasq:
		return e.setIPMasq(value)
	}
	return nil
}

func setPrefix(to *netip.Prefix, value string, v4 bool) error {
	p, err := netip.ParsePrefix(value)
	if err != nil {
		return errors.New("not a subnet, as in 10.10.3.1/24 or fd00:10::1/64")
	}
	if p.Addr().Is4() != v4 {
		return errors.New("of the other family")
	}
	if p.Bits() > p.Addr().BitLen()-2 {
		return errors.New("too small a subnet to hold a bridge and a container")
	}
	*to = p.Masked()
	return nil
}

func (e *SubnetEnv) setMTU(value string) error {
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n < minMTU {
		return fmt.Errorf("not an MTU (%d to 65535 bytes)", minMTU)
	}
	e.MTU = int(n)
	return nil
}

func (e *SubnetEnv) setIPMasq(value string) error {
	if value != "true" && value != "false" {
		return errors.New("neither true nor false")
	}
	e.IPMasq, e.IPMasqUnset = value == "true", false
	return nil
}

func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}
