package hostnet

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// SeenLink is any interface of the namespace.
type SeenLink struct {
	Name string
	// Kind is the kernel's word: "bridge", "vxlan", "tun"; "device" for
	// hardware and what looks like it.
	Kind  string
	MTU   int
	Up    bool
	Ours  bool
	Addrs []netip.Prefix
}

// Links lists all interfaces.
func (h *Host) Links() ([]SeenLink, error) {
	links, as, err := h.interfaces()
	if err != nil {
		return nil, err
	}
	out := make([]SeenLink, 0, len(links))
	for _, l := range links {
		a := l.Attrs()
		out = append(out, SeenLink{a.Name, l.Type(), a.MTU, a.Flags&net.FlagUp != 0, a.Alias == alias, prefixesOn(as, a.Index)})
	}
	return out, nil
}

// Way is how the kernel sends to an address.
type Way struct {
	Dev string
	// MTU is the route's where it sets one, else the interface's.
	MTU int
	// Next is the neighbour that frames go to.
	Next netip.Addr
	// Silent says that the neighbour has not answered the last time that it
	// was asked for (ARP, neighbour discovery).
	Silent bool
	// Err says why there is no way.
	Err error
}

// WayTo asks the kernel how it would send to an address.
func (h *Host) WayTo(a netip.Addr) Way {
	rs, err := h.handle.RouteGet(a.AsSlice())
	if err != nil || len(rs) == 0 {
		return Way{Err: fmt.Errorf("no route to %s: %w", a, errors.Join(err))}
	}
	l, err := h.handle.LinkByIndex(rs[0].LinkIndex)
	if err != nil {
		return Way{Err: err}
	}
	w := Way{Dev: l.Attrs().Name, MTU: l.Attrs().MTU, Next: a}
	if rs[0].MTU > 0 {
		w.MTU = rs[0].MTU
	}
	if via, ok := netip.AddrFromSlice(rs[0].Gw); ok {
		w.Next = via.Unmap()
	}
	w.Silent = h.silent(rs[0].LinkIndex, w.Next)
	return w
}

// silent reports whether a neighbour did not answer.
func (h *Host) silent(index int, a netip.Addr) bool {
	ns, _ := dump(func() ([]netlink.Neigh, error) { return h.handle.NeighList(index, family(a)) })
	return slices.ContainsFunc(ns, func(n netlink.Neigh) bool {
		ip, _ := netip.AddrFromSlice(n.IP)
		return ip.Unmap() == a && n.State&unix.NUD_FAILED != 0
	})
}

// Sysctl reads a setting of the namespace below /proc/sys, as in
// "net/ipv4/ip_forward"; known is false when there is none.
func (h *Host) Sysctl(name string) (value int, known bool) {
	_ = h.inside(func() error {
		b, err := os.ReadFile(filepath.Join("/proc/sys", name))
		if err != nil {
			return err
		}
		value, err = strconv.Atoi(string(bytes.TrimSpace(b)))
		known = err == nil
		return err
	})
	return value, known
}

// ChecksumsOut reports whether an interface completes checksums on sending, which
// segmentation of UDP needs; known is false when it does not tell.
func (h *Host) ChecksumsOut(name string) (on, known bool) {
	_ = h.inside(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		ask := struct{ cmd, data uint32 }{cmd: unix.ETHTOOL_GTXCSUM} // struct ethtool_value
		var ifr struct {
			name [unix.IFNAMSIZ]byte
			data unsafe.Pointer
			_    [16]byte
		}
		copy(ifr.name[:unix.IFNAMSIZ-1], name)
		ifr.data = unsafe.Pointer(&ask)
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifr))); e != 0 {
			return e
		}
		on, known = ask.data != 0, true
		return nil
	})
	return on, known
}

// Processes lists the programs of the namespace that have one of the names, with
// their arguments.
func (h *Host) Processes(names ...string) []Running {
	ours := h.namespaceName()
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var out []Running
	for _, dir := range dirs {
		comm, _ := os.ReadFile(dir + "/comm")
		name := strings.TrimSpace(string(comm))
		if !slices.Contains(names, name) {
			continue
		}
		if ns, err := os.Readlink(dir + "/ns/net"); err != nil || ns != ours {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(dir))
		args, _ := os.ReadFile(dir + "/cmdline")
		out = append(out, Running{Process{pid, name}, strings.Split(strings.TrimRight(string(args), "\x00"), "\x00")})
	}
	return out
}

// Running is a program and how it was called.
type Running struct {
	Process
	Args []string
}

// TryTAP makes a TAP and lets it go again: the driver may be there and yet
// refuse.
func TryTAP() error {
	fd, err := unix.Open(TUNPath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", TUNPath, err)
	}
	defer func() { _ = unix.Close(fd) }()
	ifr, err := unix.NewIfreq("uvteptry%d")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	return os.NewSyscallError("TUNSETIFF", unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr))
}
