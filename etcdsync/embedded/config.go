package embedded

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"sync"

	"github.com/rs/zerolog"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
)

// Config says where the server listens and keeps its data.
type Config struct {
	// Listen is the URL that clients reach it at: http://ADDRESS:PORT, with an
	// IP address or localhost. Port 0 takes a free one.
	Listen string
	// Dir holds the data; it is made if absent.
	Dir string
	// NoSync leaves it to the kernel when data reaches the disk. For tests and
	// laboratories: a loss of power may cost what was written last.
	NoSync bool
	// Log receives what etcd has to say, from warnings on (all of it at debug
	// level). The zero Logger discards it.
	Log zerolog.Logger
}

const (
	// The server is the only member, so nobody has to catch up with it: raft
	// entries are kept only until the next snapshot, and snapshots are often.
	snapshotCount   = 2000
	catchUpEntries  = 100
	maxFiles        = 2
	segmentBytes    = 8 << 20
	quotaBytes      = 512 << 20
	historyKept     = "1h"
	peerListen      = "http://127.0.0.1:0"
	memberName      = "uvtep"
	maxRequestBytes = 1536 << 10 // etcd's own default
)

// shrinkWAL makes the files that the write-ahead log allocates in advance
// small: two of 64 MB each are a lot for a network's few kilobytes, and on a
// tmpfs they are memory. The size is a variable of etcd's package, hence once.
var shrinkWAL = sync.OnceFunc(func() { wal.SegmentSizeBytes = segmentBytes })

// etcd returns the configuration in etcd's own words.
func (c Config) etcd() (*embed.Config, error) {
	listen, err := parseListen(c.Listen)
	if err != nil {
		return nil, fmt.Errorf("embedded etcd: listen on %q: %w", c.Listen, err)
	}
	if c.Dir == "" {
		return nil, errors.New("embedded etcd: no directory for its data")
	}
	peer, err := url.Parse(peerListen)
	if err != nil {
		return nil, err
	}
	e := embed.NewConfig()
	e.Name, e.Dir = memberName, c.Dir
	e.ListenClientUrls, e.AdvertiseClientUrls = []url.URL{*listen}, []url.URL{*listen}
	e.ListenPeerUrls, e.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	e.InitialCluster = e.InitialClusterFromName(memberName)
	e.SnapshotCount, e.SnapshotCatchUpEntries = snapshotCount, catchUpEntries
	e.MaxSnapFiles, e.MaxWalFiles = maxFiles, maxFiles
	e.QuotaBackendBytes, e.MaxRequestBytes = quotaBytes, maxRequestBytes
	e.AutoCompactionMode, e.AutoCompactionRetention = embed.CompactorModePeriodic, historyKept
	e.UnsafeNoFsync = c.NoSync
	return e, nil
}

// CheckListen reports what is wrong with a listen URL.
func CheckListen(s string) error {
	_, err := parseListen(s)
	return err
}

// parseListen checks a listen URL: etcd would take it, and clients could
// reach it.
func parseListen(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, err
	}
	_, addrErr := netip.ParseAddr(u.Hostname())
	switch {
	case u.Scheme != "http":
		return nil, errors.New("want http://ADDRESS:PORT; for TLS run etcd itself")
	case u.Port() == "":
		return nil, errors.New("the port is missing")
	case addrErr != nil && u.Hostname() != "localhost":
		return nil, errors.New("want an IP address, not a name")
	case u.Path != "" && u.Path != "/":
		return nil, errors.New("a path makes no sense here")
	}
	u.Path = ""
	return u, nil
}
