package hostnet

import (
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asNobody takes all privileges from the calling thread, which must be one that
// ends soon. Going through the system call keeps it to that thread.
func asNobody() error {
	const nobody = 65534
	if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, nobody, nobody, nobody); errno != 0 {
		return errno
	}
	return nil
}

// asBareRoot takes the calling thread's capabilities and leaves it root.
func asBareRoot() error {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	return unix.Capset(&hdr, &none[0])
}

func TestPreflightSaysWhatIsMissingAndWhatToDo(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	sock := filepath.Join(dir, "driverless") // opening one gives ENXIO, as a device without a driver does
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asRoot := func() error { return nil }
	for _, c := range []struct {
		name string
		as   func() error
		tun  string
		is   []error
		want []string
		not  []error
	}{
		{"root with all there is", asRoot, "", nil, nil, []error{ErrNoNetAdmin, ErrNoTUN}},
		{"root without the device", asRoot, filepath.Join(dir, "net", "tun"), []error{ErrNoTUN, unix.ENOENT},
			[]string{"net/tun", "modprobe tun", "--device=/dev/net/tun"}, []error{ErrNoNetAdmin}},
		{"root with a device that has no driver", asRoot, sock, []error{ErrNoTUN, unix.ENXIO},
			[]string{"its driver is not", "CONFIG_TUN"}, []error{ErrNoNetAdmin}},
		{"root in a container that took the capability", asBareRoot, "", []error{ErrNoNetAdmin},
			[]string{"--cap-add=NET_ADMIN"}, []error{ErrNoTUN}},
		{"nobody, who may not look there: both faults at once", asNobody, sock, []error{ErrNoNetAdmin, ErrNoTUN, unix.EACCES},
			[]string{"run as root", "setcap", "readable and writable"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := inThread(func() error {
				if err := c.as(); err != nil {
					return err
				}
				return Preflight(c.tun)
			})
			for _, want := range c.is {
				if !errors.Is(err, want) {
					t.Errorf("error %v is not %q", err, want)
				}
			}
			for _, not := range c.not {
				if errors.Is(err, not) {
					t.Errorf("error %v is %q", err, not)
				}
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
		})
	}
}
