package etcdsync

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc/status"
)

// advice is what to do about errors, by what they contain: grpc passes on of
// an error no more than its text. The first that fits counts.
var advice = [...]struct{ text, do string }{
	{"remote error: tls: expired certificate", "the client certificate has run out: put a new one in the place of --etcd-certfile and --etcd-keyfile, no restart needed"},
	{"remote error: tls: certificate required", "etcd wants a client certificate: set --etcd-certfile and --etcd-keyfile"},
	{"remote error: tls:", "etcd refuses the client certificate: is it signed by the authority that etcd trusts (its --trusted-ca-file)?"},
	{"certificate signed by unknown authority", "is --etcd-cafile the authority that signed etcd's certificate? It is read at every attempt, no restart needed"},
	{"certificate has expired or is not yet valid", "renew etcd's certificate, or set this host's clock"},
	{"x509:", "the name or address in --etcd-endpoints must be one that etcd's certificate is for"},
	{"authentication handshake failed: EOF", "does etcd speak TLS there? If not, use http:// in --etcd-endpoints"},
	{"EOF", "is this etcd's client port, and does it want https:// in --etcd-endpoints?"},
	{"connection refused", "is etcd up, and is --etcd-endpoints right?"},
	{"invalid user ID or password", "check --etcd-username and the first line of --etcd-password-file, which is read at every attempt; `etcdctl user passwd` sets the password"},
	{"user name is empty", "etcd wants a user: set --etcd-username and --etcd-password-file, or a client certificate whose common name is one"},
	{"permission denied", "the user's role in etcd lacks this: `etcdctl role grant-permission`, see docs/etcd.md"},
	{"database space exceeded", "etcd is full: compact and defragment it, or raise --quota-backend-bytes, then `etcdctl alarm disarm`"},
	{"context deadline exceeded", "is etcd up, and is --etcd-endpoints right?"},
}

// ports are what differs between two errors of the same kind, each of which is
// to be told once.
var ports = regexp.MustCompile(`(read|write) tcp \S+->\S+: `)

// failure is an error in words that say what to do next.
type failure struct {
	err  error
	text string
}

// Error returns the words.
func (f *failure) Error() string { return f.text }

// Unwrap returns the error.
func (f *failure) Unwrap() error { return f.err }

// advised adds to an error what to do about it, if that is known.
func advised(err error) error {
	if err == nil || errors.As(err, new(*failure)) {
		return err
	}
	text := err.Error()
	for _, a := range advice {
		if strings.Contains(text, a.text) {
			return &failure{err, text + "; " + a.do}
		}
	}
	return err
}

// explain says why a request failed. etcd's client says of one that waited in
// vain for a connection no more than that time was up; grpc knew more.
func (s *connection) explain(err, cause error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return advised(err)
	}
	text := fmt.Sprintf("no answer within %s", s.opts.DialTimeout)
	if why := ports.ReplaceAllString(s.lines.reason(cause), ""); why != "" {
		text += ": " + why
	}
	e := advised(errors.New(text + ": " + context.DeadlineExceeded.Error()))
	return &failure{err, strings.Replace(e.Error(), ": "+context.DeadlineExceeded.Error(), "", 1)}
}

// reason returns what grpc says about a connection that did not come about:
//
//	… latest balancer error: connection error: desc = "transport: authentication handshake failed: …"
//
// It is empty when there was a connection.
func (s *lines) reason(err error) string {
	_, text, noLine := strings.Cut(status.Convert(err).Message(), "latest balancer error: ")
	if r := s.refused.Load(); noLine && r != nil && time.Since(r.at) < 2*maxReconnect {
		return r.err.Error()
	}
	i := strings.LastIndex(text, `desc = "`)
	if i < 0 {
		return text
	}
	quoted, err := strconv.QuotedPrefix(text[i+len("desc = "):])
	if err != nil {
		return ""
	}
	text, _ = strconv.Unquote(quoted)
	return strings.TrimPrefix(text, "transport: ")
}

// badLogin reports whether etcd does not know us, or not any more.
func badLogin(err error) bool {
	return errors.Is(err, rpctypes.ErrAuthFailed) || errors.Is(err, rpctypes.ErrInvalidAuthToken)
}

// denied reports whether etcd answers but does not let us do something.
func denied(err error) bool {
	return errors.Is(err, rpctypes.ErrPermissionDenied) || errors.Is(err, rpctypes.ErrNoSpace)
}
