package hostnet

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Process is a running program.
type Process struct {
	PID  int    `json:"pid"`
	Name string `json:"name"` // its first 15 bytes, as the kernel keeps them
}

// TAPHolders returns the processes of this network namespace that have a TAP of
// that name open. Only root sees those of others.
func (h *Host) TAPHolders(name string) []Process {
	ours := h.namespaceName()
	return holders(func(dir string) bool {
		ns, err := os.Readlink(dir + "/ns/net")
		return err == nil && ns == ours
	}, func(fd, link string) bool { return link == TUNPath && tapOf(fd) == name })
}

// holders returns those of some processes that have a descriptor that a condition
// holds for. It is told where in /proc the descriptor is, and what it leads to.
func holders(of func(dir string) bool, is func(fd, link string) bool) []Process {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	var out []Process
	for _, dir := range dirs {
		if of(dir) && hasDescriptor(dir, is) {
			pid, _ := strconv.Atoi(filepath.Base(dir))
			name, _ := os.ReadFile(dir + "/comm")
			out = append(out, Process{pid, strings.TrimSpace(string(name))})
		}
	}
	return out
}

// namespaceName is how /proc names the Host's network namespace.
func (h *Host) namespaceName() string {
	path := "/proc/self/ns/net"
	if h.ns.IsOpen() {
		path = "/proc/self/fd/" + strconv.Itoa(int(h.ns))
	}
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return ""
	}
	return fmt.Sprintf("net:[%d]", s.Ino)
}

func hasDescriptor(dir string, is func(fd, link string) bool) bool {
	fds, _ := os.ReadDir(dir + "/fd")
	for _, fd := range fds {
		link, err := os.Readlink(dir + "/fd/" + fd.Name())
		if err == nil && is(dir+"/fdinfo/"+fd.Name(), link) {
			return true
		}
	}
	return false
}

// tapOf reads which device a descriptor of the TUN driver is attached to
// (drivers/net/tun.c, tun_chr_show_fdinfo).
func tapOf(fdinfo string) string {
	f, err := os.Open(fdinfo)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		if name, ok := strings.CutPrefix(s.Text(), "iff:"); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}
