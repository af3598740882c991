package metrics

import (
	"slices"
	"time"

	"github.com/uvtep/uvtep/internal/ledger"
	vswitch "github.com/uvtep/uvtep/switch"
)

// vni is the label of what belongs to one network.
var vni = []string{"vni"}

// Directions: out is from the TAP to the underlay, in the other way.
const (
	out = "out"
	in  = "in"
)

func direction(v vswitch.Verdict) string {
	if v.Inbound() {
		return in
	}
	return out
}

// catalogue is all metrics that are made of Snapshots read now.
func catalogue(now func() time.Time) []metric {
	return slices.Concat(trafficMetrics(), underlayMetrics(), tableMetrics(), etcdMetrics(now), stateMetrics(now))
}

func trafficMetrics() []metric {
	verdicts := []string{"vni", "direction", "verdict"}
	vteps := []string{"vni", "direction", "vtep"}
	return []metric{
		counter("frames_total", "Inner frames by verdict, one each: what became of them.", verdicts,
			perNetworkAnd(func(n *Network, vni string, t tell) {
				for _, v := range vswitch.Verdicts() {
					t.count(n.Stats.Frames[v], vni, direction(v), v.String())
				}
			})),
		counter("bytes_total", "Bytes of inner frames by verdict.", verdicts,
			perNetworkAnd(func(n *Network, vni string, t tell) {
				for _, v := range vswitch.Verdicts() {
					t.count(n.Stats.Bytes[v], vni, direction(v), v.String())
				}
			})),
		counter("events_total", "What happened to frames besides their verdicts, under the names of `uvtep stats`.", []string{"vni", "event"},
			perNetworkAnd(func(n *Network, vni string, t tell) {
				for _, x := range vswitch.Extras() {
					t.count(n.Stats.Extra[x], vni, x.String())
				}
			})),
		counter("vtep_frames_total", "Frames that the kernel took for a VTEP (out), and that were delivered from one (in).", vteps,
			perVTEP(func(s ledger.Sum) uint64 { return s.Frames })),
		counter("vtep_bytes_total", "Bytes of the frames counted in uvtep_vtep_frames_total.", vteps,
			perVTEP(func(s ledger.Sum) uint64 { return s.Bytes })),
		histogram("tap_batch_frames", "Frames and superframes that one wake-up took from the TAP.", vni,
			perNetwork(func(n *Network, vni string, t tell) { t.distribution(n.Stats.Sizes[vswitch.FramesRead], vni) })),
	}
}

// others is the VTEP label of all those that have no series of their own.
const others = "other"

// perVTEP tells one count of what went to and came from each VTEP.
func perVTEP(which func(ledger.Sum) uint64) func(*Snapshot, tell) {
	return perNetwork(func(n *Network, vni string, t tell) {
		for _, d := range []struct {
			name string
			Traffic
		}{{out, n.Sent}, {in, n.Heard}} {
			for a, sum := range d.By {
				t.count(which(sum), vni, d.name, a.String())
			}
			t.count(which(d.Others), vni, d.name, others)
		}
	})
}

func underlayMetrics() []metric {
	return []metric{
		counter("underlay_datagrams_total", "Datagrams that the kernel took.", nil, func(s *Snapshot, t tell) { t.count(s.Underlay.Datagrams) }),
		counter("underlay_send_calls_total", "System calls that sent datagrams.", nil, func(s *Snapshot, t tell) { t.count(s.Underlay.Calls) }),
		counter("underlay_send_errors_total", "Datagrams that the kernel did not take, by kind: too_big (for the path), no_room (in the socket buffer or device queue), refused (no route, unreachable, filtered).",
			[]string{"kind"}, func(s *Snapshot, t tell) {
				t.count(s.Underlay.TooBig, "too_big")
				t.count(s.Underlay.NoRoom, "no_room")
				t.count(s.Underlay.Refused, "refused")
			}),
		counter("underlay_receive_drops_total", "Datagrams that the kernel dropped because a receive buffer was full (SO_RXQ_OVFL); told with the next datagram that comes.",
			nil, func(s *Snapshot, t tell) { t.count(s.Underlay.Overrun) }),
		histogram("underlay_run_datagrams", "Datagrams in one message: sent with one UDP_SEGMENT (out), joined by UDP_GRO (in).", []string{"direction"},
			func(s *Snapshot, t tell) {
				t.distribution(ledger.Histogram{Classes: s.Underlay.Runs, Sum: s.Underlay.Datagrams}, out)
				t.distribution(s.Shared.Runs, in)
			}),
		histogram("underlay_batch_messages", "Messages that one wake-up took from a socket.", nil,
			func(s *Snapshot, t tell) { t.distribution(s.Shared.Sizes[vswitch.Messages]) }),
		gauge("underlay_buffer_bytes", "Socket buffer granted, in bytes of payload.", []string{"buffer"}, func(s *Snapshot, t tell) {
			t.size(s.RecvBuffer, "receive")
			t.size(s.SendBuffer, "send")
		}),
	}
}

func tableMetrics() []metric {
	size := func(name, help string, of func(*Tables) int) metric {
		return gauge(name, help, vni, perNetwork(func(n *Network, vni string, t tell) { t.size(of(&n.Tables), vni) }))
	}
	return []metric{
		size("fdb_entries", "Stations in the FDB.", func(t *Tables) int { return t.FDB }),
		size("arp_entries", "IPv4 bindings that ARP is answered from.", func(t *Tables) int { return t.ARP }),
		size("nd_entries", "IPv6 bindings that neighbour discovery is answered from.", func(t *Tables) int { return t.ND }),
		size("vteps", "VTEPs that datagrams are accepted from and flooded to.", func(t *Tables) int { return t.VTEPs }),
		size("peers", "Subnet leases of other hosts.", func(t *Tables) int { return t.Peers }),
		size("routes", "Kernel routes that there should be through the TAP.", func(t *Tables) int { return t.Routes }),
		size("conflicts", "Things that two hosts have and only one can; uvtep stats names them.", func(t *Tables) int { return t.Conflicts }),
		size("unusable_keys", "Keys in etcd whose values cannot be used now.", func(t *Tables) int { return t.Unusable }),
		gauge("tables_revision", "etcd's revision of the tables in force; 0: there are none yet.", vni,
			perNetwork(func(n *Network, vni string, t tell) { t.value(float64(n.Tables.Revision), vni) })),
		gauge("tables_stale_since_timestamp_seconds", "When etcd was heard last, in Unix time, while it is away; 0: the tables are not stale.", vni,
			perNetwork(func(n *Network, vni string, t tell) { t.value(unix(n.Tables.StaleSince), vni) })),
	}
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixNano()) / 1e9
}

func etcdMetrics(now func() time.Time) []metric {
	count := func(name, help string, of func(*Etcd) uint64) metric {
		return counter(name, help, vni, perNetwork(func(n *Network, vni string, t tell) { t.count(of(&n.Etcd), vni) }))
	}
	return []metric{
		gauge("etcd_connected", "1 while etcd answers as it should.", nil, func(s *Snapshot, t tell) { t.flag(s.Connected) }),
		gauge("etcd_silence_seconds", "Time since etcd last said how far it is, which it is asked every 2 seconds; absent before the first.", vni,
			perNetwork(func(n *Network, vni string, t tell) {
				if !n.Etcd.Heard.At.IsZero() {
					t.value(now().Sub(n.Etcd.Heard.At).Seconds(), vni)
				}
			})),
		gauge("etcd_revision", "etcd's revision up to which everything was heard.", vni,
			perNetwork(func(n *Network, vni string, t tell) { t.value(float64(n.Etcd.Heard.Rev), vni) })),
		counter("etcd_keys_total", "Keys taken in from etcd, by what became of them: added, changed, removed, refused (the value cannot be used).", []string{"vni", "result"},
			perNetwork(func(n *Network, vni string, t tell) {
				t.count(n.Etcd.Added, vni, "added")
				t.count(n.Etcd.Changed, vni, "changed")
				t.count(n.Etcd.Removed, vni, "removed")
				t.count(n.Etcd.Refused, vni, "refused")
			})),
		count("etcd_lists_total", "How often everything was read from etcd: at the start, now and then, and whenever there is a doubt.", func(e *Etcd) uint64 { return e.Lists }),
		count("etcd_watch_failures_total", "Watches that ended or stalled and were begun anew.", func(e *Etcd) uint64 { return e.WatchFailures }),
	}
}

func stateMetrics(now func() time.Time) []metric {
	left := func(name, help string, of func(*Network) time.Time) metric {
		return gauge(name, help, vni, perNetwork(func(n *Network, vni string, t tell) {
			if end := of(n); !end.IsZero() {
				t.value(end.Sub(now()).Seconds(), vni)
			}
		}))
	}
	return []metric{
		left("subnet_lease_seconds", "Time left of the subnet's lease if nobody renewed it; absent for a reservation and without a subnet.", func(n *Network) time.Time { return n.SubnetEnds }),
		left("liveness_lease_seconds", "Time left of the host record's lease if nobody renewed it.", func(n *Network) time.Time { return n.LivenessEnds }),
		gauge("tap_mtu_bytes", "MTU of the TAP.", vni, perNetwork(func(n *Network, vni string, t tell) { t.size(n.MTU, vni) })),
		gauge("feature", "1 for each feature of the data path that is in use; uvtep link says why one is not.", []string{"feature"}, func(s *Snapshot, t tell) {
			for name, on := range s.Features {
				t.flag(on, name)
			}
		}),
		gauge("healthy", "1 while /healthz says so.", nil, func(s *Snapshot, t tell) { t.flag(s.Healthy) }),
		gauge("ready", "1 while /readyz says so.", nil, func(s *Snapshot, t tell) { t.flag(s.Ready) }),
	}
}
