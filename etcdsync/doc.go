// Package etcdsync connects a host with etcd: it leases the host's subnet,
// registers the host, and turns what etcd says about the others into tables.
package etcdsync
