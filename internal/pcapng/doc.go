// Package pcapng writes and reads capture files with a comment on each frame
// (draft-ietf-opsawg-pcapng). It writes what gopacket's pcapgo cannot write, the
// options of enhanced packet blocks, and takes its own files apart again without
// reading what is in them; files of others are read with pcapgo.
//
// A file is blocks, each with its length in front and behind, so that it may be
// cut between any two and is whole:
//
//	section header · interface description … · enhanced packet … · interface statistics
package pcapng
