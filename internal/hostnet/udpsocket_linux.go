package hostnet

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// UDPSocket is a bound UDP socket of the namespace.
type UDPSocket struct {
	Local netip.AddrPort
	// Drops are the datagrams that the kernel dropped since its buffer was
	// full.
	Drops uint64
	// Held is by which processes, of whatever namespace; none for the kernel's
	// own, such as a vxlan device's, and for those of others when we are not
	// root.
	Held  []Process
	inode string
}

// UDPSockets lists the sockets that take datagrams to a port.
func (h *Host) UDPSockets(port uint16) ([]UDPSocket, error) {
	var out []UDPSocket
	err := h.inside(func() error {
		for _, name := range []string{"udp", "udp6"} {
			b, err := os.ReadFile("/proc/thread-self/net/" + name)
			if err != nil && name == "udp" {
				return fmt.Errorf("list UDP sockets: %w", err)
			}
			out = append(out, parseSockets(string(b), port)...)
		}
		return nil
	})
	if err != nil || len(out) == 0 {
		return nil, err
	}
	for i := range out {
		link := "socket:[" + out[i].inode + "]"
		out[i].Held = holders(func(string) bool { return true }, func(_, to string) bool { return to == link })
	}
	return out, nil
}

// parseSockets reads /proc/net/udp (proc_pid_net(5)), of which the second field
// is the local address, the tenth the inode and the last the drops.
func parseSockets(text string, port uint16) []UDPSocket {
	var out []UDPSocket
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 13 {
			continue
		}
		local, ok := parseLocal(f[1])
		if !ok || local.Port() != port {
			continue
		}
		drops, _ := strconv.ParseUint(f[len(f)-1], 10, 64)
		out = append(out, UDPSocket{Local: local, Drops: drops, inode: f[9]})
	}
	return out
}

// parseLocal reads an address in hexadecimal, in words of the host's byte order,
// and a port.
func parseLocal(s string) (netip.AddrPort, bool) {
	text, portText, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(text)
	port, errPort := strconv.ParseUint(portText, 16, 16)
	if err != nil || errPort != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, false
	}
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 { // little endian
		for w := range slices.Chunk(b, 4) {
			slices.Reverse(w)
		}
	}
	a, ok := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a, uint16(port)), ok
}
