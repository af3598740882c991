// Package offload does in user space what a network card does for a kernel:
// it splits superframes into frames, merges frames into superframes, and
// finishes checksums that somebody left to the card.
//
// # The story
//
// A TAP with virtio headers hands over a superframe: one set of headers, up to
// 64 KiB of payload, and in the virtio header the size it is to be cut into.
// One pass over the tables serves all the frames inside. Splitter then makes
// the frames without copying the payload: each gets a small header of its own
// and shares the superframe's bytes for the rest.
//
//	superframe  [vnet][Ethernet IP TCP | payload ............................]
//	                                     │          │          │
//	segments    [prefix Ethernet IP TCP]─┘ [prefix …]┘ [prefix …]┘
//
// On the other side frames arrive one by one, and Merger joins those that
// follow one another in a flow, across everything that one wake-up received,
// into superframes again; the TAP takes each with a single call. Its rules are
// those of the kernel's own GRO or stricter, so that splitting what it merged
// gives back the same frames.
//
//	frames      A1 B1 A2 A3 B2 C1 A4
//	outputs     [vnet][A1][A2 payload][A3 payload][A4 payload]
//	            [vnet][B1][B2 payload]
//	            [vnet][C1]
//
// A kernel peer on the same machine sends frames whose checksum is unfinished
// and that may be superframes themselves. Unfinished recognises them and says
// in a virtio header what is left to do.
//
// # Words
//
// A superframe stands for many frames of one flow, a segment is one of these
// frames, made or merged. A gather list is a frame in several pieces, to be
// written one after the other. A checksum is unfinished when its field holds
// the sum of the pseudo header and nothing else; it is finished by adding the
// rest.
//
// # Concurrency
//
// A Splitter and a Merger belong to one goroutine each. All they allocate they
// allocate when made; what they return points into their scratch and the
// caller's buffers, and stands until the next Reset.
//
// # What it refuses
//
// A checksum is never laundered: what is wrong before merging is passed on as
// it came. Superframes with IP options, IPv6 extension headers or VLAN tags are
// split, but frames with them are never merged; fragments are neither. Nothing
// is held back for a later batch.
package offload
