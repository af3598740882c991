// Package vswitch is the switch: it decides what becomes of every frame and
// moves batches of them between a TAP and the underlay.
//
//	          Port.Read      classify      Datagrams       Send
//	TAP queue ─────────► frames ─────► verdicts ─────► underlay     outbound
//	TAP queue ◄───────── records ◄──── verdicts ◄───── underlay     inbound
//	          Write                     accept      Recv
//
// # Words
//
// A frame is an Ethernet frame, inner. A datagram is VXLAN over UDP. A batch is
// what one wake-up took. A lane is one set of receiving sockets and one queue
// of every network's TAP. Tables are an immutable snapshot of what etcd says. A
// verdict is a frame's fate: exactly one each, counted.
//
// # Concurrency
//
// Each lane has a goroutine for every network's queue (outbound, while Serve
// lasts) and one for every receiving socket (inbound, while Run lasts). A goroutine
// owns its end of the queue, its buffers and its counters. All they share is which
// networks are served and the tables of each, behind atomic pointers that are
// loaded once a batch. Nothing waits for etcd.
//
// # What it refuses
//
// It learns nothing from frames. It knows no system call: Port, Sender and
// Receiver bring them. It does not fragment, and never repairs a checksum that
// is wrong.
//
// The package is called vswitch because switch is a word of the language.
package vswitch
