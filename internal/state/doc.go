// Package state keeps what a host must remember between two runs: who it is,
// which MAC address and which TAP it has, which subnet it held, the last network
// configuration that it could read, and the last tables.
//
//	/var/lib/uvtep/
//	  node-id     32 hexadecimal digits, random, made once
//	  mac.<vni>   the MAC address of the TAP of that VNI
//	  tap         the name and the index of the TAP of the last run
//	  subnet      one subnet a line, the lease that was held last
//	  network     the etcd prefix, and the last good network configuration
//	  tables.<vni>  what the tables of that VNI were made of, with a checksum
//
// # Identity
//
// A host is its node id and nothing else: addresses change, a lease with the
// same node id is still ours. The file is made by link(2) from a finished
// temporary one, so that two agents starting at once agree on one id, and a
// damaged file is an error rather than a new identity.
//
// # Writing
//
// [WriteFile] replaces a file in one step: temporary file in the same folder,
// fsync, rename, fsync of the folder. A reader, and a machine that loses
// power, sees the old content or the new one.
//
// # What it refuses
//
// There is no lock here, and nothing is remembered: every call reads or writes a file. Files
// that can be made again (the MAC, the subnet) are made again when they do not
// parse; the node id never is.
package state
