package tap

import (
	"errors"
	"os"

	"github.com/uvtep/uvtep/internal/wait"
)

// HeaderLen is the length in bytes of the virtio_net_hdr in front of every
// frame that is read or written.
const HeaderLen = 10

// MaxFrame is the length in bytes of the longest frame a queue can hand over:
// 64 KiB of superframe behind an Ethernet header with two tags.
const MaxFrame = 65535 + 14 + 8

// ErrGone says that the device of a queue exists no longer: it was removed
// under the running program. The queue is of no more use; open the device anew.
var ErrGone = errors.New("tap device is gone")

// Config says which device Open opens and how.
type Config struct {
	// Name of the device, at most 15 bytes.
	Name string
	// Queues is how many queues are attached; 0 means 1.
	Queues int
	// VnetHdr asks for virtio_net_hdr in front of every frame, without which
	// there is no segmentation offload. Refused, the device is a plain one.
	// The offloads themselves are off until SetOffload.
	VnetHdr bool
	// Files are queues that are open already, handed in by a predecessor or a
	// service manager; with them nothing is opened and Queues is not looked at.
	// Open takes them over.
	Files []*os.File
}

// Capabilities is what the kernel granted a device. A reason is empty where
// the feature is there.
type Capabilities struct {
	MultiQueue bool
	VnetHdr    bool
	TCP        bool // superframes of TCP and unfinished checksums, both ways
	UDP        bool // superframes of UDP
	// Reason tells by feature name ("multi_queue", "vnet_hdr", "tso", "uso",
	// "steady_flows": a flow keeps its queue) why it is not there.
	Reason map[string]string
}

// Device is an open TAP.
type Device struct {
	Name         string
	Created      bool // the device was not there before
	Capabilities Capabilities
	Queues       []*Queue

	stop *wait.Stop
}

// Wake makes every Read that waits, and every later one, return
// os.ErrDeadlineExceeded, so that their goroutines can end. Close comes after
// they have.
func (d *Device) Wake() { d.stop.Set() }

// Rearm undoes Wake, for goroutines that start anew.
func (d *Device) Rearm() { d.stop.Clear() }

// Close closes the queues. The device stays. No Read or Write may be under way.
func (d *Device) Close() error {
	var errs []error
	for _, q := range d.Queues {
		errs = append(errs, q.close())
	}
	return errors.Join(append(errs, d.stop.Close())...)
}
