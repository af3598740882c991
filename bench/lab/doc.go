// Package lab is the namespace laboratory: hosts, the wire between them,
// containers behind them and the processes on them, on one machine, as Linux
// network namespaces. `uvtep lab` shows the main job with it and the
// end-to-end tests and benchmarks are built on it. It uses the netlink and
// netns libraries and no program but those under test.
//
//	   host 1                    host 2                    host 3
//	┌──────────────────┐     ┌──────────────────┐     ┌──────────────────┐
//	│ c1 ─┐            │     │ c1 ─┐            │     │ c1 ─┐            │
//	│ c2 ─┴ docker0    │     │ c2 ─┴ docker0    │     │ c2 ─┴ docker0    │
//	│  10.10.x.1/24    │     │  10.10.y.1/24    │     │  10.10.z.1/24    │
//	│  uvtep.1 (agent) │     │  uvtep.1 (agent) │     │  uvtep.1 (agent) │
//	│  eth0 192.0.2.1  │     │  eth0 192.0.2.2  │     │  eth0 192.0.2.3  │
//	└────────┬─────────┘     └────────┬─────────┘     └────────┬─────────┘
//	         h1 ────────────────────  h2  ──────────────────── h3
//	                 the fabric's bridge, 192.0.2.254
//
// # Words
//
//   - lab: all that one New made; its name ("uvlp4kx7") begins the name of
//     each of its namespaces.
//   - node: one network namespace under /run/netns, so that `ip netns exec`
//     works: a host, a container, an etcd machine.
//   - fabric: the namespace of the bridge that joins the hosts, and of nothing
//     else. The hosts reach each other through it alone.
//   - underlay: the hosts' network, 192.0.2.0/24 and with IPv6 2001:db8::/64.
//   - overlay: the network between the containers, which is what is tested.
//   - agent: a process `uvtep run` on a host.
//
// # Lifetime
//
// New makes all or nothing. Close ends every process that the lab started and
// removes every namespace; all devices of a lab live in its namespaces, none in
// the caller's, so nothing else can remain. A context given to a call bounds
// that call alone. When the owner is killed, the kernel kills its processes
// with it (PR_SET_PDEATHSIG), and the next New, or Sweep, removes its
// namespaces: the owner holds a lock on the fabric for as long as it lives.
//
// # Concurrency
//
// All methods may be called from any goroutine. Those that change a host
// (StartAgent, AddContainers) must not run twice at once for the same host.
// A function given to Node.Do runs on a thread of its own namespace; goroutines
// that it starts do not inherit the namespace, sockets that it opens keep it.
//
// # What it refuses
//
// It needs root. It never touches a device, route or rule of the namespace it is
// started in, ends no process that it did not start, and waits for states, not
// for times.
package lab
