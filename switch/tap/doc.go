// Package tap is the TAP side of a switch: a Linux TAP device and its queues.
//
// A device has one or more queues; each is a file of its own on which the
// kernel hands over the frames of some flows, opened by
// github.com/songgao/water, and a second file, its twin, on which it takes
// frames back. What a queue hands over, and
// what it takes, is a record:
//
//	+----------------------------+------------------------------+
//	| virtio_net_hdr, 10 bytes   | Ethernet frame, 14 … 65,549  |
//	+----------------------------+------------------------------+
//
// The header is Linux's (include/uapi/linux/virtio_net.h, little-endian on
// both architectures this package serves). On a plain device the header is
// zero when read and not looked at when written, so the code above is the same
// with and without segmentation offloads.
//
// # Queues and flags
//
// IFF_VNET_HDR belongs to the device but can only be asked for by the first
// queue attached, and water cannot ask for it. So Open attaches an anchor
// queue of its own first, which settles the flags, lets water attach the
// queues proper, and reads the flags back (TUNGETIFF).
//
// The kernel moves a flow to the queue that a frame of it was last written to.
// So nothing is written to the queues that are read: the anchor, and one queue
// more for each further one, are detached and become the twins that are written
// to, until the device is closed (twin_linux.go). A Device made by Adopt has
// none, and writes to its queues.
//
// # Lifetime
//
// The device is persistent: it outlives the process, with its addresses and
// routes, until it is removed. A queue whose device has gone answers ErrGone.
//
// # Concurrency
//
// Read of one queue is for one goroutine; Write of one queue may be called by
// several at a time (each call brings its own Writer scratch: see Queue.Writer).
//
// Of this module only internal/wait is imported.
package tap
