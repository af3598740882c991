// Package embedded runs a single-member etcd inside the agent, so that the
// first host of a network needs no other program.
package embedded
