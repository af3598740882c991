// Package embedded runs a single-member etcd inside the agent, so that the
// first host of a network needs no other program.
//
//	hosts ── http://FIRST:2379 ──> client listener ─┐
//	                                                ├─ etcd: raft of one, WAL, bbolt
//	nobody ── 127.0.0.1:free ────> peer listener ───┘
//
// It is etcd itself, not an imitation: etcdctl and flanneld work with it, and
// its data directory can be given to an etcd program later.
//
// # Small
//
// A network's keys are few and short, so the server is set up for that: few
// raft entries are kept in memory, write-ahead log files are small, history
// is compacted after an hour.
//
// # Quiet, and never fatal
//
// What etcd has to say goes through the agent's logger, from warnings on.
// Where etcd would end the process (a disk that is full, a log it cannot
// write) only the server ends, and [Server.Err] tells: frames are forwarded
// without etcd.
//
// # Concurrency
//
// A Server may be used by several goroutines. Start and Close wait for what
// they began.
//
// # What it refuses
//
// There is no TLS, no authentication and no second member. A network that
// outgrows this takes a real etcd.
package embedded
