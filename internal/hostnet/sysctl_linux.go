package hostnet

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strconv"

	"github.com/vishvananda/netns"
)

// ipv6Conf is where the kernel keeps an interface's IPv6 settings. What it
// shows depends on the namespace of the thread that looks.
const ipv6Conf = "/proc/sys/net/ipv6/conf"

// unknown is the value of a setting that cannot be read.
const unknown = -1

// hasIPv6 reports whether the kernel speaks IPv6 on the interface at all.
func (h *Host) hasIPv6(name string) bool { return h.ipv6(name, "disable_ipv6") != unknown }

// ipv6 reads one setting.
func (h *Host) ipv6(name, key string) int {
	value := unknown
	_ = h.inside(func() error {
		b, err := os.ReadFile(filepath.Join(ipv6Conf, name, key))
		if n, bad := strconv.Atoi(string(bytes.TrimSpace(b))); bad == nil {
			value = n
		}
		return err
	})
	return value
}

// setIPv6 changes one setting, unless it is so already.
func (h *Host) setIPv6(name, key string, value int) error {
	if h.ipv6(name, key) == value {
		return nil
	}
	return h.inside(func() error {
		return os.WriteFile(filepath.Join(ipv6Conf, name, key), []byte(strconv.Itoa(value)), 0o644)
	})
}

// inside runs f in the Host's namespace.
func (h *Host) inside(f func() error) error {
	if !h.ns.IsOpen() {
		return f()
	}
	done := make(chan error)
	go func() {
		// Never unlocked: the thread is in a foreign namespace now and must
		// not run anything else, so the runtime ends it with the goroutine.
		runtime.LockOSThread()
		if err := netns.Set(h.ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}
