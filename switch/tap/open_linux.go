package tap

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"

	"github.com/uvtep/uvtep/internal/wait"
)

const devNetTun = "/dev/net/tun"

// Open opens the device, creating it if it is not there, and attaches its
// queues. On an error nothing stays open; a device that was created stays.
func Open(c Config) (*Device, error) {
	if len(c.Files) > 0 {
		return adopt(c)
	}
	if c.Name == "" || len(c.Name) >= unix.IFNAMSIZ {
		return nil, fmt.Errorf("open tap %q: the name must have 1 to %d bytes", c.Name, unix.IFNAMSIZ-1)
	}
	c.Queues = max(c.Queues, 1)
	d, err := newDevice(c.Name)
	if err != nil {
		return nil, err
	}
	d.Created = !exists(c.Name)
	anchor, flags, err := d.anchor(c)
	if err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("open tap %q: %w", c.Name, err)
	}
	multi := flags&unix.IFF_MULTI_QUEUE != 0
	if !multi {
		// A single-queue device has room for one queue, so the anchor has to
		// make way for it and cannot settle the flags.
		_ = unix.Close(anchor)
		anchor, c.Queues, c.VnetHdr = -1, 1, false
	}
	twins := d.twins(anchor, c.Queues, flags)
	for range c.Queues {
		q, err := d.attach(multi)
		if err != nil && len(twins) > 1 { // the device has no room for twins besides
			twins = d.forgo(twins, err)
			q, err = d.attach(multi)
		}
		if err != nil {
			closeAll(twins)
			_ = d.Close()
			return nil, fmt.Errorf("open tap %q: queue %d: %w", c.Name, len(d.Queues), err)
		}
		d.Queues = append(d.Queues, q)
	}
	d.writeTo(twins)
	if err := d.readBack(); err != nil {
		return nil, err
	}
	return d, nil
}

func newDevice(name string) (*Device, error) {
	stop, err := wait.NewStop()
	if err != nil {
		return nil, fmt.Errorf("open tap %q: %w", name, err)
	}
	return &Device{Name: name, Capabilities: Capabilities{Reason: map[string]string{}}, stop: stop}, nil
}

// exists reports whether the network namespace has an interface of that name.
func exists(name string) bool {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer func() { _ = unix.Close(s) }()
	ifr, err := unix.NewIfreq(name)
	return err == nil && unix.IoctlIfreq(s, unix.SIOCGIFINDEX, ifr) == nil
}

// anchor attaches the queue that settles the device's flags and returns it
// with the flags it got. What the kernel refuses is asked for no more, with
// the reason noted: first the header, then the second queue.
func (d *Device) anchor(c Config) (fd int, flags uint16, err error) {
	want := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_MULTI_QUEUE)
	if c.VnetHdr {
		if fd, err = setIff(c.Name, want|unix.IFF_VNET_HDR); err == nil {
			return fd, want | unix.IFF_VNET_HDR, nil
		}
		d.Capabilities.Reason["vnet_hdr"] = err.Error()
	}
	if fd, err = setIff(c.Name, want); err == nil {
		return fd, want, nil
	}
	d.Capabilities.Reason["multi_queue"] = err.Error()
	want &^= unix.IFF_MULTI_QUEUE
	if fd, err = setIff(c.Name, want); err == nil {
		return fd, want, nil
	}
	return -1, 0, explain(err)
}

// setIff opens /dev/net/tun and attaches it as a persistent queue of the device.
func setIff(name string, flags uint16) (int, error) {
	fd, err := unix.Open(devNetTun, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: devNetTun, Err: err}
	}
	ifr, err := unix.NewIfreq(name)
	if err == nil {
		ifr.SetUint16(flags)
		err = os.NewSyscallError("TUNSETIFF", unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr))
	}
	if err == nil {
		err = os.NewSyscallError("TUNSETPERSIST", unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1))
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// attach lets water open one queue of the device that the anchor holds.
func (d *Device) attach(multi bool) (*Queue, error) {
	i, err := water.New(water.Config{
		DeviceType:             water.TAP,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: d.Name, Persist: true, MultiQueue: multi},
	})
	if err != nil {
		return nil, explain(err)
	}
	f, ok := i.ReadWriteCloser.(*os.File)
	if !ok {
		_ = i.Close()
		return nil, fmt.Errorf("water gave a %T, not a file", i.ReadWriteCloser)
	}
	return newQueue(f, d.stop)
}

// adopt makes a device of queues that are open already. The files belong to
// the device afterwards, also when adopt fails.
func adopt(c Config) (*Device, error) {
	d, err := newDevice(c.Name)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, f := range c.Files {
		q, err := newQueue(f, d.stop)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		d.Queues = append(d.Queues, q)
	}
	if err := errors.Join(errs...); err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("adopt tap queues: %w", err)
	}
	if err := d.readBack(); err != nil {
		return nil, err
	}
	return d, nil
}

// readBack asks the kernel what every queue became (TUNGETIFF): the name and
// the flags are the device's, so a header that one queue carries all carry.
// The header gets the size that is expected here. On an error all is closed.
func (d *Device) readBack() (err error) {
	defer func() {
		if err != nil {
			_ = d.Close()
			err = fmt.Errorf("open tap %q: %w", d.Name, err)
		}
	}()
	d.Capabilities.MultiQueue, d.Capabilities.VnetHdr = true, true
	for _, q := range d.Queues {
		name, flags, err := q.getIff()
		if err != nil {
			return err
		}
		d.Name = name
		q.vnet = flags&unix.IFF_VNET_HDR != 0
		d.Capabilities.VnetHdr = d.Capabilities.VnetHdr && q.vnet
		d.Capabilities.MultiQueue = d.Capabilities.MultiQueue && flags&unix.IFF_MULTI_QUEUE != 0
		if q.vnet {
			if err := q.setHeaderLen(); err != nil {
				return err
			}
		}
	}
	return nil
}

// explain adds what to do to the errors that every operator meets once.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENODEV), errors.Is(err, syscall.ENXIO):
		return fmt.Errorf("%w: the kernel has no TUN/TAP here; load the tun module, or give the container the device %s", err, devNetTun)
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: run as root or with CAP_NET_ADMIN, or let root make the TAP for this user first", err)
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("%w: another program holds the device; stop it or choose another name with --tap", err)
	case errors.Is(err, syscall.EINVAL):
		return fmt.Errorf("%w: an interface of this name is there and is no TAP of ours; remove it or choose another name with --tap", err)
	}
	return err
}
