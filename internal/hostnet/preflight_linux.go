package hostnet

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

var (
	// ErrNoNetAdmin is returned by Preflight when the process may not
	// configure the network.
	ErrNoNetAdmin = errors.New("no permission to configure the network (CAP_NET_ADMIN)")
	// ErrNoTUN is returned by Preflight when TAP devices cannot be opened.
	ErrNoTUN = errors.New("no TUN/TAP driver")
)

// Fault is what Preflight finds wrong, and what to do about it.
type Fault struct {
	Err error
	Do  string
}

// Error says both.
func (f *Fault) Error() string { return f.Err.Error() + ": " + f.Do }

// Unwrap returns what is wrong.
func (f *Fault) Unwrap() error { return f.Err }

// TUNPath is where the kernel's TUN/TAP driver is opened.
const TUNPath = "/dev/net/tun"

// Preflight reports everything that keeps the process from doing its work on
// this machine, each a Fault: ErrNoNetAdmin, ErrNoTUN.
// tun is the driver's path; empty means TUNPath. It leaves nothing open.
func Preflight(tun string) error {
	if tun == "" {
		tun = TUNPath
	}
	return errors.Join(checkNetAdmin(), checkTUN(tun))
}

// checkNetAdmin looks at the effective capabilities of this thread, which all
// threads of a Go program share.
func checkNetAdmin() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData // of 32 capabilities each
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return fmt.Errorf("read own capabilities: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) != 0 {
		return nil
	}
	if os.Geteuid() == 0 {
		return &Fault{ErrNoNetAdmin, "root has lost it here; in a container start it with --cap-add=NET_ADMIN, under systemd look at CapabilityBoundingSet"}
	}
	return &Fault{ErrNoNetAdmin, `run as root, or give the program the capability with "setcap cap_net_admin+ep uvtep"`}
}

// checkTUN opens the driver, which makes no device yet. Opening also loads the
// module where the kernel can.
func checkTUN(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		return unix.Close(fd)
	}
	return &Fault{fmt.Errorf("%w: open %s: %w", ErrNoTUN, path, err), tunAdvice(err)}
}

// tunAdvice says what to do when the driver cannot be opened.
func tunAdvice(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT):
		return `load the module with "modprobe tun"; in a container hand the device in with --device=/dev/net/tun`
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return `the device is there but its driver is not: load the module with "modprobe tun", or use a kernel with CONFIG_TUN`
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return "allow it: the file must be readable and writable for this user, in a container hand the device in with " +
			"--device=/dev/net/tun, under systemd look at DeviceAllow"
	}
	return "uvtep needs the kernel's TUN/TAP driver and nothing else of it"
}
