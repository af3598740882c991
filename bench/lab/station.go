//go:build linux

package lab

import (
	"context"
	"errors"
	"net"
	"net/netip"
)

// Station is a namespace on a bridge of a host, as a container or a virtual
// machine on an L2 network is: eth0 with a MAC address and addresses of its own.
type Station struct {
	*Node
	MAC  net.HardwareAddr
	mtu  int
	host *Host  // that it is on
	port string // its port there
}

// AddStation makes a station on a bridge of the host. It says nothing unasked.
func (h *Host) AddStation(ctx context.Context, bridge, name string, mac net.HardwareAddr, mtu int, addrs ...netip.Prefix) (*Station, error) {
	n, err := h.lab.newNode(name, plainSysctls(true))
	if err != nil {
		return nil, err
	}
	s := &Station{Node: n, MAC: mac, mtu: mtu, port: name}
	if err := s.Plug(ctx, h, bridge, addrs...); err != nil {
		return nil, errors.Join(err, h.lab.drop(n, h.Node, name))
	}
	return s, nil
}

// Plug puts the station on a bridge of a host, with these addresses.
func (s *Station) Plug(ctx context.Context, h *Host, bridge string, addrs ...netip.Prefix) error {
	if err := h.addPort(ctx, bridge, s.port, s.Node, hostDev, s.mtu); err != nil {
		return err
	}
	s.host = h
	if err := s.SetMAC(hostDev, s.MAC); err != nil {
		return err
	}
	for _, a := range addrs {
		if err := s.AddAddr(hostDev, a); err != nil {
			return err
		}
		if a.Addr().Is4() {
			s.Addr = a.Addr()
			continue
		}
		s.Addr6 = a.Addr()
		if err := s.waitSolicitable(ctx, hostDev, s.Addr6); err != nil {
			return err
		}
	}
	return nil
}

// Unplug takes the station off its bridge, as if its cable was pulled: its
// interface and its addresses go, its sockets stay.
func (s *Station) Unplug() error { return s.host.DeleteLink(s.port) }
