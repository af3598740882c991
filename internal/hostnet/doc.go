// Package hostnet is what uvtep does to the machine it runs on: which
// interface and address carry the tunnel, how the TAP is dressed, which kernel
// routes lead into it, what docker and CNI are told, and which traffic is
// masqueraded. It is the only user of netlink.
//
// # The story
//
// A Host is the network of one namespace, the process's own unless told
// otherwise. Before anything else the agent asks Preflight whether it may do
// its work at all, and FindUnderlay which interface leads to the other hosts.
// MTU says what the tunnel leaves of that interface's frames. EnsureLink
// dresses the TAP, Routes keeps one route a remote host, SubnetEnv tells docker
// and CNI, EnsureMasquerade lets containers out into the world. From then on
// Watch reports what others do to these things behind the agent's back, and
// the same calls put it right: each of them says how things shall be and may be
// repeated at any time.
//
//	    default route, --iface…            etcd: leases of others
//	            │                                  │
//	┌───────────▼──────────┐            ┌──────────▼─────────┐
//	│ eth0 192.0.2.2  1500 │            │ 10.5.10.0/24       │
//	└───────────┬──────────┘            │   via 10.5.10.0    │
//	            │ 1500 − 50             │   dev uvtep.1      │
//	┌───────────▼──────────┐            └──────────┬─────────┘
//	│ uvtep.1 10.10.3.0/32 ◄───────────────────────┘
//	│ 1450                 │
//	└──────────────────────┘  subnet.env: 10.10.3.1/24, 1450
//
// # Words
//
// The underlay is the interface whose datagrams carry the tunnel; the overlay
// is the network inside it. The public address is what other hosts are told to
// send to; the underlay's own address is what sockets bind to. Ours means made
// by uvtep and recognisable as such after a restart: routes by RouteProtocol,
// addresses by AddrProtocol, bridges by their alias, nftables by the table's
// name. Foreign is everything else.
//
// # Concurrency
//
// A Host and a Routes may be used by several goroutines at once. Watch blocks
// and calls back from the goroutine that called it.
//
// # What it refuses
//
// It runs no program and parses no program's output. It touches nothing
// foreign: a route of somebody else that stands where one of ours should be is
// reported and left alone. It does not open the TAP, and it decides nothing
// about etcd. Stopping undoes nothing; only what is asked to be removed is.
package hostnet
