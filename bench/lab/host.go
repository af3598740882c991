//go:build linux

package lab

import (
	"context"
	"errors"
	"net/netip"
)

// Host is a machine of the underlay: one namespace with eth0 on the fabric, a
// default route through it, and IP forwarding on.
type Host struct {
	*Node
	ID         int          // from 1; its address is 192.0.2.<ID>
	Subnet     netip.Prefix // the bridge's address and prefix, "10.10.3.1/24"; known once the agent is ready
	Subnet6    netip.Prefix // its IPv6 twin, if any
	MTU        int          // of containers; known once the agent is ready
	Containers []*Container
	Agent      *Process // the agent started last
	TAP        string   // name of the agent's device

	StateDir, SubnetFile, AdminSocket string // what the agent is told
}

// Container is a namespace behind a host's bridge, as docker makes them: eth0
// with an address of the host's subnet and a default route to the bridge.
type Container struct {
	*Node
	Host *Host
}

// AgentArgs is the command line that StartAgent gives to uvtep, without extras.
func (h *Host) AgentArgs() []string { return nil }

// StartAgent runs `uvtep run` with AgentArgs, Config.AgentArgs and extra, and
// returns when it is ready: subnet file written, TAP up.
func (h *Host) StartAgent(ctx context.Context, extra ...string) error { return errors.ErrUnsupported }

// AddContainers adds n containers with the next free addresses of the subnet.
func (h *Host) AddContainers(ctx context.Context, n int) error { return errors.ErrUnsupported }

// LinkDown sets eth0 down. LinkUp sets it up again, waits for the carrier, and
// puts back the routes and addresses that the kernel dropped.
func (h *Host) LinkDown() error { return errors.ErrUnsupported }

// LinkUp undoes LinkDown.
func (h *Host) LinkUp(ctx context.Context) error { return errors.ErrUnsupported }

// Cut takes the host off the fabric without the host noticing: silence. Mend
// undoes it.
func (h *Host) Cut() error { return errors.ErrUnsupported }

// Mend undoes Cut.
func (h *Host) Mend() error { return errors.ErrUnsupported }

// Readdress replaces the host's IPv4 address by another of the underlay.
func (h *Host) Readdress(addr netip.Addr) error { return errors.ErrUnsupported }
