package etcdsync

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/rs/zerolog"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"
)

// DefaultPrefix is flannel's: where the keys lie unless told otherwise.
const DefaultPrefix = "/coreos.com/network"

const (
	defaultDialTimeout = 3 * time.Second
	// A member that was frozen or cut off answers no ping; without pings that
	// goes unnoticed for as long as it lasts. grpc raises shorter intervals to
	// 10 s.
	pingInterval = 10 * time.Second
	pingTimeout  = 3 * time.Second
	// grpc would wait up to two minutes between attempts to connect.
	maxReconnect = 2 * time.Second
)

// Options say how to reach etcd.
type Options struct {
	// Endpoints are the URLs of etcd's members, at least one, all of them with
	// TLS or none.
	Endpoints []string
	// Prefix is what every key begins with; empty means DefaultPrefix.
	Prefix string
	// CAFile is the authority that signed the servers' certificates; without
	// it the system's are trusted. It works alone.
	CAFile string
	// CertFile and KeyFile are the client's certificate, for mutual TLS; both
	// or none. All three files are read at every handshake.
	CertFile, KeyFile string
	// Username and PasswordFile log in; both or none. The password is the
	// file's first line.
	Username, PasswordFile string
	// DialTimeout bounds how long one request waits for an answer; 0 means 3
	// seconds.
	DialTimeout time.Duration
	// Log receives events; the zero Logger discards them.
	Log zerolog.Logger
}

// Validate reports everything that is wrong with the options, in one error. It
// looks at the files they name. The error is an ErrBadOptions.
func (o Options) Validate() error {
	var f faults
	o.checkEndpoints(&f)
	if p := o.complete().Prefix; !strings.HasPrefix(p, "/") {
		f.addf("prefix %q does not begin with a slash", o.Prefix)
	}
	if o.DialTimeout < 0 {
		f.addf("dial timeout %s is negative", o.DialTimeout)
	}
	o.checkTLS(&f)
	if (o.Username == "") != (o.PasswordFile == "") {
		f.addf("a user name and a password file are of use only together")
	} else if _, err := o.password(); err != nil {
		f.addf("%v", err)
	}
	return f.err(ErrBadOptions)
}

func (o Options) checkEndpoints(f *faults) {
	if len(o.Endpoints) == 0 {
		f.addf("no etcd endpoint")
	}
	for _, e := range o.Endpoints {
		u, err := url.Parse(e)
		switch {
		case !strings.Contains(e, "://"):
			f.addf("endpoint %q does not begin with http:// or https://", e)
		case err != nil:
			f.addf("endpoint %q: %v", e, errors.Unwrap(err))
		case u.Scheme != "http" && u.Scheme != "https":
			f.addf("endpoint %q does not begin with http:// or https://", e)
		case u.Host == "" || u.Path != "" && u.Path != "/":
			f.addf("endpoint %q is not a scheme, a host and a port", e)
		case (u.Scheme == "https") != o.secure():
			f.addf("endpoint %q: some endpoints use TLS and some do not", e)
		}
	}
}

// secure reports whether etcd is reached over TLS.
func (o Options) secure() bool {
	return len(o.Endpoints) > 0 && strings.HasPrefix(o.Endpoints[0], "https://")
}

// KeyPrefix is what every key begins with, without a slash at its end.
func (o Options) KeyPrefix() string { return o.complete().Prefix }

// complete returns o with what is unset at its default.
func (o Options) complete() Options {
	if o.Prefix = strings.TrimRight(o.Prefix, "/"); o.Prefix == "" {
		o.Prefix = DefaultPrefix
	}
	if o.DialTimeout == 0 {
		o.DialTimeout = defaultDialTimeout
	}
	return o
}

// newClient makes a client, whose connections lines notes. It sends nothing
// unless it has to log in.
func (o Options) newClient(ctx context.Context, l *lines) (*clientv3.Client, error) {
	password, err := o.password()
	if err != nil {
		return nil, err
	}
	secrets := insecure.NewCredentials()
	if o.secure() {
		secrets = &freshTLS{opts: o}
	}
	return clientv3.New(clientv3.Config{
		Context: ctx, Endpoints: o.Endpoints, DialTimeout: o.DialTimeout,
		DialKeepAliveTime: pingInterval, DialKeepAliveTimeout: pingTimeout,
		Username: o.Username, Password: password,
		Logger: zap.NewNop(), // what it says is said again in its errors
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: minBackoff, Multiplier: 1.6, Jitter: jitter, MaxDelay: maxReconnect},
			MinConnectTimeout: o.DialTimeout,
		}), grpc.WithChainStreamInterceptor(refuseSecond), grpc.WithTransportCredentials(&noting{secrets, l}), grpc.WithStatsHandler(queries{l})},
	})
}
