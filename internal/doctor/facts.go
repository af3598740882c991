package doctor

import (
	"net/netip"
	"time"

	"github.com/uvtep/uvtep/encap"
	"github.com/uvtep/uvtep/etcdsync"
	"github.com/uvtep/uvtep/internal/firewall"
	"github.com/uvtep/uvtep/internal/hostnet"
)

// Facts are what is known of a host. What could not be looked at is zero, and
// where that is no answer there is an error beside it.
type Facts struct {
	Root    bool      // whoever asks is root, and sees everything
	Now     time.Time // when the facts were gathered
	Agent   Agent
	Network Network
	TAP     TAP

	TUN      error // why no TAP can be made
	NetAdmin error // why the network cannot be configured

	Underlay    hostnet.Underlay
	UnderlayErr error
	Checksums   bool // the underlay completes checksums on sending
	ChecksumsOK bool // that is known

	Links   []hostnet.SeenLink
	Routes  []hostnet.SeenRoute // that matter to the overlay
	Rivals  []hostnet.Rival
	Sockets []hostnet.UDPSocket // that take datagrams to the network's port

	Firewall    *firewall.Ruleset
	FirewallErr error
	Sysctls     map[string]int // those that are known

	Programs []hostnet.Running // that manage interfaces
	Files    []File            // of such programs

	SubnetFile    hostnet.SubnetEnv
	SubnetFileErr error

	Peers  []Peer
	Echoes []Echo // of some other hosts
	Etcd   Etcd
}

// Agent is the agent of the host.
type Agent struct {
	State     AgentState
	Socket    string
	Err       error             // why it does not answer
	RanBefore bool              // its state directory knows a node id
	Holders   []hostnet.Process // of the TAP
	NodeID    string

	// The rest is of one that answers.
	Revision           int64
	Stale              string // when etcd was heard last, while it is away
	Public             []netip.Addr
	NoSubnet           bool
	Offload            string // what is wished: auto, off
	Features           map[string]Feature
	Receive, Send      Buffer
	Delivered, Unknown uint64 // datagrams: delivered, from senders that are no VTEPs
	Spoofed            uint64
	Overrun            uint64 // datagrams that the kernel dropped: buffer full
	Conflicts          []etcdsync.Conflict
}

// AgentState is what became of asking the agent.
type AgentState uint8

const (
	// NoAgent: nobody serves the socket.
	NoAgent AgentState = iota
	// Answers: it told what it knows.
	Answers
	// Denied: the socket cannot be opened by who asks.
	Denied
	// Silent: somebody has the socket and does not answer.
	Silent
)

// Feature is a feature of the data path, and why it is not in use.
type Feature struct {
	Active bool
	Reason string
}

// Buffer is a socket buffer, in bytes.
type Buffer struct {
	Asked, Granted int
	Reason         string
}

// Network is the overlay as far as it is known.
type Network struct {
	Known   bool
	VNI     encap.VNI
	Port    uint16
	Overlay []netip.Prefix
	Own     []netip.Prefix // this host's subnets
	Masq    bool
}

// TAP is the agent's device, as it shall be and as it is.
type TAP struct {
	Name   string
	MTU    int // that the agent chose, 0 when unknown
	Bridge string
	Link   *hostnet.Link // nil: there is none
}

// File is a file and what is in it.
type File struct{ Path, Text string }

// Peer is another host, and the way to it.
type Peer struct {
	Name    string // for people
	VTEP    netip.AddrPort
	Subnets []netip.Prefix
	Way     hostnet.Way
	// InnerDev is the interface that the kernel would send to its subnet
	// through; empty when that was not asked.
	InnerDev string
	Life     etcdsync.Life
}

// Etcd is what etcd answers.
type Etcd struct {
	Members []etcdsync.Member
	Records []etcdsync.SubnetRecord
	Err     error // why there are no records
	// Guessed says that nobody told where etcd is.
	Guessed bool
}
