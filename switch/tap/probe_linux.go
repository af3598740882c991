package tap

import (
	"os"

	"golang.org/x/sys/unix"
)

// Probe asks the kernel what its TAP devices can do, without making one. The
// error says that there are none.
func Probe() (Capabilities, error) {
	fd, err := unix.Open(devNetTun, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return Capabilities{}, explain(&os.PathError{Op: "open", Path: devNetTun, Err: err})
	}
	defer func() { _ = unix.Close(fd) }()
	flags, err := unix.IoctlGetUint32(fd, unix.TUNGETFEATURES)
	if err != nil {
		return Capabilities{}, os.NewSyscallError("TUNGETFEATURES", err)
	}
	c := Capabilities{
		MultiQueue: flags&unix.IFF_MULTI_QUEUE != 0,
		VnetHdr:    flags&unix.IFF_VNET_HDR != 0,
		Reason:     map[string]string{},
	}
	if !c.MultiQueue {
		c.Reason["multi_queue"] = "the kernel does not offer it"
	}
	if !c.VnetHdr {
		c.Reason["vnet_hdr"] = "the kernel does not offer it"
	}
	return c, nil
}
