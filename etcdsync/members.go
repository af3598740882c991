package etcdsync

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Member is what one endpoint answers.
type Member struct {
	Endpoint string
	// Err says why it did not answer a read, in words that say what to do; nil
	// when it did. ErrNoNetwork and ErrBadNetwork are answers.
	Err error
	// Took is how long the answer took.
	Took time.Duration
	// Cluster is the id of the cluster that the member is of, 0 when unknown.
	Cluster uint64
	// Version is etcd's own, empty when it did not tell.
	Version string
	// Ahead is how far the member's clock is ahead of this host's, exact to about
	// a second; of no use unless ClockKnown.
	Ahead      time.Duration
	ClockKnown bool
	// Ends is when the certificate that the member shows runs out; the zero Time
	// without TLS.
	Ends time.Time
	// Clients says the same of our own certificate.
	Clients time.Time
}

// Examine asks each endpoint by itself whether it would serve a Store with these
// options: the client that asks all of them shows only the first that does.
func Examine(ctx context.Context, o Options) []Member {
	o = o.complete()
	out := make([]Member, len(o.Endpoints))
	var all sync.WaitGroup
	for i, e := range o.Endpoints {
		all.Go(func() {
			one := o
			one.Endpoints = []string{e}
			out[i] = one.examine(ctx)
		})
	}
	all.Wait()
	return out
}

// examine asks the one endpoint.
func (o Options) examine(ctx context.Context) Member {
	m := Member{Endpoint: o.Endpoints[0]}
	var both sync.WaitGroup
	both.Go(func() { o.askVersion(ctx, &m) })
	began := time.Now()
	m.Cluster, m.Err = o.readOnce(ctx)
	m.Took = time.Since(began)
	both.Wait()
	return m
}

func (o Options) readOnce(ctx context.Context) (cluster uint64, err error) {
	s, err := Dial(o)
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Close() }()
	_, at, err := s.readNetwork(ctx)
	return at.cluster, err
}

// askVersion asks over HTTP, which etcd speaks on the same port, and whose answer
// has a date (RFC 9110 §6.6.1). It touches what it fills in alone.
func (o Options) askVersion(ctx context.Context, m *Member) {
	ctx, cancel := context.WithTimeout(ctx, o.DialTimeout)
	defer cancel()
	t := &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{}).DialContext}
	defer t.CloseIdleConnections()
	if o.secure() {
		c, err := o.tlsConfig()
		if err != nil {
			return
		}
		c.InsecureSkipVerify = true // nothing is sent, and what is read is shown to people only
		t.TLSClientConfig = c
		if len(c.Certificates) > 0 && c.Certificates[0].Leaf != nil {
			m.Clients = c.Certificates[0].Leaf.NotAfter
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(m.Endpoint, "/")+"/version", nil)
	if err != nil {
		return
	}
	asked := time.Now()
	r, err := (&http.Client{Transport: t}).Do(req)
	if err != nil {
		return
	}
	defer func() { _ = r.Body.Close() }()
	m.takeDate(r.Header.Get("Date"), asked, time.Now())
	var v struct {
		Etcdserver string
	}
	if json.NewDecoder(http.MaxBytesReader(nil, r.Body, 4<<10)).Decode(&v) == nil {
		m.Version = v.Etcdserver
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 {
		m.Ends = r.TLS.PeerCertificates[0].NotAfter
	}
}

// takeDate compares a date, of whole seconds, with the middle of the time that the
// answer took.
func (m *Member) takeDate(date string, asked, answered time.Time) {
	t, err := http.ParseTime(date)
	if err != nil {
		return
	}
	m.ClockKnown = true
	here := asked.Add(answered.Sub(asked) / 2)
	switch d := t.Sub(here); {
	case d > 0:
		m.Ahead = d
	case d < -time.Second: // a date is up to a second in the past
		m.Ahead = d + time.Second
	}
}
